/* The frame: what the address says is drawn, and keys change the address. */

views.answers = showAnswers;
const KEYS = [
  ["j  k", "next, previous answer"], ["n  p", "next, previous event"], ["← →", "next, previous action, in the trace"],
  ["a  t  g", "trace, tree, group"], ["1  2  3", "answers, run, compare"], ["/", "look for a text"], ["d", "light or dark"],
  ["Esc", "close the answer"], ["?", "this help"],
];

async function showAnswers(main, state) {
  let view = main.querySelector(".answers");
  if (!view) {
    view = h("div", { class: "answers" }, h("div", { class: "side" }), h("article", { class: "answer", tabindex: -1, "aria-label": "Answer", hidden: true }));
    fill(main, view);
  }
  const answer = view.querySelector(".answer");
  view.classList.toggle("open", !!state.answer);
  answer.hidden = !state.answer;
  await list.show(view.querySelector(".side"), state);
  if (state.answer) await showAnswer(answer, state);
  else {
    fill(answer);
    delete answer.dataset.drawn;
  }
}

async function render() {
  const state = readState();
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  drawBar(state);
  await (views[state.view] ?? showAnswers)(document.getElementById("main"), state);
}

function drawBar(state) {
  const { sources, version } = data.index;
  const known = Object.entries(VIEWS).filter(([view]) => available(view));
  const skipped = sources.reduce((sum, source) => sum + source.skipped, 0);
  const notes = [skipped && `${plural(skipped, "record was", "records were")} cut off and left out.`, ...sources.flatMap((source) => source.notes)].filter(Boolean);
  fill(document.getElementById("bar"),
    h("h1", {}, h("span", { class: "logo", "aria-hidden": "true" }, "⌫"), " halluc ",
      h("span", { class: "what", title: `halluc ${version}` }, line(sources.length === 1 ? sources[0].name : plural(sources.length, "source"), 60))),
    known.length > 1 ? h("nav", { class: "views", "aria-label": "Views" }, known.map(([view, label]) =>
      h("a", { href: linkTo({ view }), "aria-current": state.view === view && "page" }, label))) : h("span", { class: "views" }),
    notes.length ? h("details", { class: "notes" }, h("summary", {}, plural(notes.length, "note")), h("ul", {}, [...new Set(notes)].map((note) => h("li", {}, line(note))))) : null,
    h("button", { type: "button", class: "plain", id: "theme", title: "Light or dark (d)", onclick: switchTheme }, isDark() ? "Light" : "Dark"),
    h("button", { type: "button", class: "plain", id: "ask", "aria-label": "Help: keys", title: "Keys (?)", onclick: showHelp }, "?"));
}

/** Whether there is anything to see in a view. */
const available = (view) => ({
  run: data.index.columns.step.some((step) => step != null) || data.index.sources.some(({ charts }) => charts?.length),
  compare: data.index.sources.length > 1,
})[view] ?? true;

const isDark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const switchTheme = () => go({ theme: isDark() ? "light" : "dark" }, { quiet: true });

function showHelp() {
  const help = document.getElementById("help");
  fill(help, h("h2", { id: "help-title" }, "Keys"),
    h("dl", {}, KEYS.map(([keys, what]) => h("div", {}, h("dt", {}, keys.split("  ").map((key) => h("kbd", {}, key))), h("dd", {}, what)))),
    h("p", { class: "soft" }, "Erased text is struck through; the darker, the longer it lived. ⌫ takes back a token, ⇤ a step, ⟲ the answer; numbers count the events. The address holds what you see: send it with the file."),
    h("form", { method: "dialog" }, h("button", { class: "plain", autofocus: true }, "Close")));
  help.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea, dialog")) {
    if (event.key === "Escape") event.target.blur?.();
    return;
  }
  const does = {
    j: () => move(1), k: () => move(-1), n: () => moveEvent(1), p: () => moveEvent(-1), "?": showHelp, d: switchTheme,
    "/": () => document.getElementById("filter-text")?.focus(),
    Escape: () => go({ answer: "", at: "", tab: "trace" }),
    a: () => tab("trace"), t: () => tab("tree"), g: () => tab("group"),
    1: () => view("answers"), 2: () => view("run"), 3: () => view("compare"),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});

const tab = (name) => name in TABS && readState().answer && go({ tab: name });
const view = (name) => name in VIEWS && available(name) && go({ view: name });

addEventListener("hashchange", render);
addEventListener("beforeprint", () => list.counts && list.draw(readState(), true));
addEventListener("afterprint", () => list.counts && list.draw(readState()));
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says what is shown, not where the focus is
  document.getElementById("main").focus();
});

data.read().then(render).then(() => {
  document.documentElement.dataset.ready = performance.now().toFixed(); // ms since the page was opened
});

/* One answer: what was sampled, what became of it, what it was paid for. */

const TABS = { trace: "Trace" };
const panels = { trace: tracePanel };

async function showAnswer(place, state) {
  const row = data.byId.get(state.answer);
  if (row == null) {
    fill(place, h("p", { class: "waiting", role: "alert" }, "There is no such answer on this page: the link is from another one."));
    return;
  }
  const answer = await data.answer(row);
  if (readState().answer !== state.answer) return; // somebody was quicker
  const drawn = JSON.stringify([state.answer, state.tab, state.colour]);
  if (place.dataset.drawn === drawn) { // only the action has changed
    place.querySelector(".panel").look?.(state.at);
    return;
  }
  place.dataset.drawn = drawn;
  const panel = h("div", { class: "panel" });
  fill(place, answerHead(answer, row, state), tabs(state), panel);
  place.scrollTop = 0;
  await (panels[state.tab] ?? tracePanel)(panel, answer, row, state);
}

function answerHead(answer, row, state) {
  const outcome = data.outcome(row), flip = data.flip(row), source = data.source(row);
  const told = [
    ["reward", data.column("reward", row), number], ["advantage", data.column("advantage", row), signed],
    ["edits", data.column("edits", row), number], ["tokens", data.column("tokens", row), number],
  ].filter(([, value]) => value != null);
  const step = data.column("step", row);
  return h("header", { class: "head" },
    h("div", { class: "title" },
      h("h2", {}, h("span", { class: `badge ${outcome}` }, h("span", { "aria-hidden": "true" }, OUTCOMES[outcome][0]), " ", OUTCOMES[outcome][1]),
        FLIPS[flip][0] && h("span", { class: `flip ${flip}` }, FLIPS[flip][1]),
        h("span", { class: "name" }, line(answer.name, 80))),
      h("div", { class: "moves" },
        moveButton("Previous answer (k)", "↑", -1), moveButton("Next answer (j)", "↓", 1),
        h("button", { type: "button", class: "plain", title: "Copy a link to this answer", onclick: (event) => copyLink(event.currentTarget) }, "Link"),
        h("a", { class: "plain button", href: linkTo({ answer: "", at: "", tab: "trace" }), "aria-label": "Close the answer (Escape)" }, "✕"))),
    h("p", { class: "facts" }, line(source.name, 60), step != null && [" · step ", h("b", {}, step)],
      told.map(([name, value, form]) => [" · ", name, " ", h("b", {}, form(value))])),
    h("div", { class: "problem-box" }, h("h3", {}, "Problem"), h("div", { class: "code" }, longText(answer.prompt.replace(/\n+$/, "")))));
}

const moveButton = (label, text, by) =>
  h("button", { type: "button", class: "plain", "aria-label": label, title: label, onclick: () => move(by) }, text);

async function copyLink(button) {
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "See the address bar"; // a page from disk may not be allowed to
  }
}

function move(by) {
  const row = list.next(readState().answer, by);
  if (row != null) go({ answer: data.ids[row], at: "" }, { quiet: true });
}

const tabs = (state) => h("nav", { class: "tabs", "aria-label": "Views of the answer" },
  Object.entries(TABS).map(([tab, label]) =>
    h("a", { href: linkTo({ tab }), "aria-current": state.tab === tab && "page" }, label)));

async function tracePanel(panel, answer, row, state) {
  const colours = Object.entries(COLOURS).filter(([, { has }]) => has(answer));
  const colour = colours.some(([name]) => name === state.colour) ? state.colour : "life";
  const told = h("dl", { class: "inspector", "aria-live": "polite", "aria-label": "The action" });
  let held = null;
  const look = (at, hold) => {
    if (hold) go({ at: at === held ? "" : at }, { quiet: true });
    else inspect(told, answer, at, trace);
  };
  const trace = traceOf(answer, { colour, chosen: look });
  trace.addEventListener("mouseleave", () => inspect(told, answer, held, trace));
  trace.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (by == null) return;
    event.preventDefault();
    const at = Math.max(0, Math.min(answer.tokens.length - 1, (held ?? (by > 0 ? -1 : 0)) + by));
    go({ at }, { quiet: true });
  });
  panel.look = (at) => {
    held = at === "" ? null : Number(at);
    trace.querySelector(".held")?.classList.remove("held");
    if (held != null) {
      trace.drawTo(held + 1);
      const token = trace.querySelector(`#action-${held}`);
      token?.classList.add("held");
      token?.scrollIntoView({ block: "nearest" });
    }
    inspect(told, answer, held, trace);
  };
  panel.append(...present([
    h("div", { class: "block" },
      h("div", { class: "block-head" }, h("h3", {}, answer.starts ? "Sampled, a line for each sample" : "Sampled"),
        h("label", { class: "field" }, h("span", {}, "Colour"), h("select", { id: "colour", onchange: (event) => go({ colour: event.target.value }, { quiet: true }) },
          colours.map(([name, { label }]) => h("option", { value: name, selected: name === colour }, label))))),
      trace, stripOf(answer, look)),
    told,
    h("div", { class: "block" }, h("h3", {}, "What is left"), h("div", { class: "code" }, longText(answer.text))),
    eventsTable(answer), scoresTable(answer)]));
  panel.look(state.at);
}

/** What is known of an action; of none, how to look at one. */
function inspect(place, answer, at, trace) {
  trace.querySelector(".looked")?.classList.remove("looked");
  trace.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
  if (at == null || at >= answer.tokens.length) {
    fill(place, h("div", { class: "hint" }, "Point at a token, or press n for the next event. A click holds it."));
    trace.removeAttribute("aria-activedescendant");
    return;
  }
  const token = trace.querySelector(`#action-${at}`);
  token?.classList.add("looked");
  token?.setAttribute("aria-selected", "true");
  trace.setAttribute("aria-activedescendant", `action-${at}`);
  const { eventOf, lives } = facts(answer);
  const event = eventOf.get(at);
  const pair = event == null ? null : answer.values?.[event];
  const logProb = answer.logProbs?.[at];
  const fact = (name, value, kind = "") => h("div", { class: kind }, h("dt", {}, name), h("dd", { title: value === BLANK && "not recorded" }, value));
  fill(place,
    fact("action", `${at + 1} of ${answer.tokens.length.toLocaleString("en")}`),
    fact("text", h("code", {}, answer.tokens[at] === "" ? "(part of a character)" : seen(answer.tokens[at].slice(0, 60)).flat().filter((part) => part !== "\n")), "wide"),
    fact("id", answer.ids ? answer.ids[at] : BLANK),
    fact("log-prob", logProb == null ? BLANK : `${logProb.toFixed(3)} · ${share(Math.exp(logProb))}`),
    fact("entropy", answer.entropies?.[at] == null ? BLANK : `${answer.entropies[at].toFixed(3)} nats`),
    fact("P(backtrack)", share(answer.editProbs?.[at])),
    fact("learns", answer.mask ? (answer.mask[at] ? "yes" : "masked") : BLANK),
    fact("advantage", signed(answer.advantages?.[at])),
    fact("lived", lives[at] == null ? (facts(answer).edits.has(at) ? "an edit" : "to the end") : plural(lives[at], "action")),
    answer.starts && fact("sample", `${answer.starts.findLastIndex((start) => start <= at) + 1} of ${answer.starts.length}`),
    fact("event", event == null ? "none" : `${event + 1}`),
    fact("value", pair ? `${number(pair[0])} → ${number(pair[1])}` : BLANK),
    fact("credit", pair && pair[0] != null && pair[1] != null ? signed(pair[1] - pair[0]) : BLANK),
    fact("verifier, before", verdictOf(answer.verdicts?.[at])));
}

const verdictOf = (fine) => (fine == null ? BLANK : fine ? "fine" : "dead end");

function eventsTable(answer) {
  if (!answer.events?.length) return null;
  const text = (places) => places.map((at) => answer.tokens[at]).join("");
  const head = ["Event", "At", "Edits", "What it erased", "Depth", "Value", "Credit", "P(backtrack)", "Verifier"];
  return h("div", { class: "block" }, h("h3", {}, plural(answer.events.length, "event")),
    h("div", { class: "wide-table", tabindex: 0, role: "region", "aria-label": "Events" }, h("table", {},
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, answer.events.slice(0, 500).map(([start, stop, effective, erased, before, after], event) => {
        const pair = answer.values?.[event];
        const judged = answer.verdicts && `${verdictOf(answer.verdicts[start])} → ${verdictOf(answer.verdicts[stop])}`;
        return h("tr", {},
          h("th", { scope: "row" }, h("a", { href: linkTo({ at: start }) }, event + 1)), h("td", {}, start + 1),
          h("td", {}, h("span", { class: "symbol" }, line(symbolOf(answer.tokens[start]), 20)), stop - start > 1 && ` ×${stop - start}`,
            effective < stop - start && h("span", { class: "soft" }, ` (${stop - start - effective} without effect)`)),
          h("td", { class: "code" }, h("del", {}, line(text(erased), 120))), h("td", {}, `${before} → ${after}`),
          h("td", {}, pair ? `${number(pair[0])} → ${number(pair[1])}` : BLANK),
          h("td", {}, pair ? signed(pair[1] - pair[0]) : BLANK),
          h("td", {}, share(answer.editProbs?.[start])), h("td", {}, judged ?? BLANK));
      })))));
}

function scoresTable(answer) {
  const scores = Object.entries(answer.scores);
  if (!scores.length) return null;
  return h("div", { class: "block" }, h("h3", {}, "Scores"),
    h("dl", { class: "scores" }, scores.map(([name, value]) => h("div", {}, h("dt", {}, line(name, 80)), h("dd", {}, number(value))))));
}

/** Look at the next event, or the one before. */
async function moveEvent(by) {
  const state = readState();
  const answer = state.answer && (await data.answer(data.byId.get(state.answer)));
  if (!answer?.events?.length) return;
  const here = state.at === "" ? (by > 0 ? -1 : Infinity) : Number(state.at);
  const starts = answer.events.map(([start]) => start);
  const next = by > 0 ? starts.find((start) => start > here) : starts.findLast((start) => start < here);
  if (next != null) go({ at: next }, { quiet: true });
}

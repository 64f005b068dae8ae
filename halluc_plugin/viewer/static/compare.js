/* The same problems, answered by two sources. */

const COMPARED = 100; // problems that are drawn at once
const ONLY = { a: "only A right", b: "only B right", both: "both right", neither: "neither right" };

function showCompare(main, state) {
  const { sources } = data.index;
  const [a, b] = [state.a || "0", state.b || "1"];
  const problems = shared(Number(a), Number(b));
  const counts = Object.fromEntries(Object.keys(ONLY).map((only) => [only, problems.filter((problem) => problem.only === only).length]));
  const kept = problems.filter((problem) => !state.only || problem.only === state.only);
  const pick = (name, label, value) => h("label", { class: `field pick-${name}` }, h("span", {}, label),
    h("select", { id: `compare-${name}`, onchange: (event) => go({ [name]: event.target.value }, { quiet: true }) },
      sources.map((source, at) => h("option", { value: at, selected: String(at) === value }, line(source.name, 80)))));
  const right = (side) => problems.reduce((sum, problem) => sum + problem[side].right, 0) / Math.max(1, problems.reduce((sum, problem) => sum + problem[side].judged, 0));
  const rows = h("div", { class: "compared" });
  const body = h("div", { class: "compare" },
    h("div", { class: "filters" }, pick("a", "A", a), pick("b", "B", b)),
    h("p", { class: "total", role: "status" }, `${plural(problems.length, "problem")} of both`,
      problems.length > 0 && [" · A ", h("b", {}, share(right("a"))), " right · B ", h("b", {}, share(right("b"))), " right"]),
    h("div", { class: "facets", role: "group", "aria-label": "Which is right" }, Object.entries(ONLY).map(([only, label]) =>
      h("button", { type: "button", class: `facet only-${only}`, "data-only": only, "aria-pressed": String(state.only === only),
        onclick: () => go({ only: state.only === only ? "" : only }, { quiet: true }) }, `${label} `, h("b", {}, counts[only].toLocaleString("en"))))),
    rows);
  const draw = (from) => {
    rows.append(...kept.slice(from, from + COMPARED).map(comparedRow));
    if (kept.length > from + COMPARED) {
      const more = h("button", { type: "button", class: "more", onclick: () => (more.remove(), draw(from + COMPARED)) }, `Show more of ${plural(kept.length - from - COMPARED, "problem")}`);
      rows.append(more);
    }
  };
  draw(0);
  if (!problems.length) rows.append(h("p", { class: "waiting" }, "These two have no problem in common."));
  fill(main, body);
}

/** Problems that both sources answered, with the answers of each; right is who has at least half of them right. */
function shared(a, b) {
  const { columns } = data.index;
  const found = new Map();
  for (let row = 0; row < data.rows; row++) {
    const side = columns.source[row] === a ? "a" : columns.source[row] === b ? "b" : null;
    if (!side) continue;
    const prompt = columns.prompt[row];
    if (!found.has(prompt)) found.set(prompt, { prompt, a: newSide(), b: newSide() });
    const answers = found.get(prompt)[side];
    answers.rows.push(row);
    if (data.outcome(row) === "unjudged") continue;
    answers.judged += 1;
    answers.right += data.outcome(row) === "correct";
  }
  const good = ({ right, judged }) => judged > 0 && 2 * right >= judged;
  return [...found.values()].filter((problem) => problem.a.rows.length && problem.b.rows.length).map((problem) => {
    const [one, two] = [good(problem.a), good(problem.b)];
    return { ...problem, only: one && two ? "both" : one ? "a" : two ? "b" : "neither" };
  });
}

const newSide = () => ({ rows: [], right: 0, judged: 0 });

function comparedRow(problem) {
  const side = (name) => {
    const { rows, right, judged } = problem[name];
    const verdict = judged === 0 ? "unjudged" : 2 * right >= judged ? "correct" : "wrong";
    return h("span", { class: `side-told ${verdict}` }, h("b", {}, name.toUpperCase()), " ", OUTCOMES[verdict][0], " ", rows.length > 1 ? `${right}/${judged}` : OUTCOMES[verdict][1]);
  };
  const both = h("div", { class: "both" });
  return h("details", { class: "pair", ontoggle: async (event) => {
    if (!event.target.open || both.childElementCount) return;
    for (const name of ["a", "b"]) {
      const column = h("div", { class: "column" });
      both.append(column);
      for (const row of problem[name].rows.slice(0, 4)) column.append(groupCard(await data.answer(row), row, false, 2));
    }
  } }, h("summary", {}, side("a"), side("b"), h("span", { class: "problem" }, line(data.index.prompts[problem.prompt], 160))), both);
}

VIEWS.compare = "Compare";
views.compare = showCompare;

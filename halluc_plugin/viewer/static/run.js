/* Curves over the steps of runs; a click leads to the answers of a step. */

const CHART = { width: 460, height: 210, left: 46, right: 12, top: 12, bottom: 26 };

function showRun(main, state) {
  const runs = data.index.sources.map((source, at) => ({ ...source, at })).filter(({ at }) => stepsOf(at).length || data.index.sources[at].charts?.length);
  const chosen = runs.filter(({ at }) => state.source === "" || state.source === String(at));
  const logged = chosen.length === 1 ? chosen[0].charts ?? [] : overlaid(chosen);
  const own = chosen.length === 1 ? ownCharts(chosen[0].at) : [];
  fill(main, h("div", { class: "run" },
    runs.length > 1 && h("label", { class: "field" }, h("span", {}, "Run"), h("select", { id: "run-source", onchange: (event) => go({ source: event.target.value }, { quiet: true }) },
      h("option", { value: "" }, "all, one curve of each chart"), runs.map(({ at, name }) => h("option", { value: at, selected: state.source === String(at) }, line(name, 60))))),
    logged.length > 0 && chartGrid("What the run logged", logged, chosen),
    own.length > 0 && chartGrid("Of the answers on this page", own, chosen),
    !logged.length && !own.length && h("p", { class: "waiting" }, "Nothing was logged over steps.")));
}

function stepsOf(source) {
  const { columns } = data.index;
  const steps = new Set();
  for (let row = 0; row < data.rows; row++) if (columns.source[row] === source && columns.step[row] != null) steps.add(columns.step[row]);
  return [...steps].sort((one, two) => one - two);
}

/** Of several runs one curve of each chart: the first of those that most of them have. */
function overlaid(runs) {
  const found = runs.flatMap(({ name, at, charts: own }) => (own?.length ? own : ownCharts(at)).map((chart) => ({ name, chart })));
  return [...new Set(found.map(({ chart }) => chart.key))].map((key) => {
    const charts = found.filter(({ chart }) => chart.key === key);
    const curves = charts.flatMap(({ name, chart }) => chart.series.map((series) => ({ name, series })));
    const of = (label) => curves.filter(({ series }) => series.label === label);
    const labels = [...new Set(curves.map(({ series }) => series.label))];
    const label = labels.reduce((best, next) => (of(next).length > of(best).length ? next : best));
    const [{ chart }] = charts;
    return { ...chart, title: `${chart.title}: ${label}`, series: of(label).map(({ name, series }) => ({ ...series, label: name, low: [], high: [] })) };
  });
}

/** What the answers that were kept say of each step. */
function ownCharts(source) {
  const { columns } = data.index;
  const steps = stepsOf(source);
  if (steps.length < 2) return [];
  const bySteps = new Map(steps.map((step) => [step, []]));
  for (let row = 0; row < data.rows; row++) if (columns.source[row] === source && columns.step[row] != null) bySteps.get(columns.step[row]).push(row);
  const mean = (label, of) => {
    const kept = steps.map((step) => {
      const values = bySteps.get(step).map(of).filter((value) => value != null);
      return [step, values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null];
    }).filter(([, value]) => value != null);
    return { label, steps: kept.map(([step]) => step), values: kept.map(([, value]) => value), low: [], high: [] };
  };
  const flips = (name) => (row) => (data.flip(row) === name ? 1 : 0);
  return [
    { key: "own-right", title: "Right", y: "share of answers", share: true, series: [mean("right", (row) => (data.outcome(row) === "unjudged" ? null : data.outcome(row) === "correct" ? 1 : 0))] },
    { key: "own-edits", title: "Edits and erased tokens", y: "an answer", share: false, series: [mean("edits", (row) => columns.edits[row]), mean("widest event, tokens", (row) => columns.depth[row])] },
    { key: "own-flips", title: "What edits changed", y: "share of answers", share: true, series: [mean("wrong → right", flips("to_correct")), mean("right → wrong", flips("to_incorrect")), mean("unnecessary", flips("unnecessary"))] },
    { key: "own-reward", title: "Reward", y: "an answer", share: false, series: [mean("reward", (row) => columns.reward[row])] },
    { key: "own-tokens", title: "Tokens sampled", y: "an answer", share: false, series: [mean("tokens", (row) => columns.tokens[row])] },
  ].map((chart) => ({ ...chart, series: chart.series.filter(({ steps: known }) => known.length) })).filter(({ series }) => series.length);
}

const chartGrid = (title, charts, runs) => h("section", { class: "charts-box" }, h("h2", {}, title),
  h("div", { class: "charts" }, charts.map((chart) => drawChart(chart, runs))));

/* Six colours; the lines behind the sixth are dashed, so that no two look alike. */
const lineClass = (at) => `c${at % 6}${at < 6 ? "" : " again"}`;

function drawChart(chart, runs) {
  const { width, height, left, right, top, bottom } = CHART;
  const steps = [...new Set(chart.series.flatMap((series) => series.steps))].sort((one, two) => one - two);
  const values = chart.series.flatMap(({ values: mid, low, high }) => [...mid, ...low, ...high]).filter((value) => value != null);
  let [least, most] = chart.share ? [0, 1] : [-largest(values.map((value) => -value), 0), largest(values)];
  if (chart.share) most = Math.min(1, largest(values, 0.05) * 1.08);
  if (least === most) most = least + 1;
  const span = steps.at(-1) - steps[0] || 1;
  const x = (step) => left + ((step - steps[0]) / span) * (width - left - right);
  const y = (value) => height - bottom - ((value - least) / (most - least)) * (height - top - bottom);
  const path = (points) => points.map(([step, value], at) => `${at ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const cross = s("line", { class: "cross", y1: top, y2: height - bottom, x1: -9, x2: -9 });
  const told = h("p", { class: "chart-told" }, chart.y);
  const grid = ticks(least, most).map((value) => [
    s("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
    s("text", { class: "tick", x: left - 6, y: y(value) + 4, "text-anchor": "end" }, chart.share ? `${Math.round(100 * value)} %` : short(value))]);
  const marks = [steps[0], steps[Math.floor(steps.length / 2)], steps.at(-1)].filter((step, at, all) => all.indexOf(step) === at)
    .map((step) => s("text", { class: "tick", x: x(step), y: height - 8, "text-anchor": step === steps[0] ? "start" : step === steps.at(-1) ? "end" : "middle" }, step));
  const lines = chart.series.map(({ steps: known, values: mid, low, high }, at) => [
    low.length > 0 && s("path", { class: `band c${at % 6}`, d: `${path(known.map((step, i) => [step, high[i]]))}${path(known.map((step, i) => [step, low[i]]).reverse()).replace("M", "L")}Z` }),
    s("path", { class: `curve ${lineClass(at)}`, d: path(known.map((step, i) => [step, mid[i]])) }),
    known.length < 40 && known.map((step, i) => s("circle", { class: `dot c${at % 6}`, cx: x(step), cy: y(mid[i]), r: 2.6 }))]);
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * width;
    return steps.reduce((best, step) => (Math.abs(x(step) - at) < Math.abs(x(best) - at) ? step : best), steps[0]);
  };
  const tell = (step) => {
    cross.setAttribute("x1", x(step));
    cross.setAttribute("x2", x(step));
    fill(told, h("b", {}, `step ${step}`), chart.series.map(({ label, steps: known, values: mid }) => {
      const at = known.indexOf(step);
      return at >= 0 && [" · ", line(label, 40), " ", h("b", {}, chart.share ? share(mid[at]) : number(mid[at]))];
    }));
  };
  const open = (step) => {
    const source = runs.length === 1 ? String(runs[0].at) : "";
    const there = (runs.length === 1 ? stepsOf(runs[0].at) : [...new Set(runs.flatMap(({ at }) => stepsOf(at)))]);
    if (!there.length) return;
    const best = there.reduce((one, two) => (Math.abs(two - step) < Math.abs(one - step) ? two : one));
    go({ view: "answers", source: data.index.sources.length > 1 ? source : "", from: best, to: best, answer: "", at: "" });
  };
  let held = steps.length - 1;
  const picture = s("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${chart.title}, steps ${steps[0]} to ${steps.at(-1)}`,
    onmousemove: (event) => tell(nearest(event)), onclick: (event) => open(nearest(event)),
    onmouseleave: () => { cross.setAttribute("x1", -9); cross.setAttribute("x2", -9); told.textContent = chart.y; } }, grid, marks, cross, lines);
  const keys = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by) tell(steps[(held = Math.max(0, Math.min(steps.length - 1, held + by)))]);
    if (event.key === "Enter") open(steps[held]);
  };
  return h("figure", { class: "chart", id: `chart-${chart.key}` },
    h("figcaption", {}, h("h3", {}, line(chart.title, 100)),
      h("ul", { class: "legend" }, chart.series.slice(0, 12).map(({ label }, at) => h("li", { class: lineClass(at) }, line(label, 40))))),
    h("div", { class: "plot-box", tabindex: 0, role: "group", "aria-label": `${chart.title}: arrow keys read steps, Enter shows their answers`, onkeydown: keys }, picture), told);
}

function ticks(least, most) {
  const rough = (most - least) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((factor) => factor * unit).find((step) => step >= rough);
  const found = [];
  for (let at = Math.ceil(least / size); at * size <= most + 1e-9; at++) found.push(at * size);
  return found;
}

const short = (value) => (Math.abs(value) >= 1000 ? `${+(value / 1000).toPrecision(3)}k` : String(+value.toPrecision(3)));

VIEWS.run = "Run";
views.run = showRun;

/* Which answers are listed, in which order, and how many there would be. */

const OUTCOMES = { correct: ["✓", "right"], wrong: ["✗", "wrong"], no_answer: ["∅", "no answer"], unjudged: ["?", "not judged"] };
const FLIPS = {
  to_correct: ["↗", "wrong → right"], to_incorrect: ["↘", "right → wrong"], unnecessary: ["=", "unnecessary"],
  none: ["", "no flip"],
};

/** For each filter that is set, whether an answer passes. */
function tests(state) {
  const { columns } = data.index;
  const needle = state.text.toLowerCase();
  const id = /^#\d+$/.test(state.token) ? `,${state.token.slice(1)},` : null;
  const token = EDGE + state.token.replaceAll("↵", "\n") + EDGE;
  const all = {
    text: (row) => data.texts[row].all.includes(needle),
    token: (row) => (id ? data.texts[row].ids.includes(id) : data.texts[row].tokens.includes(token)),
    outcome: (row) => data.outcome(row) === state.outcome,
    flip: (row) => data.flip(row) === state.flip,
    source: (row) => String(columns.source[row]) === state.source,
    data: (row) => String(columns.data[row]) === state.data,
    from: (row) => columns.step[row] != null && columns.step[row] >= Number(state.from),
    to: (row) => columns.step[row] != null && columns.step[row] <= Number(state.to),
    depth: (row) => (columns.depth[row] ?? 0) >= Number(state.depth),
  };
  return Object.entries(all).filter(([name]) => state[name] !== "");
}

/** The rows that pass all filters, in order; and of verdicts and flips, how many pass all other filters. */
function filtered(state) {
  const active = tests(state);
  const rows = [];
  const counts = { outcome: {}, flip: {} };
  for (let row = 0; row < data.rows; row++) {
    const failed = active.filter(([, passes]) => !passes(row)).map(([name]) => name);
    if (!failed.length) rows.push(row);
    for (const facet of Object.keys(counts)) {
      if (failed.some((name) => name !== facet)) continue;
      const value = data[facet](row);
      counts[facet][value] = (counts[facet][value] ?? 0) + 1;
    }
  }
  return { rows: sorted(rows, state.sort), counts };
}

function sorted(rows, sort) {
  if (!sort) return rows;
  const falling = sort.startsWith("-");
  const name = sort.replace(/^-/, "");
  const told = { prompt: (row) => data.prompt(row), data: (row) => data.index.data[data.column("data", row)], source: (row) => data.source(row).name };
  const values = rows.map(told[name] ?? ((row) => data.index.columns[name]?.[row]));
  const order = rows.map((_, at) => at).sort((one, two) => {
    const [x, y] = [values[one], values[two]];
    if (x == null || y == null) return (x == null) - (y == null); // what is not known comes last either way
    return (x < y ? -1 : x > y ? 1 : 0) * (falling ? -1 : 1);
  });
  return order.map((at) => rows[at]);
}

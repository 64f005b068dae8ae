/* The list: only the rows that can be seen are drawn. */

const ROW = 34; // px, as in page.css
const LISTED = [ // `wide`: only where no answer is open beside the list
  { name: "outcome", label: "", title: "Verdict", width: "28px" },
  { name: "prompt", label: "Problem", title: "Problem", width: "minmax(0, 1fr)" },
  { name: "flip", label: "Edits made it", title: "What edits changed", width: "122px" },
  { name: "source", label: "Source", title: "Source", width: "minmax(60px, 130px)", wide: true, of: (at) => line(data.index.sources[at].name, 40) },
  { name: "data", label: "Data", title: "Data source", width: "minmax(60px, 130px)", wide: true, of: (at) => line(data.index.data[at] ?? BLANK, 40) },
  { name: "edits", label: "Edits", title: "Edit tokens", width: "62px", of: number },
  { name: "depth", label: "Depth", title: "Tokens that the widest event erased", width: "62px", wide: true, of: number },
  { name: "tokens", label: "Tokens", title: "Tokens sampled", width: "66px", wide: true, of: number },
  { name: "reward", label: "Reward", title: "Reward", width: "70px", of: number },
  { name: "advantage", label: "Adv.", title: "Mean advantage of the actions that learn", width: "66px", of: signed },
  { name: "step", label: "Step", title: "Training step", width: "56px", of: number },
];

const list = {
  node: null,
  rows: [],
  counts: null,
  key: null,

  /** Draw list and filters; the rows are worked out again only where the filter has changed. */
  async show(place, state) {
    if (!this.node || !place.contains(this.node)) {
      this.node = this.build(state);
      place.append(this.node);
      this.key = null;
    }
    const key = JSON.stringify([...FILTERS, "sort"].map((name) => state[name]));
    if (key !== this.key) {
      if (state.text || state.token) {
        await data.readTexts((done) => (this.total.textContent = `Looking… ${Math.round(100 * done)} %`));
        if (readState().text !== state.text || readState().token !== state.token) return;
      }
      Object.assign(this, filtered(state));
      this.key = key;
      this.body.style.height = `${this.rows.length * ROW}px`;
      this.scroller.scrollTop = 0;
      this.table.setAttribute("aria-rowcount", this.rows.length + 1);
      this.tell(state);
    }
    this.draw(state);
    if (state.answer) this.reveal(data.byId.get(state.answer));
  },

  build(state) {
    const { columns } = data.index;
    const told = { outcome: true, prompt: true, flip: columns.flip.some((flip) => FLIPS[data.index.flips[flip]][0]), source: data.index.sources.length > 1, data: data.index.data.length > 1 };
    this.listed = LISTED.filter(({ name }) => told[name] ?? columns[name].some((value) => value != null));
    const widths = (kept) => kept.map(({ width }) => width).join(" ");
    this.total = h("p", { class: "total", role: "status" });
    this.facets = h("div", { class: "facets" });
    this.heads = h("div", { class: "row heads", role: "row", "aria-rowindex": 1 });
    this.body = h("div", { class: "rows", role: "presentation" });
    this.scroller = h("div", { class: "scroller", role: "rowgroup",
      onscroll: () => requestAnimationFrame(() => this.draw(readState())) }, this.body);
    this.table = h("div", { class: "table", role: "table", "aria-label": "Answers",
      vars: { columns: widths(this.listed), narrow: widths(this.listed.filter(({ wide }) => !wide)) } },
      h("div", { role: "rowgroup" }, this.heads), this.scroller);
    new ResizeObserver(() => this.draw(readState())).observe(this.scroller);
    return h("section", { class: "list", "aria-label": "List of answers" }, this.form(state), this.facets, this.total, this.table);
  },

  form(state) {
    const { sources, data: names, columns } = data.index;
    const field = (name, label, input) => h("label", { class: `field ${name}` }, h("span", {}, label), input);
    const typed = (name, label, more = {}) => field(name, label, h("input", {
      id: `filter-${name}`, type: "search", value: state[name], autocomplete: "off", spellcheck: "false", ...more,
      oninput: (event) => later(() => go({ [name]: event.target.value }, { quiet: true })),
    }));
    const chosen = (name, label, options) => field(name, label, h("select", {
      id: `filter-${name}`, onchange: (event) => go({ [name]: event.target.value }, { quiet: true }),
    }, h("option", { value: "" }, "all"), options.map(([value, text]) =>
      h("option", { value, selected: state[name] === String(value) }, ...line(text, 60)))));
    const steps = columns.step.some((step) => step != null);
    return h("form", { class: "filters", role: "search", "aria-label": "Filter", onsubmit: (event) => event.preventDefault() },
      typed("text", "Text", { placeholder: "in problem, trace, answer" }),
      typed("token", "Token", { placeholder: "exact or #id" }),
      sources.length > 1 && chosen("source", "Source", sources.map((source, at) => [at, source.name])),
      names.filter((name) => name != null).length > 1 && chosen("data", "Data", names.map((name, at) => [at, name ?? "none"])),
      steps && typed("from", "Step from", { type: "number", min: 0 }),
      steps && typed("to", "to", { type: "number", min: 0 }),
      typed("depth", "Depth ≥", { type: "number", min: 0, title: "Tokens that the widest event erased" }));
  },

  clear() {
    for (const input of this.node.querySelectorAll(".filters input, .filters select")) input.value = "";
    go(Object.fromEntries(FILTERS.map((name) => [name, ""])), { quiet: true });
  },

  /** Counts, headings, and what goes with the filter. */
  tell(state) {
    for (const name of FILTERS) {
      const input = this.node.querySelector(`#filter-${name}`);
      if (input && input !== document.activeElement) input.value = state[name]; // it may have changed by a link
    }
    const listed = this.rows.length;
    fill(this.total, listed === data.rows ? plural(listed, "answer") : `${listed.toLocaleString("en")} of ${plural(data.rows, "answer")}`,
      FILTERS.some((name) => state[name]) && h("button", { type: "button", class: "clear", onclick: () => this.clear() }, "Clear the filter"));
    const facet = (name, values) => Object.entries(values)
      .filter(([value]) => value !== "none" && (this.counts[name][value] || state[name] === value))
      .map(([value, [mark, label]]) => h("button", {
        type: "button", class: `facet ${value}`, "aria-pressed": String(state[name] === value), "data-facet": `${name}-${value}`,
        onclick: () => go({ [name]: state[name] === value ? "" : value }, { quiet: true }),
      }, h("span", { class: "mark", "aria-hidden": "true" }, mark), `${label} `, h("b", {}, (this.counts[name][value] ?? 0).toLocaleString("en"))));
    const kept = document.activeElement?.dataset?.facet;
    fill(this.facets, h("div", { role: "group", "aria-label": "Verdict" }, facet("outcome", OUTCOMES)),
      h("div", { role: "group", "aria-label": "What edits changed" }, facet("flip", FLIPS)));
    if (kept) this.facets.querySelector(`[data-facet="${CSS.escape(kept)}"]`)?.focus();
    fill(this.heads, ...this.listed.map(({ name, label, title, wide }) => {
      const rising = state.sort === name, falling = state.sort === `-${name}`;
      return h("span", { role: "columnheader", class: `cell ${name}${wide ? " wide" : ""}`, "aria-sort": rising ? "ascending" : falling ? "descending" : "none" },
        h("button", { type: "button", title: `${title}: sort`, "aria-label": title, onclick: () => go({ sort: rising ? `-${name}` : falling ? "" : name }, { quiet: true }) },
          label || "✓", rising ? " ↑" : falling ? " ↓" : ""));
    }));
  },

  draw(state, all = false) {
    if (!this.counts) return;
    const above = all ? 0 : Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - 10);
    const below = all ? Math.min(this.rows.length, 1000) : Math.min(this.rows.length, above + Math.ceil(this.scroller.clientHeight / ROW) + 20);
    const drawn = this.rows.slice(above, below).map((row, at) => this.row(row, above + at, state));
    if (!this.rows.length) drawn.push(h("p", { class: "waiting" }, "No answer passes this filter."));
    fill(this.body, ...drawn);
  },

  row(row, at, state) {
    const outcome = data.outcome(row), flip = data.flip(row), id = data.ids[row];
    const current = state.answer === id;
    return h("div", { class: `row${current ? " current" : ""}`, role: "row", "aria-rowindex": at + 2, vars: { at }, "data-row": row,
      onclick: () => go({ answer: id, at: "" }) },
      h("span", { role: "cell", class: `cell outcome ${outcome}`, title: OUTCOMES[outcome][1] },
        h("span", { "aria-hidden": "true" }, OUTCOMES[outcome][0]), h("span", { class: "aside" }, OUTCOMES[outcome][1])),
      h("span", { role: "cell", class: "cell prompt" },
        h("a", { class: "problem", href: linkTo({ answer: id, at: "" }), "aria-current": current && "true" }, line(data.prompt(row), 160)),
        h("span", { class: "left" }, line(data.column("left", row), 120))),
      this.listed.some(({ name }) => name === "flip") && h("span", { role: "cell", class: "cell flips" }, FLIPS[flip][0] && h("span", { class: `flip ${flip}` }, FLIPS[flip][1])),
      this.listed.filter(({ of }) => of).map(({ name, of, wide }) =>
        h("span", { role: "cell", class: `cell ${name}${wide ? " wide" : ""}` }, of(data.column(name, row)))));
  },

  /** Scroll to a row where it is listed and not seen. */
  reveal(row) {
    const at = this.rows.indexOf(row);
    if (at < 0) return;
    const top = at * ROW, view = this.scroller;
    if (top < view.scrollTop || top + ROW > view.scrollTop + view.clientHeight) {
      view.scrollTop = Math.max(0, top - view.clientHeight / 2);
      this.draw(readState());
    }
  },

  /** The row some places further down the list; none at its end. */
  next(id, by) {
    if (!this.rows.length) return null;
    const at = this.rows.indexOf(data.byId.get(id));
    if (at < 0) return this.rows[by > 0 ? 0 : this.rows.length - 1];
    return this.rows[at + by] ?? null;
  },
};

let waiting;
const later = (done) => { clearTimeout(waiting); waiting = setTimeout(done, 180); };

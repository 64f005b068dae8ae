/* What the page carries: an index that is read at once, and parts that are read when they are looked at. */

async function inflate(id) {
  const packed = document.getElementById(id).textContent;
  const stream = new Blob([bytes(packed)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const found = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) found[at] = binary.charCodeAt(at);
  return found;
}

const HELD = 8; // parts that are kept unpacked
const whole = new Promise((done) =>
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", done) : done());

const data = {
  index: null,
  rows: 0,
  ids: [], // of each answer, for addresses
  byId: new Map(),
  parts: new Map(),
  texts: null, // of each answer, once a text or a token has been looked for

  async read() {
    this.index = await inflate("index");
    const { name, step, source } = this.index.columns;
    this.rows = name.length;
    for (let row = 0; row < this.rows; row++) {
      let id = `${source[row]}:${step[row] ?? ""}:${name[row]}`;
      if (this.byId.has(id)) id += `:${row}`;
      this.ids.push(id);
      this.byId.set(id, row);
    }
  },

  column(name, row) { return this.index.columns[name][row]; },
  prompt(row) { return this.index.prompts[this.column("prompt", row)]; },
  outcome(row) { return this.index.outcomes[this.column("outcome", row)] ?? "unjudged"; },
  flip(row) { return this.index.flips[this.column("flip", row)]; },
  source(row) { return this.index.sources[this.column("source", row)]; },

  /** All that is known of an answer. */
  async answer(row) {
    const number = Math.floor(row / this.index.part);
    if (!this.parts.has(number)) {
      await whole;
      this.parts.set(number, inflate(`part-${number}`));
    }
    const part = this.parts.get(number);
    this.parts.delete(number); // the one that was used last is the last to go
    this.parts.set(number, part);
    if (this.parts.size > HELD) this.parts.delete(this.parts.keys().next().value);
    return (await part)[row % this.index.part];
  },

  /** What a text, a token or an id is looked for in. */
  async readTexts(progress) {
    if (this.texts) return;
    await whole;
    const texts = [];
    for (let row = 0; row < this.rows; row++) {
      if (row % this.index.part === 0) progress(row / this.rows);
      const answer = await this.answer(row);
      texts.push({
        all: `${answer.prompt}\n${answer.tokens.join("")}\n${answer.text}`.toLowerCase(),
        tokens: EDGE + answer.tokens.join(EDGE) + EDGE,
        ids: answer.ids ? `,${answer.ids.join(",")},` : "",
      });
    }
    this.texts = texts;
  },
};

const EDGE = "\uffff"; // no character: between tokens

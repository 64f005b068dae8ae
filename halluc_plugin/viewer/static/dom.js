/* Elements, and text that a model wrote: it only ever becomes text nodes, and what would not be seen is named. */

const NAMESPACE = "http://www.w3.org/2000/svg";

/** Make an element: attributes, `on…` listeners, `vars` for custom properties; children are nodes and texts. */
const h = (name, attributes, ...children) => filled(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) => filled(document.createElementNS(NAMESPACE, name), attributes, children);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, set] of Object.entries(value)) node.style.setProperty(`--${key}`, set);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...present(children));
  return node;
}

/** Replace what is in a node. */
const fill = (node, ...children) => node.replaceChildren(...present(children));
const present = (children) => children.flat(Infinity).filter((child) => child != null && child !== false);

/* Controls, formats (bidi, zero width, tags), lone surrogates, separators, fillers: what acts, or is not seen. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu;
const SIGNS = { "\t": "⇥", "\r": "␍", "\u001b": "␛", "\0": "␀" };

/** A text as nodes: line ends as ↵ before the line end, what is not seen as its name. */
function seen(text, { lineEnds = true } = {}) {
  const found = [];
  let done = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match[0] === "\n" && !lineEnds) continue;
    found.push(text.slice(done, match.index), sign(match[0]));
    done = match.index + match[0].length;
  }
  found.push(text.slice(done));
  return found.filter((part) => part !== "");
}

function sign(character) {
  if (character === "\n") return [h("span", { class: "sign", "aria-label": "line end" }, "↵"), "\n"];
  const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return h("span", { class: "unseen", title: `U+${code}` }, SIGNS[character] ?? `U+${code}`);
}

/** A text of any length: the first characters, and a button for more. */
function longText(text, limit = 4000) {
  const place = h("span", { class: "text", dir: "auto" });
  let done = 0;
  const draw = (count) => {
    place.append(...seen(text.slice(done, done + count), { lineEnds: false }).flat());
    done += count;
    if (done >= text.length) return;
    const left = (text.length - done).toLocaleString("en");
    const more = h("button", { type: "button", class: "more", onclick: () => (more.remove(), draw(20000)) },
      `Show more of ${left} characters`);
    place.append(more);
  };
  draw(limit);
  return place;
}

/** A text in one line, cut. */
const line = (text, limit = 240) => seen(text.slice(0, limit).replace(/\n+$/, "").replaceAll("\n", " ↵ "));

const BLANK = "–";
const number = (value, digits = 3) =>
  value == null ? BLANK : Number.isInteger(value) ? value.toLocaleString("en") : Number(value).toPrecision(digits);
const signed = (value) => (value == null ? BLANK : (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(2));
const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
const share = (value) => (value == null ? BLANK : value > 0 && value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);

/** The largest of some numbers; a call with all of them as arguments would fail at a hundred thousand. */
const largest = (values, least = -Infinity) => values.reduce((most, value) => (value > most ? value : most), least);

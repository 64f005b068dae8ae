/* The raw trace: every action in order, erased text struck through and tinted by how long it lived. */

const DRAWN = 2500; // actions that are drawn at once
const COLOURS = {
  life: { label: "how long erased text lived", has: () => true },
  surprise: { label: "surprise, −log p", has: (answer) => answer.logProbs, of: (answer, at) => scaled(answer.logProbs[at] == null ? null : -answer.logProbs[at], 6) },
  entropy: { label: "entropy", has: (answer) => answer.entropies, of: (answer, at) => scaled(answer.entropies[at], 3) },
  edit: { label: "P(backtrack)", has: (answer) => answer.editProbs, of: (answer, at) => scaled(answer.editProbs[at], 1) },
  advantage: { label: "advantage", has: (answer) => answer.advantages, of: (answer, at) => scaled(answer.advantages[at], 2) },
};
const scaled = (value, most) => (value == null ? null : Math.max(-1, Math.min(1, value / most)));

/** What is worked out of an answer once: edits, events, lives. */
function facts(answer) {
  if (answer.facts) return answer.facts;
  const edits = new Set(answer.edits);
  const eventOf = new Map();
  (answer.events ?? []).forEach(([start, stop, , erased], event) => {
    for (let at = start; at < stop; at++) eventOf.set(at, event);
    for (const at of erased) eventOf.set(at, event);
  });
  const lives = answer.tokens.map((_, at) => (answer.erasedAt?.[at] == null ? null : answer.erasedAt[at] - at));
  const longest = largest(lives.map((life) => life ?? 0), 8);
  const samples = new Map((answer.starts ?? []).map((start, sample) => [start, sample + 1]));
  answer.facts = { edits, eventOf, lives, longest, samples };
  return answer.facts;
}

const symbolOf = (token) => data.index.symbols[token.trim()] ?? token;

/** The actions of an answer as a list to choose from; `chosen(at)` is told which one is looked at. */
function traceOf(answer, { colour = "life", chosen = null, until = Infinity, limit = DRAWN } = {}) {
  const place = chosen
    ? h("div", { class: "trace", role: "listbox", "aria-label": "Actions, in the order in which they were sampled", tabindex: 0, dir: "auto" })
    : h("div", { class: "trace", dir: "auto" });
  const end = Math.min(answer.tokens.length, until);
  let drawn = 0;
  place.drawTo = (count) => {
    place.querySelector(".more")?.remove();
    const nodes = [];
    for (; drawn < Math.min(end, count); drawn++) {
      const { samples } = facts(answer);
      if (drawn && samples.has(drawn) && !answer.tokens[drawn - 1].endsWith("\n")) nodes.push(h("br", { "aria-hidden": "true" }));
      nodes.push(tokenOf(answer, drawn, colour, !!chosen));
    }
    place.append(...nodes);
    if (drawn < end) place.append(h("button", { type: "button", class: "more", onclick: () => place.drawTo(drawn + DRAWN) },
      `Show more of ${(end - drawn).toLocaleString("en")} actions`));
  };
  place.drawTo(limit);
  if (chosen) {
    const at = (event) => event.target.closest?.(".token")?.dataset.at;
    place.addEventListener("mouseover", (event) => at(event) && chosen(Number(at(event)), false));
    place.addEventListener("click", (event) => at(event) && chosen(Number(at(event)), true));
  }
  return place;
}

function tokenOf(answer, at, colour, option) {
  const { edits, eventOf, lives, longest, samples } = facts(answer);
  const token = answer.tokens[at];
  const life = lives[at];
  const kind = edits.has(at) ? "edit" : life == null ? "live" : "erased";
  const value = colour === "life" ? null : COLOURS[colour].of(answer, at);
  const vars = value != null ? { value: Math.abs(value).toFixed(3) }
    : colour === "life" && life != null ? { life: (Math.log1p(life) / Math.log1p(longest)).toFixed(3) } : null;
  const event = eventOf.get(at);
  const sample = samples.get(at); // of a search: a line for each
  return h("span", { "data-sample": sample, class: `token ${kind}${sample ? " begins" : ""}${value == null ? "" : value < 0 ? " shaded below" : " shaded"}`, vars, "data-at": at,
    role: option && "option", "aria-selected": option && "false", id: option && `action-${at}`,
    "data-event": kind === "edit" && event },
    kind === "edit" ? [h("span", { class: "symbol" }, line(symbolOf(token), 40)), startsEvent(answer, at) && h("sub", {}, event + 1)]
      : token === "" ? h("span", { class: "empty", title: "part of the next character" }, "·") : seen(token.slice(0, 2000)),
    token.length > 2000 && h("span", { class: "unseen" }, `+${(token.length - 2000).toLocaleString("en")} characters`));
}

const startsEvent = (answer, at) => {
  const event = facts(answer).eventOf.get(at);
  return event != null && answer.events[event][0] === at;
};

/** P(backtrack) at every action, with the log-probs below; a click looks at the action. */
function stripOf(answer, chosen) {
  const count = answer.tokens.length;
  const bins = Math.min(count, 600);
  const strip = (values, height, label, of) => {
    const bars = [];
    for (let bin = 0; bin < bins; bin++) {
      const [from, to] = [Math.floor((bin * count) / bins), Math.max(Math.floor(((bin + 1) * count) / bins), 1)];
      let best = null;
      for (let at = from; at < to; at++) if (values[at] != null && (best == null || of(values[at]) > of(values[best]))) best = at;
      if (best == null) continue;
      const size = Math.max(0.02, Math.min(1, of(values[best]))) * height;
      bars.push(s("rect", { x: bin + 0.1, y: height - size, width: 0.8, height: size, class: facts(answer).edits.has(best) ? "edit" : "" }));
    }
    const node = s("svg", { class: "strip", viewBox: `0 0 ${bins} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label,
      onclick: (event) => {
        const box = node.getBoundingClientRect();
        chosen(Math.min(count - 1, Math.floor(((event.clientX - box.left) / box.width) * count)), true);
      } }, bars);
    return h("figure", { class: "strips" }, h("figcaption", {}, label), node);
  };
  return [
    answer.editProbs && strip(answer.editProbs, 36, "P(backtrack) before each action, 0 to 1; edits that were taken are yellow", (value) => value),
    answer.logProbs && strip(answer.logProbs, 24, "Surprise of each action, −log p, 0 to 6 nats", (value) => -value / 6),
  ];
}

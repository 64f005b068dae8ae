/* What is shown is said by the address, and by nothing else: a link leads back to it, filter and all. */

const DEFAULTS = {
  view: "answers", answer: "", tab: "trace", colour: "life",
  text: "", token: "", outcome: "", flip: "", source: "", data: "", from: "", to: "", depth: "", sort: "", theme: "",
  a: "", b: "", only: "", at: "",
};
const FILTERS = ["text", "token", "outcome", "flip", "source", "data", "from", "to", "depth"];

function readState() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, usual]) => [name, given.get(name) ?? usual]));
}

const hashOf = (state) => {
  const told = Object.entries(state).filter(([name, value]) => String(value) !== DEFAULTS[name]);
  return `#${new URLSearchParams(told.map(([name, value]) => [name, String(value)]))}`;
};

/** Go to what differs from the state by some changes; `quiet` leaves no step behind in the history. */
function go(changes, { quiet = false } = {}) {
  const hash = hashOf({ ...readState(), ...changes });
  if (hash === location.hash || (hash === "#" && !location.hash)) return;
  if (quiet) location.replace(hash);
  else location.hash = hash;
}

const linkTo = (changes) => hashOf({ ...readState(), ...changes });

/* Views by name, and what draws each; files of views add theirs. */
const VIEWS = { answers: "Answers" };
const views = {};

/* The states that answers passed through, as a tree: a state is what was live, and equal states are one node. */

const NODES = 600; // nodes that are drawn
const LANE = 44, HIGH = 28, GAP = 34, CHARACTER = 7.6, WIDEST = 30;

/** The states of some answers; `null` where their ids are not known. */
function statesOf(answers) {
  if (answers.some((answer) => !answer.ids)) return null;
  const root = newState("", null, 0);
  const paths = answers.map((answer, which) => pathOf(answer, which, root));
  return { root, paths };
}

const newState = (token, parent, first) =>
  ({ token, parent, children: new Map(), first, writes: 0, live: false, through: new Set(), events: [] });

/** Follow one answer; returns its state after each number of actions. */
function pathOf(answer, which, root) {
  const written = [];
  const { edits } = facts(answer);
  const parentOf = (at) => (answer.parent ? answer.parent[at] : at - 1);
  const before = (at) => (parentOf(at) < 0 ? root : written[parentOf(at)]);
  for (let at = 0; at < answer.ids.length; at++) {
    if (edits.has(at)) continue;
    const from = before(at), key = answer.ids[at];
    if (!from.children.has(key)) from.children.set(key, newState(answer.tokens[at], from, at));
    const state = (written[at] = from.children.get(key));
    state.writes += 1;
    state.through.add(which);
  }
  const last = answer.ids.findLastIndex((_, at) => !edits.has(at) && answer.erasedAt?.[at] == null);
  const end = last < 0 ? root : written[last];
  for (let state = end; state; state = state.parent) {
    state.live = true;
    (state.kept ??= new Set()).add(which);
  }
  (answer.events ?? []).forEach(([start, stop], event) => before(start).events.push({ event, edits: stop - start, token: answer.tokens[start], start }));
  return answer.ids.map((_, at) => before(at)).concat(end);
}

/** Runs of states without a branch, each to the end of a step, as the nodes that are drawn. */
function nodesOf(root) {
  const nodes = [];
  const open = [{ state: root, from: null, depth: 0 }];
  while (open.length && nodes.length < NODES) {
    const { state, from } = open.pop();
    const node = { states: [], from, children: [] };
    let last = state;
    if (state !== root) {
      node.states.push(state);
      while (last.children.size === 1 && !last.token.includes("\n") && !last.events.length) {
        const [next] = last.children.values();
        if (next.live !== last.live || next.through.size !== last.through.size) break;
        last = next;
        node.states.push(last);
      }
    }
    node.last = last;
    from?.children.push(node);
    nodes.push(node);
    // What is left of the answer first: it stays on one line, and what was taken back hangs below it.
    const next = [...last.children.values()].sort((one, two) => two.live - one.live || one.first - two.first);
    for (const child of next.reverse()) open.push({ state: child, from: node });
  }
  return { nodes, cut: open.length > 0 };
}

function placed(nodes) {
  let lane = 0;
  for (const node of nodes) {
    node.text = plain(node.states.map((state) => state.token).join(""));
    node.label = node.states.length ? (node.text.length > WIDEST ? `${node.text.slice(0, WIDEST - 1)}…` : node.text) : "start";
    node.width = Math.max(26, node.label.length * CHARACTER + 18);
    node.x = node.from ? node.from.x + node.from.width + GAP + (node.from.last.events.length ? 26 : 0) : 8;
    node.y = node.from && node.from.children[0] === node ? node.from.y : node.from ? ++lane * LANE + 18 : 18;
  }
  return { width: largest(nodes.map((node) => node.x + node.width)) + 90, height: (lane + 1) * LANE + 18 };
}

/** A text for SVG: one line, what is not seen by its name. */
const plain = (text) => text.replace(UNSEEN, (found) => (found === "\n" ? "↵" : SIGNS[found] ?? `⟨U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`));

function drawTree(root, { label, kindOf, note }) {
  const { nodes, cut } = nodesOf(root);
  const { width, height } = placed(nodes);
  const drawn = nodes.map((node) => {
    const middle = node.y + HIGH / 2;
    const edge = node.from && s("path", { class: `edge ${kindOf(node)}`,
      d: `M${node.from.x + node.from.width} ${node.from.y + HIGH / 2} C${node.x - GAP / 2} ${node.from.y + HIGH / 2} ${node.x - GAP / 2} ${middle} ${node.x} ${middle}` });
    const { events } = node.last;
    const told = [node.text || "the end of the prompt", node.states.length && plural(node.states.length, "token"), note?.(node)].filter(Boolean).join(" · ");
    node.box = s("g", { class: `state ${kindOf(node)}` }, s("title", {}, told),
      s("rect", { x: node.x, y: node.y, width: node.width, height: HIGH, rx: 7 }),
      s("text", { x: node.x + node.width / 2, y: middle + 4.5 }, node.label),
      note?.(node) && s("text", { class: "count", x: node.x + 3, y: node.y - 4 }, note(node)),
      events.length > 0 && s("text", { class: "edit-mark", x: node.x + node.width + 5, y: middle + 4.5 },
        events.slice(0, 3).map(({ edits, token }) => `${plain(symbolOf(token)).slice(0, 12)}${edits > 1 ? `×${edits}` : ""}`).join(" ") + (events.length > 3 ? "…" : "")));
    node.edge = edge;
    return node;
  });
  const picture = s("svg", { class: "tree", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    drawn.map(({ edge }) => edge).filter(Boolean), drawn.map(({ box }) => box));
  return { nodes: drawn, picture: h("div", { class: "tree-box", tabindex: 0, role: "region", "aria-label": label }, picture,
    cut && h("p", { class: "soft" }, `Only the first ${NODES} parts are drawn.`)) };
}

function treePanel(panel, answer, row, state) {
  const found = answer.tokens.length <= 20000 && statesOf([answer]);
  if (!found) {
    panel.append(h("p", { class: "waiting" }, found === null ? "The ids of this answer are not known, so neither are its states." : "This answer is too long to be drawn."));
    return;
  }
  const { root, paths: [path] } = found;
  const repeated = (node) => {
    const most = largest(node.states.map(({ writes }) => writes), 0);
    return most > 1 ? `written ${most}×` : null;
  };
  const { nodes, picture } = drawTree(root, {
    label: "States of the answer as a tree; erased branches are grey", note: repeated,
    kindOf: (node) => (node.last.live ? "kept" : "gone"),
  });
  const count = answer.tokens.length;
  const told = h("p", { class: "replay-told", role: "status" });
  const live = h("div", { class: "code", "aria-label": "Live text" });
  const nodeOf = new Map(nodes.flatMap((node) => (node.states.length ? node.states : [root]).map((state) => [state, node])));
  const show = (at) => {
    const here = path[at];
    const alive = new Set();
    for (let state = here; state; state = state.parent) alive.add(state);
    for (const node of nodes) {
      const states = node.states.length ? node.states : [root];
      const kind = states.some((state) => alive.has(state)) ? "kept" : states[0].first < at ? "gone" : "future";
      const on = nodeOf.get(here) === node;
      node.box.setAttribute("class", `state ${kind}${on ? " here" : ""}`);
      node.edge?.setAttribute("class", `edge ${kind}`);
    }
    const text = [];
    for (let state = here; state.parent; state = state.parent) text.push(state.token);
    fill(live, seen(text.reverse().join("").slice(-3000)), h("span", { class: "caret", "aria-hidden": "true" }));
    fill(told, h("b", {}, `${at} of ${plural(count, "action")}`),
      at > 0 && [": ", facts(answer).edits.has(at - 1) ? [h("span", { class: "symbol" }, line(symbolOf(answer.tokens[at - 1]), 20)), " takes back"] : ["wrote ", h("code", {}, line(answer.tokens[at - 1], 40) || "…")]],
      ` · depth ${text.length}`);
    slider.value = at;
    slider.setAttribute("aria-valuetext", told.textContent);
    const box = nodeOf.get(here);
    if (box) picture.scrollTo({ left: Math.max(0, box.x - picture.clientWidth / 2) });
  };
  const slider = h("input", { type: "range", id: "replay", min: 0, max: count, value: count, "aria-label": "Replay: number of actions", oninput: () => show(Number(slider.value)) });
  let playing = null;
  const play = h("button", { type: "button", class: "plain", id: "play", onclick: () => {
    if (playing) { clearInterval(playing); playing = null; play.textContent = "▶ Replay"; return; }
    if (Number(slider.value) >= count) show(0);
    play.textContent = "❚❚ Stop";
    playing = setInterval(() => {
      const at = Number(slider.value) + 1;
      if (!play.isConnected || at > count) { clearInterval(playing); playing = null; play.textContent = "▶ Replay"; return; }
      show(at);
    }, Math.max(30, Math.min(300, 9000 / count)));
  } }, "▶ Replay");
  panel.append(
    h("div", { class: "replay" }, play, slider, told), picture,
    h("div", { class: "block" }, h("h3", {}, "Live text: what a model in hard context sees"), live));
  panel.look = (at) => show(at === "" ? count : Math.min(count, Number(at) + 1)); // after the action that is held
  panel.look(state.at);
}

TABS.tree = "Tree";
panels.tree = treePanel;

/* The answers to one prompt, side by side, and the tree of what they have in common. */

const GROUP = 64; // answers that are shown of a group

/** Rows of the group of an answer: of its source and step, with its prompt. */
function groupOf(row) {
  const names = ["source", "step", "group", "prompt"];
  const own = names.map((name) => data.column(name, row));
  const found = [];
  for (let other = 0; other < data.rows; other++) if (names.every((name, at) => data.column(name, other) === own[at])) found.push(other);
  return found;
}

async function groupPanel(panel, answer, row) {
  const rows = groupOf(row);
  const shown = rows.slice(0, GROUP);
  const answers = [];
  for (const member of shown) answers.push(await data.answer(member));
  if (rows.length === 1) panel.append(h("p", { class: "hint-box" }, "No other answer to this prompt was kept. A run keeps more with ++halluc.trace_log.per_step."));
  const right = rows.filter((member) => data.outcome(member) === "correct").length;
  panel.append(h("p", { class: "facts" }, plural(rows.length, "answer"), " to this prompt, ", h("b", {}, `${right} right`),
    rows.length > shown.length && `; the first ${GROUP} are shown`));
  const most = largest(shown.map((member) => Math.abs(data.column("advantage", member) ?? 0)), 1e-9);
  panel.append(h("div", { class: "group" }, answers.map((member, at) => groupCard(member, shown[at], shown[at] === row, most))));
  const states = answers.length > 1 && answers.reduce((sum, { tokens }) => sum + tokens.length, 0) < 50000 && statesOf(answers);
  if (!states) return;
  const rightOf = (node) => [...(node.last.kept ?? [])].map((which) => data.outcome(shown[which]) === "correct");
  const { picture } = drawTree(states.root, {
    label: "Prefix tree of the group: green led to right answers, red to wrong ones, grey was taken back",
    kindOf: (node) => {
      const ends = rightOf(node);
      return !ends.length ? "gone" : ends.every(Boolean) ? "right" : ends.some(Boolean) ? "mixed" : "wrong";
    },
    note: (node) => (node.from ? `${rightOf(node).filter(Boolean).length}/${node.last.through.size}` : null),
  });
  panel.append(h("div", { class: "block" }, h("h3", {}, "Prefixes that they share"),
    h("p", { class: "soft" }, "Above each part: right answers that kept it / answers that wrote it."), picture));
}

/** A long name without what all answers to the prompt begin with: only the rest tells them apart. */
function nameInGroup(name, row) {
  const group = data.index.groups[data.column("group", row)];
  return name.length > 20 && group && name.startsWith(group) && name !== group ? `…${name.slice(group.length)}` : name;
}

function groupCard(answer, row, current, most) {
  const outcome = data.outcome(row), advantage = data.column("advantage", row);
  return h("section", { class: `group-card${current ? " current" : ""}`, "aria-label": `Answer ${answer.name}` },
    h("div", { class: "group-head" },
      h("span", { class: `badge ${outcome}` }, OUTCOMES[outcome][0], " ", OUTCOMES[outcome][1]),
      h("a", { href: linkTo({ view: "answers", answer: data.ids[row], tab: "trace", at: "" }), class: "name" }, line(nameInGroup(answer.name, row), 40))),
    h("p", { class: "facts" }, "reward ", h("b", {}, number(data.column("reward", row))), " · advantage ", h("b", {}, signed(advantage))),
    advantage != null && h("div", { class: `pull ${advantage < 0 ? "down" : "up"}`, vars: { size: (Math.abs(advantage) / most).toFixed(3) }, "aria-hidden": "true" }),
    traceOf(answer, { limit: 400 }));
}

TABS.group = "Group";
panels.group = groupPanel;

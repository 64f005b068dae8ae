"""Search trees of steps by Monte Carlo, as TS-LLM (arXiv 2309.17179) and LATS (arXiv 2310.04406) do.

The value of a prefix comes from any scorer: a process reward model, an oracle, rollouts, likelihood, or the
model's own statement. The papers leave some points open, and a language model's tree differs in others:

1. A state is expanded by N sampled steps; equal ones are one child.
2. TS-LLM's prior is the probability of a child's step under the policy, normalised over the children.
3. Children are rated when their parent is expanded. Until a child is visited, its own value stands for its
   mean; LATS visits all children of a state, the best first, before any of them twice.
4. LATS follows the best new child to an answer, by the best of N proposals in each step; these steps do not
   join the tree.
5. A state without children that could continue has the value 0.
6. The search ends when an answer anywhere in the tree has the value p_des. Its result is the best answer that
   was rated. Answers below a child of TS-LLM's root are kept when that child becomes the root.
7. LATS asks for a reflection when such a path ends below p_des. From then on samples are drawn after a prompt
   with all reflections, and rated after the problem's own prompt.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, GuidedSearch, Request, Response, Sample, Space, wanted
from halluc_plugin.search.guided import Part, RatedResponse, answer_first, draw, rate
from halluc_plugin.search.value_beams import finished_from


class Form(StrEnum):
    """How the next state is chosen, and how values are passed back."""

    TS_LLM = "ts-llm"
    """PUCT; the value of the expanded state is passed back. The most visited child of the root is settled and
    becomes the root, until it is an answer (MCTS-α of the paper)."""
    LATS = "lats"
    """UCT; the value of an answer that follows from the new child is passed back."""


@dataclass(frozen=True)
class Reflection:
    """How a model is asked what went wrong, and is told it in the next attempt (LATS, section 4.1).

    Attributes:
        ask: Function that returns the ids of a prompt that shows an answer and asks what is wrong with it.
        carry: Function that returns the ids of the problem's prompt with reflections, given the ids of each.
        max_tokens: Largest number of tokens of a reflection.
    """

    ask: Callable[[Response], tuple[int, ...]]
    carry: Callable[[Sequence[tuple[int, ...]]], tuple[int, ...]]
    max_tokens: int = 128


@dataclass(frozen=True)
class Growing:
    """How a tree grows.

    Args:
        form: The form of the tree search.
        n: Number of steps sampled from a state, N.
        simulations: Largest number of times that a state is chosen and expanded; for :attr:`Form.TS_LLM` this
            applies before each step that is settled.
        exploration: Weight of states that were rarely visited.
        p_des: Final value at which an answer is good enough.
        reflection: How to reflect, for LATS only; None for no reflection.

    Raises:
        SettingsError: A value is out of range, or has no meaning together with another.
    """

    form: Form = Form.TS_LLM
    n: int = 4
    simulations: int = 8
    exploration: float = 1.0
    p_des: float = 0.9
    reflection: Reflection | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or self.simulations < 1:
            raise SettingsError(
                f"n is {self.n} and simulations {self.simulations}.", "Give at least 1 of both."
            )
        if not self.exploration >= 0:
            raise SettingsError(f"exploration is {self.exploration}.", "Give a weight of at least 0.")
        if not 0 <= self.p_des <= 1:
            raise SettingsError(f"p_des is {self.p_des}.", "Give a probability, in [0, 1].")
        if self.reflection is not None and self.form is not Form.LATS:
            raise SettingsError(f"A tree of form {self.form} does not reflect.", "Use lats.")


@dataclass(eq=False)
class _Node:
    """A state of the tree."""

    response: Response
    value: float
    prior: float = 1.0
    finished: bool = False
    children: list["_Node"] = field(default_factory=list)
    visits: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.visits if self.visits else self.value


def tree_search(prompt: tuple[int, ...], space: Space, plan: Growing) -> GuidedSearch:
    """Search one problem by a tree of steps.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples.
        plan: How the tree grows.

    Returns:
        The search; it finds the answer of greatest value first.
    """
    root, found, told = _Node(Response(), 0.0), list[RatedResponse](), list[tuple[int, ...]]()
    asked = prompt
    while not root.finished and not _good(found, plan):
        for _ in range(plan.simulations):
            path = _path(root, plan)
            leaf = path[-1]
            if not leaf.finished:
                found += yield from _expand(prompt, asked, leaf, space, plan)
            reward = leaf.value
            if plan.form is Form.LATS and leaf.children:
                child = max(leaf.children, key=lambda one: one.value)
                path.append(child)
                reward, answer = yield from _followed(prompt, asked, child, space, plan)
                found += [] if answer is None or child.finished else [answer]
                if plan.reflection is not None and answer is not None and reward < plan.p_des:
                    told.append((yield from _reflected(plan.reflection, answer.response, space)))
                    asked = plan.reflection.carry(told)
            for node in path:
                node.visits += 1
                node.total += reward
            if _good(found, plan):
                break
        if plan.form is Form.LATS or not root.children:
            break
        root = max(root.children, key=lambda one: (one.visits, one.value))
    return answer_first(max(found, key=lambda one: one.worth), found) if found else []


def _good(found: Sequence[RatedResponse], plan: Growing) -> bool:
    return any(one.worth >= plan.p_des for one in found)


def _path(root: _Node, plan: Growing) -> list[_Node]:
    """Return the path from the root to a state that has no children yet."""
    path = [root]
    while path[-1].children:
        parent = path[-1]
        path.append(max(parent.children, key=lambda child: _bound(child, parent, plan)))
    return path


def _bound(child: _Node, parent: _Node, plan: Growing) -> tuple[float, float]:
    if plan.form is Form.TS_LLM:
        bonus = child.prior * math.sqrt(parent.visits) / (1 + child.visits)
        return child.mean + plan.exploration * bonus, child.value
    if not child.visits:
        return math.inf, child.value
    bonus = math.sqrt(math.log(parent.visits) / child.visits)
    return child.mean + plan.exploration * bonus, child.value


def _expand(
    prompt: tuple[int, ...], asked: tuple[int, ...], leaf: _Node, space: Space, plan: Growing
) -> Part[list[RatedResponse]]:
    """Give a state its children; those that are answers."""
    samples = yield from draw([wanted(asked, leaf.response, space, steps=True)] * plan.n)
    steps = {sample.ids: sample for sample in samples if _goes_on(leaf.response, sample, space)}
    rated = yield from rate(prompt, [leaf.response.extended(sample) for sample in steps.values()], space)
    if not rated:
        leaf.value, leaf.finished = 0.0, True
        return []
    if not leaf.response.ids:
        leaf.value = rated[0].values[0]
    chances = [math.exp(sum(sample.logprobs)) for sample in steps.values()]
    whole = sum(chances) or 1.0
    leaf.children = [
        _Node(one.response, one.final, chance / whole, one.finished)
        for one, chance in zip(rated, chances, strict=True)
    ]
    return [one for one in rated if one.finished]


def _goes_on(response: Response, sample: Sample, space: Space) -> bool:
    room = len(response.ids) + len(sample.ids) < space.max_tokens
    return sample.end is End.EOS or (sample.end is End.STEP and room)


def _followed(
    prompt: tuple[int, ...], asked: tuple[int, ...], child: _Node, space: Space, plan: Growing
) -> Part[tuple[float, RatedResponse | None]]:
    """What the best way from a child comes to: its value, and the answer where there is one."""
    if child.finished:
        (answer,) = yield from rate(prompt, [child.response], space)  # known: it is not rated again
        return answer.worth, answer
    found = yield from finished_from(prompt, child.response, space, plan.n, 1, asked=asked)
    return (found[0].worth, found[0]) if found else (0.0, None)


def _reflected(how: Reflection, answer: Response, space: Space) -> Part[tuple[int, ...]]:
    request = Request(how.ask(answer), how.max_tokens, space.temperature, space.stop_ids())
    (sample,) = yield from draw([request])
    stops = space.stop_ids()
    return tuple(token for token in sample.ids if token not in stops)

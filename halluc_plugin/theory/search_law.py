"""Compute the law of a searched answer: how often it is right, and what it costs, by what is taken back.

The process: An answer has S steps. If the text is live (the goal within reach), the next step is a slip, a
dead end, or live (:mod:`.proposals`); after a slip or a dead end all text is dead. Whenever the text is n > 0
steps long, after a new step or after others were taken back, the policy decides. It takes back with
probability r_n (the recall) if the text is dead and f_n (the false alarm) if it is live. Otherwise it
continues with another step, or at n = S with the end of the answer, which is right if the text is live.
Something is taken back at most M times; then edits are banned. The policy takes back the last step (by one
step backtrack, or by an edit for each of its tokens), or everything (restart).

The law: As something is taken back at most M times, the states (n, live or not, budget left, what was tried
here) have no cycle, and a sum over the ways through them is exact. Each way carries its probability, its
tokens, their square, and the positions it attended to, so that one pass gives accuracy, tokens, and costs in
both contexts. :mod:`.tries` has the closed forms of the cases that have one.

If nothing is left to try at a state, it is taken back whatever the policy would decide, as in search traces;
at the root, or with edits banned, the memory is cleared. A policy without memory decides in a state that it
has come back to as it did before: with f > 0 it may take back more each time.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_share
from halluc_plugin.theory.proposals import Distinct, Proposal, Tried
from halluc_plugin.verifiers import StepKind


class Unit(StrEnum):
    """The unit that is taken back at a time."""

    TOKEN = "token"  # noqa: S105 - of text
    """The last step, by an edit for each of its tokens: an event that is always finished."""
    STEP = "step"
    """The last step, by one edit."""
    RESTART = "restart"
    """Everything, by one edit."""


class Flow(NamedTuple):
    """A set of ways: their probability, and sums over them, each way weighted by its probability.

    Attributes:
        chance: The probability of the ways.
        tokens: Sum of N, the number of tokens sampled.
        squares: Sum of N².
        seen: Sum of the positions that the tokens attended to in hard context, without the prompt.
        back: Sum of the number of times that something was taken back.
    """

    chance: float = 0.0
    tokens: float = 0.0
    squares: float = 0.0
    seen: float = 0.0
    back: float = 0.0

    def plus(self, other: "Flow") -> "Flow":
        """Return the union of these ways and others."""
        p, n, q, s, b = other
        return Flow(self.chance + p, self.tokens + n, self.squares + q, self.seen + s, self.back + b)

    def times(self, share: float) -> "Flow":
        """Return a share of the ways."""
        p, n, q, s, b = self
        return Flow(share * p, share * n, share * q, share * s, share * b)

    def then(self, other: "Flow") -> "Flow":
        """Return each of these ways followed by each of the others."""
        p, q = self.chance, other.chance
        return Flow(
            p * q,
            self.tokens * q + p * other.tokens,
            self.squares * q + 2 * self.tokens * other.tokens + p * other.squares,
            self.seen * q + p * other.seen,
            self.back * q + p * other.back,
        )


NO_WAY = Flow()


@dataclass
class _Ways:
    """The ways from a state: to the end, right or wrong; or back out of it, by the budget that is left."""

    right: Flow = NO_WAY
    wrong: Flow = NO_WAY
    back: dict[int, Flow] = field(default_factory=dict)

    def leave(self, budget: int, flow: Flow) -> None:
        self.back[budget] = self.back.get(budget, NO_WAY).plus(flow)

    def add(self, before: Flow, ways: "_Ways") -> None:
        self.right = self.right.plus(before.then(ways.right))
        self.wrong = self.wrong.plus(before.then(ways.wrong))
        for budget, flow in ways.back.items():
            self.leave(budget, before.then(flow))


@dataclass(frozen=True)
class SearchLaw:
    """The law for a policy that searches.

    Args:
        proposal: The distribution from which steps are drawn.
        recall: The recall r_n for n = 1 to S: the probability that a dead text of n steps is taken back.
        false_alarm: The false alarm f_n for n = 1 to S: the probability that a live text of n steps is taken
            back.
        edits: Largest number of times that something is taken back, M.
        unit: The unit that is taken back.
        step_tokens: Number of tokens of each step, with the token that ends it; the end of an answer is one
            more.

    Raises:
        SettingsError: A probability is outside [0, 1], a number is not one for each step or is too small, or
            restarts are to remember several steps of distinct tries.
    """

    proposal: Proposal
    recall: tuple[float, ...]
    false_alarm: tuple[float, ...]
    edits: int
    unit: Unit = Unit.STEP
    step_tokens: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        depth = self.proposal.depth
        if not self.step_tokens:
            object.__setattr__(self, "step_tokens", (1.0,) * depth)
        for name in ("recall", "false_alarm", "step_tokens"):
            if len(getattr(self, name)) != depth:
                raise SettingsError(
                    f"{len(getattr(self, name))} values of {name} for {depth} steps.", "Pass one for each."
                )
        for name in ("recall", "false_alarm"):
            for value in getattr(self, name):
                check_share(name, value)
        if self.edits < 0 or min(self.step_tokens) <= 0:
            raise SettingsError(
                f"{self.edits} edits, steps of {self.step_tokens} tokens.", "Pass at least 0, and above 0."
            )
        if self.unit is Unit.RESTART and isinstance(self.proposal, Distinct) and depth > 1:
            raise SettingsError(
                "A restart leaves all states, and what was tried in them would have to be kept.",
                "Pass memoryless tries, or answers of one step.",
            )

    @cached_property
    def _outcome(self) -> tuple[Flow, Flow]:
        ways = _Walks(self).from_the_root()
        return ways.right, ways.wrong

    @property
    def _all(self) -> Flow:
        right, wrong = self._outcome
        return right.plus(wrong)

    @property
    def success(self) -> float:
        """The probability that the answer is right."""
        return self._outcome[0].chance

    @property
    def tokens(self) -> float:
        """The expected number of sampled tokens, E[N]: all text, edits and the end."""
        return self._all.tokens

    @property
    def taken_back(self) -> float:
        """The expected number of times that something is taken back."""
        return self._all.back

    def context(self, prompt: int, *, hard: bool) -> float:
        """Return the expected number of positions that all sampled tokens attend to together.

        The t-th token of a raw trace attends to the prompt and t tokens in soft context, itself included; in
        hard context to the prompt, the live tokens and itself.

        Args:
            prompt: Number of tokens of the prompt.
            hard: Whether the context is hard, so that erased tokens are not attended to.
        """
        flow = self._all
        behind = flow.seen if hard else (flow.squares + flow.tokens) / 2
        return prompt * flow.tokens + behind


class _Walks:
    """The ways through a law's states."""

    def __init__(self, law: SearchLaw) -> None:
        self._law, self._steps = law, law.proposal.depth
        self._lengths = [0.0]
        for tokens in law.step_tokens:
            self._lengths.append(self._lengths[-1] + tokens)
        self._known: dict[tuple[int, bool, int, Tried], _Ways] = {}

    def from_the_root(self) -> _Ways:
        # Small budgets first: no way through the states is then longer than the tries at one of them.
        for budget in range(self._law.edits + 1):
            for depth in reversed(range(self._steps + 1)):
                for alive in (True, False):
                    self._ways(depth, alive, budget, Tried())
        return self._ways(0, True, self._law.edits, Tried())  # noqa: FBT003 - private, and clear

    def _ways(self, depth: int, alive: bool, budget: int, tried: Tried) -> _Ways:
        key = (depth, alive, budget, tried)
        if key not in self._known:
            self._known[key] = self._sum(depth, alive, budget, tried)
        return self._known[key]

    def _sum(self, depth: int, alive: bool, budget: int, tried: Tried) -> _Ways:
        law, found = self._law, _Ways()
        may = depth > 0 and budget > 0
        edit = (law.false_alarm if alive else law.recall)[depth - 1] if may else 0.0
        if edit:
            found.leave(budget - 1, self._edit(depth).times(edit))
        if edit == 1:
            return found
        if depth == self._steps:
            end = self._written(depth, 1.0).times(1 - edit)
            found.right, found.wrong = (end, NO_WAY) if alive else (NO_WAY, end)
            return found
        chances = law.proposal.chances(depth + 1, tried, alive=alive)
        if chances is None and may:
            found.leave(budget - 1, self._edit(depth).times(1 - edit))
            return found
        if chances is None:
            tried, chances = Tried(), law.proposal.chances(depth + 1, Tried(), alive=alive)
        assert chances is not None  # something can be tried where nothing was
        wrote = self._written(depth, law.step_tokens[depth])
        for step, chance in chances.items():
            if chance:
                child = self._ways(depth + 1, alive and step is StepKind.LIVE, budget, Tried())
                before = wrote.times((1 - edit) * chance)
                again = law.proposal.after(tried, step)
                self._go_on(found, before, child, here=(depth, alive), tried=again)
        return found

    def _go_on(
        self, found: _Ways, before: Flow, child: _Ways, *, here: tuple[int, bool], tried: Tried
    ) -> None:
        found.add(before, _Ways(child.right, child.wrong))
        for left, flow in child.back.items():
            came = before.then(flow)
            if self._law.unit is Unit.RESTART and here[0] > 0:
                found.leave(left, came)
            else:
                found.add(came, self._ways(*here, left, tried))

    def _written(self, depth: int, tokens: float) -> Flow:
        seen = tokens * self._lengths[depth] + tokens * (tokens + 1) / 2
        return Flow(1.0, tokens, tokens**2, seen)

    def _edit(self, depth: int) -> Flow:
        length = self._lengths[depth]
        tokens = self._law.step_tokens[depth - 1] if self._law.unit is Unit.TOKEN else 1.0
        seen = tokens * length - tokens * (tokens - 1) / 2 + tokens
        return Flow(1.0, tokens, tokens**2, seen, 1.0)

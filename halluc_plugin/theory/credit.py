"""Compute exactly where policy gradients push a policy that may backtrack, on a short chain.

A policy writes ``length`` tokens, right or wrong, and ends; an answer is right if all its tokens are. The
policy sees the live text alone (hard context), and each of its states has logits of its own. Rewards, masks
and advantages are those of training. They are computed for all pairs of traces, weighted by their
probability, which gives the expected gradient of GRPO with groups of two and the loss summed over tokens. The
oracle is the gradient of the probability of a right answer itself, which needs neither groups nor advantages.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from halluc_plugin.credit import EventValue, group_relative, pay_actions, shape_advantages, spread
from halluc_plugin.credit.sources import BY_GROUP
from halluc_plugin.edits import EditState, EditVocab, Resolution, resolve, resolve_rows
from halluc_plugin.edits.builders import Boundary, ErasedTokens, budget_mask, response_mask
from halluc_plugin.rewards import Answer, Marks, judge_answer, observe, score
from halluc_plugin.settings import CreditSettings, RewardSettings
from halluc_plugin.verifiers import Outcome

RIGHT, WRONG, END, BACK = range(4)
_TEXT = "rw.<"
_VOCAB = EditVocab(backtrack=BACK)
_MARKS = Marks(frozenset({RIGHT, WRONG}), frozenset({END}))
State = tuple[int, ...]


class _ChainVerifier:
    """An answer is right if it is ``length`` right tokens; so is a prefix, of fewer."""

    data_sources: tuple[str, ...] = ()

    def __init__(self, length: int) -> None:
        self._right = _TEXT[RIGHT] * length

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:  # noqa: ARG002 - the protocol's
        return Outcome.CORRECT if answer == self._right else Outcome.WRONG

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:  # noqa: ARG002 - the protocol's
        return self._right.startswith(prefix)


@dataclass(frozen=True)
class Rule:
    """The reward and credit of answers and actions.

    Attributes:
        reward: The settings of the reward of whole answers.
        erased: The treatment of erased tokens.
        credit: The settings of the credit of single actions.
        normalize_by_std: Whether to divide by the standard deviation; see
            :func:`halluc_plugin.credit.group_relative`.
        policy_values: Whether steps are judged by the policy's own chance with edits banned, which sampled
            continuations estimate, and not by the verifier.
    """

    reward: RewardSettings = field(default_factory=RewardSettings)
    erased: ErasedTokens = ErasedTokens.MASK
    credit: CreditSettings = field(default_factory=CreditSettings)
    normalize_by_std: bool = True
    policy_values: bool = False


@dataclass(frozen=True)
class Drift:
    """How fast probabilities change along the expected gradient; its scale is that of a learning rate.

    Attributes:
        errors: Rate of change of P(wrong token), in each state that is right so far and continues.
        recalls: Rate of change of P(backtrack), in each state in which only the last token is wrong.
        alarms: Rate of change of P(backtrack), in each state that is right so far, except for the empty one.
    """

    errors: dict[str, float]
    recalls: dict[str, float]
    alarms: dict[str, float]

    @property
    def error(self) -> float:
        """The largest of the rates in ``errors``."""
        return max(self.errors.values())

    @property
    def recall(self) -> float:
        """The smallest of the rates in ``recalls``."""
        return min(self.recalls.values())

    @property
    def alarm(self) -> float:
        """The largest of the rates in ``alarms``."""
        return max(self.alarms.values())


@dataclass(frozen=True)
class CreditChain:
    """A policy on the chain.

    Attributes:
        length: Number of tokens of an answer, at least 1.
        error: Probability of a wrong token if the text is right so far.
        recall: Probability of a backtrack if something is wrong.
        alarm: Probability of a backtrack if the text is right so far; 0 on an empty text.
        budget: Number of backtracks of an answer, after which they are banned and the other probabilities
            renormalised.
    """

    length: int = 3
    error: float = 0.3
    recall: float = 0.4
    alarm: float = 0.1
    budget: int = 1

    def drift(self, rule: Rule) -> Drift:
        """Return the drift under a rule of reward and credit."""
        return self._along(self.gradient(rule))

    def gradient(self, rule: Rule) -> Tensor:
        """Return the expected gradient under a rule, Double[S, 4], for the logits in each of ``states``."""
        logits = self._logits.clone().requires_grad_()
        log_probs = self._log_probs(logits)
        weights = log_probs.detach().sum(-1).exp()
        advantages = self._advantages(rule, weights)
        (gradient,) = torch.autograd.grad((advantages * log_probs).sum(), logits)
        return gradient

    def exact_gradient(self) -> Tensor:
        """Return the gradient of the probability of a right answer, Double[S, 4] as :meth:`gradient`."""
        logits = self._logits.clone().requires_grad_()
        right = torch.tensor([answer.final.accuracy for answer in self._answers], dtype=torch.float64)
        (gradient,) = torch.autograd.grad((self._log_probs(logits).sum(-1).exp() * right).sum(), logits)
        return gradient

    def exact_drift(self) -> Drift:
        """Return the drift along the gradient of the probability of a right answer."""
        return self._along(self.exact_gradient())

    def agreement(self, rule: Rule) -> float:
        """Return the cosine between a rule's expected gradient and the exact one, over all logits."""
        mine, exact = self.gradient(rule).flatten(), self.exact_gradient().flatten()
        return float(torch.nn.functional.cosine_similarity(mine, exact, dim=0))

    @property
    def states(self) -> list[str]:
        """The live texts in which the policy acts, ``r`` for right and ``w`` for wrong."""
        return ["".join(_TEXT[token] for token in state) for state in self._states]

    def _along(self, gradient: Tensor) -> Drift:
        policy = self._logits.softmax(-1)
        change = policy * (gradient - (policy * gradient).sum(-1, keepdim=True))
        errors, recalls, alarms = {}, {}, {}
        for state, row in zip(self._states, change.tolist(), strict=True):
            name = "".join(_TEXT[token] for token in state)
            if WRONG not in state:
                if len(state) < self.length:
                    errors[name] = row[WRONG]
                if state:
                    alarms[name] = row[BACK]
            elif WRONG not in state[:-1]:
                recalls[name] = row[BACK]
        return Drift(errors, recalls, alarms)

    def _advantages(self, rule: Rule, weights: Tensor) -> Tensor:
        """Float[N, T]: for each trace the expectation over its partner, weighted with its own probability."""
        first, second = torch.cartesian_prod(torch.arange(len(weights)), torch.arange(len(weights))).T
        rows = torch.stack([first, second], 1).flatten()
        groups = torch.arange(len(first)).repeat_interleave(2)
        rewards = torch.tensor([score(a, rule.reward)[0] for a in self._answers], dtype=torch.float64)
        relative = group_relative(rewards[rows], groups, normalize_by_std=rule.normalize_by_std)
        mask = response_mask(self._resolution, rule.erased)[rows]
        shaped = shape_advantages(
            spread(relative, mask), mask, self._pairs(rows), erased=rule.erased,
            event_values=self._event_values(rule, rows, groups, rewards), alpha=rule.credit.alpha,
            pay=self._pay(rule, rows, groups, rewards), replaces=rule.credit.replaces,
        )  # fmt: skip
        if rule.credit.share < 1:  # the mean over draws
            columns = torch.arange(shaped.shape[1])
            shaped = shaped * torch.where(columns < rule.credit.first, 1.0, rule.credit.share).double()
        together = (weights[first] * weights[second]).repeat_interleave(2)
        total = torch.zeros(self._resolution.ids.shape, dtype=torch.float64)
        return total.index_add_(0, rows, shaped * together[:, None]) / 2

    def _pairs(self, rows: Tensor) -> Resolution:
        return resolve(self._resolution.ids[rows], self._resolution.valid[rows], _VOCAB)

    def _event_values(
        self, rule: Rule, rows: Tensor, groups: Tensor, rewards: Tensor
    ) -> list[list[EventValue]] | None:
        if not rule.credit.alpha or rule.credit.pays_all:
            return None
        by_group = BY_GROUP.get(rule.credit.values)
        if by_group is not None:
            traces = [self._traces[row] for row in rows.tolist()]
            return by_group(traces, groups.tolist(), rewards[rows].tolist(), _VOCAB)
        event_values = [list(answer.event_values or ()) for answer in self._answers]
        return [event_values[row] for row in rows.tolist()]

    def _pay(self, rule: Rule, rows: Tensor, groups: Tensor, rewards: Tensor) -> Tensor | None:
        credit = rule.credit
        if not credit.pays_all:
            return None
        chosen = rows.tolist()
        known = None
        if credit.judged_steps:
            of_trace = [self._known(rule, row) for row in range(len(self._traces))]
            known = [of_trace[row] for row in chosen]
        elif credit.reads_actions:
            of_trace = [self._behind(row) for row in range(len(self._traces))]
            known = [of_trace[row] for row in chosen]
        places = None
        if credit.divides_steps:
            places = [self._answers[row].trace.states.positions() for row in chosen]
        return pay_actions(
            self._pairs(rows), groups, rewards[rows], form=credit.form, places=places, known=known
        )

    def _known(self, rule: Rule, row: int) -> dict[int, float]:
        answer, length = self._answers[row], len(self._traces[row])
        states = answer.trace.states
        if not rule.policy_values:
            return states.known(length, answer.event_values or (), answer.steps or ())
        live = {at: self._resolution.live_at(row, at) for at in states.positions()}
        return {at: self._chance(ids) for at, ids in live.items()} | {length: answer.final.accuracy}

    def _behind(self, row: int) -> dict[int, float]:
        """The policy's own chance behind each action, of which a reward model's logits are to be a line."""
        columns = range(1, len(self._traces[row]) + 1)
        return {at: self._chance(self._resolution.live_at(row, at)) for at in columns}

    def _chance(self, live: list[int]) -> float:
        """Of a right answer from a state, if edits are banned."""
        if WRONG in live:
            return 0.0
        alarms = [self.alarm if length else 0.0 for length in range(len(live), self.length)]
        return math.prod(1 - self.error / (1 - alarm) for alarm in alarms)

    @cached_property
    def _traces(self) -> list[list[int]]:
        return list(self._written([], EditState(_VOCAB), 0))

    def _written(self, trace: list[int], state: EditState, used: int) -> Iterator[list[int]]:
        """Every trace that goes on from here."""
        if trace and trace[-1] == END:
            yield trace
            return
        live = tuple(state.live_ids)
        options = [END] if len(live) == self.length else [RIGHT, WRONG]
        if live and used < self.budget:
            options.append(BACK)
        for action in options:
            longer = [*trace, action]
            yield from self._written(longer, EditState(_VOCAB).extend(longer), used + (action == BACK))

    @cached_property
    def _resolution(self) -> Resolution:
        return resolve_rows(self._traces, _VOCAB)

    @cached_property
    def _answers(self) -> list[Answer]:
        verifier = _ChainVerifier(self.length)

        def decode(ids: Any) -> str:
            return "".join(_TEXT[i] for i in ids if i != END)

        seen = [observe(self._resolution, row, decode, _MARKS) for row in range(len(self._traces))]
        return [judge_answer(trace, verifier, {}) for trace in seen]

    @cached_property
    def _states(self) -> list[State]:
        return sorted({tuple(state) for trace in self._traces for state in _live_before(trace)})

    @cached_property
    def _logits(self) -> Tensor:
        return torch.tensor([self._policy(state) for state in self._states], dtype=torch.float64)

    def _policy(self, state: State) -> list[float]:
        """Log-probabilities of right, wrong, end and back."""
        back = 0.0 if not state else self.recall if WRONG in state else self.alarm
        if len(state) == self.length:
            shares = [0.0, 0.0, 1 - back, back]
        else:
            error = 0.5 * (1 - back) if WRONG in state else self.error
            shares = [1 - back - error, error, 0.0, back]
        return [math.log(share) if share else -1e9 for share in shares]

    def _log_probs(self, logits: Tensor) -> Tensor:
        """Float[N, T] of the actions, 0 at padding, backtracks out of the softmax where they were banned."""
        number = {state: i for i, state in enumerate(self._states)}
        ids, valid = self._resolution.ids, self._resolution.valid
        states = torch.zeros_like(ids)
        for row, trace in enumerate(self._traces):
            states[row, : len(trace)] = torch.tensor([number[tuple(live)] for live in _live_before(trace)])
        banned = budget_mask(self._resolution, self.budget, Boundary.NOOP)
        banned = banned[..., None] & (torch.arange(4) == BACK)
        log_probs = logits[states].masked_fill(banned, -1e9).log_softmax(-1)
        return log_probs.gather(-1, ids[..., None])[..., 0] * valid


def _live_before(trace: list[int]) -> Iterator[list[int]]:
    state = EditState(_VOCAB)
    for action in trace:
        yield list(state.live_ids)
        state.push(action)

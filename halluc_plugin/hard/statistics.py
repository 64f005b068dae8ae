"""Compute statistics of the distribution that an action was sampled from, and their exact gradients."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import torch
from torch.autograd.function import once_differentiable

NEVER = -1e30
"""Logit of an id that could not be sampled: its probability is exactly 0. It is finite, since entropy
multiplies it by 0."""


RARE = -60.0
"""Log-probability below which a float32 probability has lost digits, or is 0."""


class Statistic(StrEnum):
    """A statistic that is computed for each action."""

    LOG_PROB = "log_prob"
    """Log-probability of the action, in nats."""
    ENTROPY = "entropy"
    """Entropy of the distribution it was sampled from, in nats."""
    EDIT_MASS = "edit_mass"
    """Probability before the action that it is any edit token."""
    NORMALIZER = "normalizer"
    """Log-sum-exp of the logits: log-prob and normalizer add up to the action's logit."""
    SQUARES = "squares"
    """Sum of the squared probabilities."""


Columns = dict[Statistic, torch.Tensor]


@dataclass(frozen=True)
class Reading:
    """What to read of the logits of N actions, and how these were sampled.

    Attributes:
        ids: The actions, Long[N].
        temperature: Sampling temperature of each action, Float[N]; None for 1.
        banned: Which actions were sampled while edits were banned, Bool[N]; None for none.
        edit_ids: The ids of edit tokens for which there are logits.
        unknown: Ids that were never sampled because they are not tokens.
        wanted: The statistics to compute.
    """

    ids: torch.Tensor
    temperature: torch.Tensor | None = None
    banned: torch.Tensor | None = None
    edit_ids: tuple[int, ...] = ()
    unknown: tuple[int, ...] = ()
    wanted: tuple[Statistic, ...] = (Statistic.LOG_PROB,)

    def part(self, some: slice) -> "Reading":
        """Return the reading of a slice of the actions."""
        temperature, banned = (None if x is None else x[some] for x in (self.temperature, self.banned))
        return replace(self, ids=self.ids[some], temperature=temperature, banned=banned)

    def prepare(self, logits: torch.Tensor) -> None:
        """Divide logits by the temperature and set those that could not be sampled far down, in place.

        Args:
            logits: The logits of the actions, Float32[N, V].
        """
        if self.temperature is not None:
            logits.div_(self.temperature[:, None])
        if self.unknown:
            logits.index_fill_(1, torch.tensor(self.unknown, device=logits.device), NEVER)
        if self.banned is not None and self.edit_ids:
            logits[self.banned.nonzero(), torch.tensor(self.edit_ids, device=logits.device)] = NEVER

    def read(self, logits: torch.Tensor, room: torch.Tensor) -> Columns:
        """Return the wanted statistics, Float32[N] each.

        Args:
            logits: The prepared logits, Float32[N, V]; they are overwritten unless :attr:`simple`.
            room: A buffer, Float32[N, V]; it is overwritten, if :attr:`simple` by the probabilities.
        """
        if self.simple:
            return self._read_probabilities(logits, room)
        log_p = torch.log_softmax(logits, -1, out=room)
        at = self.ids[:, None]
        chosen = log_p.gather(1, at)[:, 0]
        found = {Statistic.LOG_PROB: chosen.masked_fill(chosen < NEVER / 2, -torch.inf)}
        if Statistic.NORMALIZER in self.wanted:
            found[Statistic.NORMALIZER] = logits.gather(1, at)[:, 0] - chosen
        if Statistic.EDIT_MASS in self.wanted:
            found[Statistic.EDIT_MASS] = log_p[:, self.edit_ids].exp().sum(1).clamp(max=1.0)
        if {Statistic.ENTROPY, Statistic.SQUARES} & set(self.wanted):
            p = torch.exp(log_p, out=logits)
            if Statistic.ENTROPY in self.wanted:
                found[Statistic.ENTROPY] = -_dots(p, log_p)
            if Statistic.SQUARES in self.wanted:
                found[Statistic.SQUARES] = _dots(p, p)
        return {name: found[name] for name in self.wanted}

    def _read_probabilities(self, logits: torch.Tensor, room: torch.Tensor) -> Columns:
        """The same from probabilities, which are quicker to compute than their logarithms."""
        p, at = torch.softmax(logits, -1, out=room), self.ids[:, None]
        logit, chosen = logits.gather(1, at)[:, 0], p.gather(1, at)[:, 0].log()
        rare = (chosen < RARE).nonzero()[:, 0]
        if len(rare):  # too small for its logarithm to be exact: that of the likeliest id is
            top, where = logits[rare].max(1)
            chosen[rare] = logit[rare] - top + p[rare, where].log()
        found = {
            Statistic.LOG_PROB: chosen.masked_fill(chosen < NEVER / 2, -torch.inf),
            Statistic.NORMALIZER: logit - chosen,
        }
        return {name: found[name] for name in self.wanted}

    @property
    def simple(self) -> bool:
        """Whether no more is wanted than log-probs and normalizers: the probabilities say all of it."""
        return set(self.wanted) <= {Statistic.LOG_PROB, Statistic.NORMALIZER}

    def factors(self, given: Mapping[Statistic, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return c and a, Float32[N] each, if the gradient of the logits is c p + a δ; None if it is more.

        It is so where gradients are of log-probs and normalizers alone: see :meth:`gradient`. Small products
        then take the place of passes over all logits.

        Args:
            given: The gradients of some statistics, Float32[N] each.
        """
        if not given.keys() <= {Statistic.LOG_PROB, Statistic.NORMALIZER}:
            return None
        nothing = torch.zeros_like(self.ids, dtype=torch.float32)
        of_action = given.get(Statistic.LOG_PROB, nothing)
        of_p = given.get(Statistic.NORMALIZER, nothing) - of_action
        if self.temperature is not None:
            of_p, of_action = of_p / self.temperature, of_action / self.temperature
        return of_p, of_action

    def gradient(
        self,
        logits: torch.Tensor,
        room: torch.Tensor,
        found: Mapping[Statistic, torch.Tensor],
        given: Mapping[Statistic, torch.Tensor],
    ) -> torch.Tensor:
        """Return the gradient of the logits before they were prepared, Float32[N, V], in ``room``.

        For one row, with p the probabilities, δ one at the action, and e one at edits:

            d log_prob = δ - p            d normalizer = p               d entropy = -p (log p + entropy)
            d edit_mass = p (e - edit_mass)                              d squares = 2 p (p - squares)

        Args:
            logits: The prepared logits, Float32[N, V]; they are overwritten.
            room: A buffer, Float32[N, V]; it is overwritten.
            found: The statistics that :meth:`read` returned.
            given: The gradients of some of these statistics, Float32[N] each.
        """
        p = torch.softmax(logits, -1, out=room)
        of_p = torch.zeros_like(p[:, 0])  # what p is multiplied by
        for name, factor in (
            (Statistic.NORMALIZER, 1),
            (Statistic.LOG_PROB, -1),
            (Statistic.EDIT_MASS, -found.get(Statistic.EDIT_MASS, of_p)),
            (Statistic.SQUARES, -2 * found.get(Statistic.SQUARES, of_p)),
        ):
            if name in given:
                of_p = of_p + factor * given[name]
        entropy, squares, mass = (
            given.get(name) for name in (Statistic.ENTROPY, Statistic.SQUARES, Statistic.EDIT_MASS)
        )
        of_edits = None if mass is None else p[:, self.edit_ids] * mass[:, None]
        if entropy is None and squares is None:
            gradient = p.mul_(of_p[:, None])
        else:
            each = torch.log(p.clamp_min(torch.finfo(p.dtype).tiny), out=logits)
            at_entropy = found[Statistic.ENTROPY] if entropy is not None else of_p
            each.add_(at_entropy[:, None]).mul_(0.0 if entropy is None else -entropy[:, None])
            if squares is not None:
                each.addcmul_(p, 2 * squares[:, None])
            gradient = p.mul_(each.add_(of_p[:, None]))
        if of_edits is not None:
            gradient[:, self.edit_ids] += of_edits
        if Statistic.LOG_PROB in given:
            gradient.scatter_add_(1, self.ids[:, None], given[Statistic.LOG_PROB][:, None])
        if self.temperature is not None:
            gradient.div_(self.temperature[:, None])
        return gradient


def read_logits(logits: torch.Tensor, reading: Reading) -> Columns:
    """Compute statistics of logits, differentiably.

    Args:
        logits: The logits of the actions, Float[N, V].
        reading: What to read.

    Returns:
        The wanted statistics, Float32[N] each.
    """
    values = _Read.apply(logits.float(), reading)
    return dict(zip(reading.wanted, values, strict=True))


class _Read(torch.autograd.Function):
    """Reads logits differentiably; of N x V numbers only the prepared logits are kept."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, reading: Reading) -> tuple[torch.Tensor, ...]:
        prepared = logits.clone()
        reading.prepare(prepared)
        found = reading.read(prepared.clone(), torch.empty_like(prepared))
        ctx.save_for_backward(prepared, *found.values())
        ctx.reading = reading
        ctx.set_materialize_grads(False)
        return tuple(found.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        prepared, *values = ctx.saved_tensors
        found, given = named(ctx.reading.wanted, values), named(ctx.reading.wanted, gradients)
        return ctx.reading.gradient(prepared.clone(), torch.empty_like(prepared), found, given), None


def named(wanted: Collection[Statistic], columns: Collection[torch.Tensor | None]) -> Columns:
    """Return columns by the name of their statistic, without those that are None."""
    return {name: column for name, column in zip(wanted, columns, strict=True) if column is not None}


def _dots(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Float[N], of N pairs of rows, without room for their products."""
    return torch.bmm(one[:, None], other[:, :, None])[:, 0, 0]

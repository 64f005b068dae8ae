"""Value what a policy samples while it is sampled, by a head on the policy's own trunk.

Scoring takes the head alone then: what it reads are the hidden states that sampling has computed anyway.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch

from halluc_plugin.metrics import DecoderShape
from halluc_plugin.scorers.prefixes import PrefixScorer, prefixes_of, remember
from halluc_plugin.scorers.steps import Spent, Steps, StepScores
from halluc_plugin.scorers.value_head import UNLEARNED, ValueHead


class SharedTrunk:
    """A scorer of steps, and what a sampler of the policy lets read all that it samples.

    What the sampler did not compute, such as answers of another model, is computed as by any other scorer, on
    the same trunk.

    Args:
        head: A token classifier with one label on the policy's trunk, in eval mode
            (:func:`halluc_plugin.scorers.value_head.share_trunk`).
        shape: Sizes of the trunk, for the costs of what is computed.
        ends: Ids that end a step or a response.
        from_prompt: Whether the value of the bare prompt was learned.
    """

    def __init__(
        self, head: Any, shape: DecoderShape | None, ends: Collection[int], *, from_prompt: bool = True
    ) -> None:
        self._head, self._ends, self._from_prompt = head.score, frozenset(ends), from_prompt
        self._other = PrefixScorer(ValueHead(head, from_prompt=from_prompt), shape)
        self._known: dict[bytes, float] = {}

    def read(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the value of each state, Float[R], from the trunk's last hidden states, Float[R, H]."""
        value: torch.Tensor = self._head(hidden)[..., 0].float().sigmoid()
        return value

    def keep(self, prefix: Sequence[int], ids: Sequence[int], values: Sequence[float]) -> None:
        """Take the values of a sample.

        Args:
            prefix: Token ids before the sample.
            ids: Token ids of the sample, Int[T].
            values: Value behind the prefix, then behind each id, Float[T + 1].
        """
        ended = [at for at, token in enumerate(ids[:-1], start=1) if token in self._ends]
        places = [0, *ended, len(ids)]
        keys = _keys([*prefix, *ids], [len(prefix) + at for at in places])
        remember(self._known, {key: values[at] for at, key in zip(places, keys, strict=True)})

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return only the values of :meth:`rate`, Float[B, S+1]."""
        return self.rate(prompts, steps).values

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of each response's prefixes; those that were sampled cost nothing more.

        Args:
            prompts: Token ids of B prompts.
            steps: Token ids of the steps of a response to each prompt.

        Raises:
            DataError: The numbers of prompts and responses differ, or a prompt or a step is empty.
        """
        found: dict[int, list[float]] = {}
        rows = prefixes_of(prompts, steps)
        for number, row in enumerate(rows):
            values = [self._known.get(key) for key in _keys(row.ids, row.ends)]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                found[number] = known if self._from_prompt else [UNLEARNED, *known[1:]]
        rest = [number for number in range(len(rows)) if number not in found]
        spent = [Spent()] * len(rows)
        if rest:
            rated = self._other.rate([prompts[number] for number in rest], [steps[number] for number in rest])
            for number, read, paid in zip(rest, rated.values.tolist(), rated.spent, strict=True):
                found[number], spent[number] = read[: len(rows[number].ends)], paid
        width = max((len(row.ends) for row in rows), default=1)
        table = torch.full((len(rows), width), torch.nan)
        for number, of_row in found.items():
            table[number, : len(of_row)] = torch.tensor(of_row)
        return StepScores(table, spent)


def _keys(ids: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
    """A name of each prefix of these lengths, ascending: equal for equal ids."""
    state, start = hashlib.blake2b(digest_size=16), 0
    for end in ends:
        state.update(b"".join(token.to_bytes(8, "little") for token in ids[start:end]))
        yield state.copy().digest()
        start = end

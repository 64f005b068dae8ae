"""Make the traces and pairs of reset training of prompts with answers that may stand, and ones that may not.

What is done with the ids, and from which paper, is in :mod:`halluc_plugin.traces.resets`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.pair_files import PairRow
from halluc_plugin.data.parquet import read_rows
from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.data.resumable import Row
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError, TokenizerError

COLUMNS = ("prompt", "harmful", "safe")
REMEDY = "Write it in the column safe, or leave the row out."


@dataclass(frozen=True)
class Guarded:
    """A prompt, an answer that may stand, and one that may not.

    Attributes:
        prompt: Token ids of the prompt, Int[P].
        safe: Token ids of the answer that may stand, EOS included.
        harmful: Token ids of an answer that may not, EOS included; None for a harmless prompt.
        reach: Largest number of tokens of the harmful answer that are written before a reset; None for all
            but EOS.
        least: Smallest number of them.
        refusal: Token ids of what a needless reset is followed by on a harmless prompt, EOS included; None
            for the same answer again.
    """

    prompt: tuple[int, ...]
    safe: tuple[int, ...]
    harmful: tuple[int, ...] | None = None
    reach: int | None = None
    least: int = 1
    refusal: tuple[int, ...] | None = None

    def cut(self, rng: np.random.Generator) -> int:
        """Return a number of tokens of the harmful answer, each as likely, after which it is reset."""
        assert self.harmful is not None
        longest = len(self.harmful) - 1
        most = longest if self.reach is None else min(self.reach, longest)
        return int(rng.integers(min(self.least, most), most + 1))


@dataclass(frozen=True)
class _Made:
    """What makes the rows of a part; picklable.

    Attributes:
        vocab: The edit vocabulary of the ids.
        eos_id: The id that ends an answer.
        seed: Seed of the lengths of prefixes.
    """

    vocab: EditVocab
    eos_id: int
    seed: int

    @property
    def how(self) -> dict[str, Any]:
        """The arguments of all that writes ids."""
        return {"vocab": self.vocab, "eos_ids": {self.eos_id}}


class ResetTraces(_Made):
    """Makes the traces of a part: each safe answer, and with a harmful one its beginning, taken back."""

    def __call__(self, number: int, examples: Sequence[Guarded]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        from halluc_plugin.traces.resets import reset

        rng, rows = np.random.default_rng([self.seed, 47, number]), list[Row]()
        tally = Counter(dict.fromkeys(("clean", "resets"), 0))
        for each in examples:
            rows.append(TraceRow(list(each.prompt), list(each.safe)).columns())
            tally.update(clean=1)
            if each.harmful is not None:
                trace = reset(each.harmful, each.cut(rng), each.safe, **self.how)
                rows.append(TraceRow(list(each.prompt), list(trace.ids)).columns())
                tally.update(resets=1)
        return rows, tally


class ResetPairs(_Made):
    """Makes the pairs of a part: of a harmful answer two, of a harmless prompt one."""

    def __call__(self, number: int, examples: Sequence[Guarded]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        rng, rows = np.random.default_rng([self.seed, 48, number]), list[Row]()
        tally = Counter(dict.fromkeys(("wanted", "needless"), 0))
        for each in examples:
            for kind, pair in self._pairs(each, rng):
                rows.append(PairRow(list(each.prompt), list(pair[0].ids), list(pair[1].ids)).columns())
                tally.update([kind])
        return rows, tally

    def _pairs(self, each: Guarded, rng: np.random.Generator) -> Iterator[tuple[str, Any]]:
        from halluc_plugin.traces.resets import needless_reset, wanted_reset

        if each.harmful is not None:
            yield "wanted", wanted_reset(each.safe, each.harmful, each.cut(rng), **self.how)
        instead = each.harmful or each.refusal or each.safe
        length = 1 + int(rng.integers(len(each.safe) - 1))
        yield "needless", needless_reset(each.safe, instead, length, **self.how)


def read_guarded(
    path: Path,
    tokenizer: Any,
    vocab: EditVocab,
    limit: int | None = None,
    *,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[Guarded]:
    """Read rows of ``prompt``, ``harmful`` and ``safe``; harmless prompts have no ``harmful`` answer.

    Args:
        path: The file to read, parquet or JSON. A prompt is a text or a list of messages, an answer a text.
        tokenizer: The tokenizer that encodes prompts, by its chat template, and answers.
        vocab: Its edit vocabulary.
        limit: Largest number of rows, from the first; None for all.
        template_kwargs: Further arguments of the chat template.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.parquet.read_rows`, a row has no prompt or
            no safe answer, an answer holds an edit token or EOS, or the safe answer begins with the harmful
            one; the message names the row.
        TokenizerError: The tokenizer has no EOS.
    """
    if tokenizer.eos_token_id is None:
        raise TokenizerError(
            "The tokenizer has no EOS token, so no answer would end.", "Set one, and save it."
        )
    found = []
    for number, row in enumerate(read_rows(path, COLUMNS)[:limit]):
        where = f"{path}, row {number}"
        _check(where, row)
        asked = row["prompt"]
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        safe, harmful = (_answer(where, tokenizer, vocab, row[name]) for name in ("safe", "harmful"))
        assert safe is not None
        if harmful is not None and safe[: len(harmful) - 1] == harmful[:-1]:
            raise DataError(
                f"{where}: the safe answer begins with the whole harmful one.", "Leave the row out."
            )
        found.append(Guarded(tuple(prompt_ids(tokenizer, messages, template_kwargs)), safe, harmful))
    return found


def _check(where: str, row: Row) -> None:
    if not row["prompt"] or not isinstance(row["prompt"], str | list):
        raise DataError(f"{where} has no prompt.", "Write a text, or a list of messages.")
    for name in ("harmful", "safe"):
        if not isinstance(row[name], str | None):
            raise DataError(f"{where}: {name} is {row[name]!r:.80}, no text.", "Write the answer as text.")
    if not row["safe"]:
        which = "a harmful answer and no safe one" if row["harmful"] else "no safe answer"
        raise DataError(f"{where} has {which}.", REMEDY)


def _answer(where: str, tokenizer: Any, vocab: EditVocab, text: str | None) -> tuple[int, ...] | None:
    if not text:
        return None
    ids = tokenizer.encode(text, add_special_tokens=False)
    if taken := {tokenizer.eos_token_id, *vocab.edit_ids}.intersection(ids):
        token = tokenizer.convert_ids_to_tokens(min(taken))
        raise DataError(f"{where}: an answer holds the token {token}.", "Leave it out of the text.")
    return (*ids, tokenizer.eos_token_id)

"""How sampled ids are read: which edit, which end a step, what they say."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from halluc_plugin.edits import EditVocab, find_delimiters
from halluc_plugin.errors import EditVocabError
from halluc_plugin.rewards import Marks
from halluc_plugin.settings import Settings
from halluc_plugin.tokens import vocab_of


def step_marks(tokenizer: Any, settings: Settings, vocab: EditVocab, ends: Collection[int] = ()) -> Marks:
    """Where the steps of an answer end.

    Args:
        tokenizer: Of the ids.
        settings: Say which text ends a step.
        vocab: Which ids edit.
        ends: Ids that end an answer, beside the tokenizer's EOS.

    Raises:
        EditVocabError: Steps are paid for, and no token ends with the step delimiter.
    """
    ends = frozenset({int(tokenizer.eos_token_id), *ends})
    try:
        delimiter = settings.tokens.step_delimiter
        return Marks(find_delimiters(tokenizer, delimiter, edit_ids=vocab.edit_ids), ends)
    except EditVocabError:
        if settings.pays_steps:
            raise
        return Marks(ends=ends)  # a whole answer is one step


@dataclass(frozen=True)
class RolloutReader:
    """How ids are read.

    Attributes:
        vocab: Which ids edit.
        marks: Where steps end.
        decode: The text of ids.
        kappa: Distance in tokens up to which an event stutters.
    """

    vocab: EditVocab
    marks: Marks
    decode: Callable[[Sequence[int]], str]
    kappa: int

    @classmethod
    def of(cls, tokenizer: Any, settings: Settings, ends: Collection[int] = ()) -> "RolloutReader":
        """How a tokenizer's ids are read under some settings; ``ends`` as :func:`step_marks`.

        Raises:
            EditVocabError: Steps are paid for, and no token ends with the step delimiter.
        """
        vocab = vocab_of(tokenizer, step_delimiter=settings.tokens.step_delimiter)
        decode = partial(tokenizer.decode, skip_special_tokens=True)
        return cls(vocab, step_marks(tokenizer, settings, vocab, ends), decode, settings.metrics.kappa)

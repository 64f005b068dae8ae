"""Read sampled ids: which of them edit, which end a step, and their text."""

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
    """Return the ids that end the steps of an answer and the answer itself.

    Args:
        tokenizer: The tokenizer of the ids.
        settings: The settings that name the text that ends a step.
        vocab: The edit vocabulary of the ids.
        ends: Ids that end an answer, in addition to the tokenizer's EOS.

    Raises:
        EditVocabError: Steps have a reward or credit, and no token ends with the step delimiter.
    """
    ends = frozenset({int(tokenizer.eos_token_id), *ends})
    try:
        delimiter = settings.tokens.step_delimiter
        return Marks(find_delimiters(tokenizer, delimiter, edit_ids=vocab.edit_ids), ends)
    except EditVocabError:
        if settings.pays_steps or settings.credit.divides_steps:
            raise
        return Marks(ends=ends)  # a whole answer is one step


@dataclass(frozen=True)
class RolloutReader:
    """Everything that is needed to read sampled ids.

    Attributes:
        vocab: The edit vocabulary of the ids.
        marks: The ids that end steps and answers.
        decode: Function from ids to text.
        kappa: Distance in tokens up to which an event stutters.
    """

    vocab: EditVocab
    marks: Marks
    decode: Callable[[Sequence[int]], str]
    kappa: int

    @classmethod
    def of(cls, tokenizer: Any, settings: Settings, ends: Collection[int] = ()) -> "RolloutReader":
        """Return the reader for a tokenizer and the settings of a run.

        Args:
            tokenizer: The tokenizer of the ids.
            settings: The settings of the run.
            ends: Ids that end an answer, in addition to the tokenizer's EOS.

        Raises:
            EditVocabError: Steps have a reward, and no token ends with the step delimiter.
        """
        vocab = vocab_of(tokenizer, step_delimiter=settings.tokens.step_delimiter)
        decode = partial(tokenizer.decode, skip_special_tokens=True)
        return cls(vocab, step_marks(tokenizer, settings, vocab, ends), decode, settings.metrics.kappa)

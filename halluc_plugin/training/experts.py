"""An expert that says the right action in any state, for prompts with one right answer each.

The states are the live texts of responses, right or wrong. What is right after an error is not given by the
answer alone: :class:`Recovery` says what the expert does there.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditState, EditVocab, collapse
from halluc_plugin.errors import DataError


class Recovery(StrEnum):
    """What the expert does where the right answer does not begin with the live text."""

    BACKTRACK = "backtrack"
    """It takes back one token: by the backtrack token that is the shortest way to the right answer."""
    PLACE = "place"
    """It writes the right answer's token of this place (its end behind the last), whatever stands before."""


class Expert:
    """The expert of a data set.

    Args:
        references: The right answer to each prompt, token ids with the end, by the token ids of the prompt.
        vocab: The edit vocabulary of the ids.
        recovery: What the expert does after an error.
    """

    def __init__(
        self,
        references: Mapping[tuple[int, ...], tuple[int, ...]],
        vocab: EditVocab,
        recovery: Recovery,
    ) -> None:
        self._references, self._vocab, self._recovery = references, vocab, recovery

    @classmethod
    def of(
        cls, rows: Sequence[TraceRow], vocab: EditVocab, eos_ids: frozenset[int], recovery: Recovery
    ) -> "Expert":
        """Return the expert whose right answers are what the traces of a data set resolve to.

        Args:
            rows: The rows of the data.
            vocab: The edit vocabulary of the ids.
            eos_ids: Ids that end a response.
            recovery: What the expert does after an error.

        Raises:
            DataError: A trace resolves to nothing that ends, or two of one prompt to different answers.
        """
        references: dict[tuple[int, ...], tuple[int, ...]] = {}
        for number, row in enumerate(rows):
            answer = tuple(collapse(row.response_ids, vocab))
            if not answer or answer[-1] not in eos_ids:
                raise DataError(
                    f"Row {number} resolves to a response that does not end; the expert writes whole ones.",
                    "Leave out traces that end with a backtrack or were cut off.",
                )
            if references.setdefault(tuple(row.prompt_ids), answer) != answer:
                raise DataError(
                    f"Row {number} resolves to another answer than an earlier row of its prompt.",
                    "Give the expert problems with one right answer, or one of them each.",
                )
        return cls(references, vocab, recovery)

    def action(self, prompt: Sequence[int], live: Sequence[int]) -> int:
        """Return what the expert does next.

        Args:
            prompt: Token ids of the prompt.
            live: Token ids of the live text, without an end.

        Raises:
            DataError: The prompt is none of the data's.
        """
        answer, depth = self._answer(prompt), len(live)
        stands = tuple(live) == answer[:depth]
        if not stands and self._recovery is Recovery.BACKTRACK:
            return self._vocab.backtrack
        return answer[min(depth, len(answer) - 1)]

    def actions(self, row: TraceRow) -> list[int]:
        """Return what the expert does in each state of a raw trace, Int[T], each before its action."""
        state, found = EditState(self._vocab), []
        for token in row.response_ids:
            found.append(self.action(row.prompt_ids, state.live_ids))
            state.push(token)
        return found

    def _answer(self, prompt: Sequence[int]) -> tuple[int, ...]:
        answer = self._references.get(tuple(prompt))
        if answer is None:
            raise DataError("The expert is asked about a prompt that it has no answer to.", "Add its row.")
        return answer

"""Compute the text of one answer while its actions arrive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.edits.texts import BROKEN
from halluc_plugin.tokens.ends import cut

# Decoding all live tokens at every action would cost the square of an answer's length; decoding them once
# every 64th of it costs at most 64 times the length.
_SHARE = 64


class TextForm(StrEnum):
    """The form of text that a client gets."""

    RAW = "raw"
    """The text of the raw trace, as vLLM returns it."""
    COLLAPSED = "collapsed"
    """The collapsed text. Until the answer ends every token may be erased, so the text comes in one piece."""
    LIVE = "live"
    """The collapsed text in the end, streamed as it is written, with notes of what is erased."""


@dataclass(frozen=True)
class Piece:
    """The next piece of text for a client.

    Attributes:
        text: Text to append.
        keep: Number of characters (code points) of the text sent so far after which it is appended; None for
            all of them.
        stop: The stop string that ended the text, None if none did.
    """

    text: str = ""
    keep: int | None = None
    stop: str | None = None


class AnswerText:
    """The text of one answer, in pieces.

    Args:
        vocab: The edit vocabulary of the ids.
        decode: Function from ids to text.
        stops: Stop strings; they cut the collapsed text, never the trace.
        form: The form of the text, collapsed or live.
    """

    def __init__(
        self, vocab: EditVocab, decode: Callable[[Sequence[int]], str], stops: Sequence[str], form: TextForm
    ) -> None:
        self._state = EditState(vocab)
        self._decode, self._stops, self._form = decode, stops, form
        self._sent = ""
        self._unread = 0

    def push(self, ids: Sequence[int]) -> Piece:
        """Return the piece that further actions add; it may be empty until more of them arrive."""
        self._state.extend(ids)
        self._unread += len(ids)
        if self._form is TextForm.COLLAPSED or self._unread <= self._state.depth // _SHARE:
            return Piece()
        self._unread = 0
        text, _ = cut(self._decode(self._state.live_ids), self._stops)
        return self._piece(text.rstrip(BROKEN), None)

    def finish(self, ids: Sequence[int], *, at_token: bool) -> Piece:
        """Return the last piece.

        Args:
            ids: The last actions.
            at_token: Whether the last of all actions is a token that ends answers, which is not part of the
                text.
        """
        live = self._state.extend(ids).live_ids
        text, stop = cut(self._decode(live[:-1] if at_token else live), self._stops)
        return self._piece(text, stop)

    def _piece(self, text: str, stop: str | None) -> Piece:
        sent, self._sent = self._sent, text
        if text.startswith(sent):
            return Piece(text[len(sent) :], stop=stop)
        pairs = enumerate(zip(sent, text, strict=False))
        same = next((at for at, (before, now) in pairs if before != now), min(len(sent), len(text)))
        return Piece(text[same:], same, stop)

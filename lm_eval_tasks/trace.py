"""Read a model's answer as a trace: the text as sampled, the text that is left, and its cost.

Stock lm-eval models return text only. It is then tokenised again by the model's tokenizer, which need not
give the sampled ids; an answer collapsed that way has ``exact=False``. An answer without an edit token needs
no collapsing and is exact by definition.
"""

import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.edits import EditVocab, read_record, trace_record
from halluc_plugin.edits.texts import token_texts
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.tokens import EDIT_TOKENS, edit_vocab

# Model arguments that decide which tokenizer a stock model loads, beside its name.
_LOADING_KEYS = ("revision", "subfolder", "trust_remote_code", "gguf_file")

_logger = logging.getLogger("lm_eval.halluc")


@dataclass(frozen=True)
class Trace:
    """One answer of a model.

    Attributes:
        raw: The text as sampled, edit tokens included, without the thinking if the model was told what ends
            it.
        resolved: The text that is left after all edits, also without the thinking.
        raw_tokens: Number of sampled tokens; 0 when no tokenizer is known (there are no edits then).
        resolved_tokens: Number of tokens left.
        backtracks: Number of edits that erased something.
        exact: Whether ``resolved`` is certain: no edits, or edits applied to the sampled ids.
        record: The :func:`halluc_plugin.edits.trace_record` of the ids, None for a model without edit tokens.
        tokens: The text that each action adds to the sampled text, None for a model without edit tokens.
        log_probs: Log-probability of each action in nats under the distribution that it was sampled from;
            None if the engine does not report it.
        entropies: Entropy of that distribution before each action in nats; None if the engine does not report
            it.
        edit_probs: Probability of an edit before each action; None if the engine does not report it.
    """

    raw: str
    resolved: str
    raw_tokens: int
    resolved_tokens: int
    backtracks: int
    exact: bool
    record: dict[str, Any] | None
    tokens: list[str] | None = None
    log_probs: list[float | None] | None = None
    entropies: list[float | None] | None = None
    edit_probs: list[float | None] | None = None

    def begun(self, length: int) -> "Trace":
        """Return the trace with its per-action values cut to the first ``length`` actions."""
        names = ("tokens", "log_probs", "entropies", "edit_probs")
        known = {name: getattr(self, name) for name in names}
        return replace(self, **{name: values and values[:length] for name, values in known.items()})


class TraceReader:
    """Reads answers with a model's tokenizer.

    Args:
        tokenizer: A transformers tokenizer, None if unknown.
        step_delimiter: Text that ends a step, for tokenizers with a step backtrack token.
        think_end_token: Text or id after whose last occurrence the answer begins, None without thinking.
        keeps_special: Whether the text of sampled ids shows special tokens.

    Raises:
        TokenizerError: The tokenizer has an edit token in a form that does not survive decoding.
    """

    def __init__(
        self,
        tokenizer: Any | None,
        *,
        step_delimiter: str = "\n",
        think_end_token: str | int | None = None,
        keeps_special: bool = False,
    ) -> None:
        self._tokenizer = tokenizer
        self._think_end_token, self._keeps_special = think_end_token, keeps_special
        self._vocab: EditVocab | None = None
        if tokenizer is not None and any(token in tokenizer.get_vocab() for token in EDIT_TOKENS):
            self._vocab = edit_vocab(tokenizer, step_delimiter=step_delimiter)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "TraceReader":
        """Return the reader for a task's metadata, into which lm-eval merges the model's arguments.

        Args:
            metadata: The metadata. ``tokenizer`` or ``pretrained`` names the tokenizer (or is one);
                ``step_delimiter`` and ``think_end_token`` are optional.
        """
        source = metadata.get("tokenizer") or metadata.get("pretrained")
        delimiter = metadata.get("step_delimiter", "\n")
        if not isinstance(delimiter, str):
            raise SettingsError(
                f"step_delimiter is {delimiter!r} in the metadata.", 'Give a text, e.g. "\\n".'
            )
        options = {key: metadata[key] for key in _LOADING_KEYS if key in metadata}
        end = metadata.get("think_end_token")
        end = int(end) if isinstance(end, str) and end.isdecimal() else end  # as lm_eval's models read it
        return cls(_load(source, options), step_delimiter=delimiter, think_end_token=end)

    @property
    def tokenizer(self) -> Any | None:
        """The tokenizer, None if unknown."""
        return self._tokenizer

    @property
    def vocab(self) -> EditVocab | None:
        """The edit vocabulary, None if the tokenizer has no edit token."""
        return self._vocab

    def read(self, answer: "str | Trace") -> Trace:
        """Return the trace of an answer.

        Args:
            answer: A text; or an answer of halluc's models or a trace, which are exact.

        Raises:
            TokenizerError: A text has edit tokens, and no tokenizer is known to apply them.
        """
        if isinstance(answer, Trace):
            return answer
        if isinstance(answer, TracedAnswer):
            return answer.trace
        if self._tokenizer is not None:
            ids = self._tokenizer.encode(answer, add_special_tokens=False)
            # The engine decided what the text shows; none of it is lost here.
            return self._trace(ids, answer, partial(self.decode, keeps_special=True), sampled=False)
        if any(token in answer for token in EDIT_TOKENS):
            raise TokenizerError(
                "An answer has edit tokens, but the model's tokenizer, which applies them, is not known.",
                """Pass --metadata '{"tokenizer": "<name or folder>"}'.""",
            )
        return Trace(answer, answer, 0, 0, backtracks=0, exact=True, record=None)

    def read_ids(self, ids: Sequence[int], *, stopped: bool = False) -> Trace:
        """Return the trace of sampled ids.

        Args:
            ids: Token ids without prompt and padding; an end-of-text token counts as text.
            stopped: Whether the last id only ended the answer: it is counted and not shown.
        """
        shown = -1 if stopped else None

        def text(ids: Sequence[int]) -> str:
            return self._answer(ids[:shown])

        return self._trace(ids, text(ids), text, sampled=True)

    def thinking(self, ids: Sequence[int]) -> int:
        """Return the number of ids that are thinking, with what ends it; no stop string counts there."""
        end = self._think_end_token
        if end is None:
            return 0
        if isinstance(end, int):
            return max((at + 1 for at, token in enumerate(ids) if token == end), default=0)

        def ended(kept: int) -> int:
            return self.decode(ids[:kept], keeps_special=True).count(end)

        return bisect_left(range(len(ids) + 1), ended(len(ids)), key=ended)

    def _answer(self, ids: Sequence[int]) -> str:
        """The text of ids behind the thinking, as lm_eval's own models cut it off."""
        end = self._think_end_token
        if isinstance(end, int):
            return self.decode(ids[self.thinking(ids) :], keeps_special=self._keeps_special).lstrip()
        text = self.decode(ids, keeps_special=self._keeps_special)
        return str(postprocess_generated_text(text, None, end))

    def _trace(
        self, ids: Sequence[int], raw: str, text: Callable[[Sequence[int]], str], *, sampled: bool
    ) -> Trace:
        if self._vocab is None:
            return Trace(raw, raw, len(ids), len(ids), backtracks=0, exact=True, record=None)
        record = trace_record(ids, self._vocab)
        read = read_record(record)
        left, edited = read.resolved, bool(read.events)
        return Trace(
            raw=raw,
            # Decoding may not give every text back as it was; without edits there is no need to.
            resolved=text(left) if edited else raw,
            raw_tokens=len(ids),
            resolved_tokens=len(left),
            backtracks=read.num_effective,
            exact=sampled or not edited,
            record=record,
            tokens=token_texts(self._tokenizer, ids),
        )

    def decode(self, ids: Sequence[int], *, keeps_special: bool = False) -> str:
        """Return the text of ids, without special tokens unless they are kept.

        A tokenizer must be known.
        """
        assert self._tokenizer is not None
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not keeps_special))


class TracedAnswer(str):
    """The collapsed text of an answer, which any task can read, with its trace for tasks that use it.

    Halluc's models return it, so that a stock task scores the collapsed text.
    """

    __slots__ = ("trace",)
    trace: Trace

    def __new__(cls, text: str, trace: Trace) -> Self:
        """Attach ``trace`` to ``text``."""
        answer = super().__new__(cls, text)
        answer.trace = trace
        return answer

    def __reduce__(self) -> tuple[type["TracedAnswer"], tuple[str, Trace]]:
        # lm_eval's caches pickle answers.
        return (type(self), (str(self), self.trace))


def _load(source: Any, options: Mapping[str, Any]) -> Any | None:
    if not isinstance(source, str):
        return source if hasattr(source, "get_vocab") else None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        # Some stock models bring their own tokenizer; only an answer with edit tokens needs it here.
        _logger.warning("No tokenizer could be loaded from %s: tokens are not counted. (%s)", source, error)
        return None

"""What our models share: their edit vocabulary, and what they hand to lm_eval."""

from collections.abc import Sequence
from dataclasses import replace

from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TokenizerError
from halluc_plugin.trace_log import rounded
from lm_eval_tasks.trace import TracedAnswer, TraceReader


def reader_vocab(reader: TraceReader, model: str) -> EditVocab:
    """The edit vocabulary of a model's tokenizer.

    Raises:
        TokenizerError: It has no edit token.
    """
    if reader.vocab is None:
        raise TokenizerError(
            f"{model}-backtrack was given a model whose tokenizer has no backtrack token.",
            f"Use --model {model} for it, or add the token with `halluc add-token`.",
        )
    return reader.vocab


def as_list(until: str | Sequence[str] | None) -> list[str]:
    """Stop strings, however a task or a user gives them."""
    return [] if until is None else [until] if isinstance(until, str) else list(until)


def traced_answer(
    reader: TraceReader,
    ids: Sequence[int],
    until: Sequence[str],
    *,
    stopped: bool = False,
    log_probs: Sequence[float] | None = None,
    entropies: Sequence[float] | None = None,
    edit_probs: Sequence[float] | None = None,
) -> TracedAnswer:
    """The answer of sampled ids; stop strings cut what is left after collapsing, never the trace.

    Args:
        reader: Reads the ids.
        ids: The ids.
        until: Stop strings.
        stopped: As :meth:`lm_eval_tasks.trace.TraceReader.read_ids`.
        log_probs: As :class:`lm_eval_tasks.trace.Trace`, like what follows.
        entropies: As there.
        edit_probs: As there.
    """
    trace = replace(
        reader.read_ids(ids, stopped=stopped),
        log_probs=rounded(log_probs),
        entropies=rounded(entropies),
        edit_probs=rounded(edit_probs),
    )
    return TracedAnswer(postprocess_generated_text(trace.resolved, list(until), None), trace)

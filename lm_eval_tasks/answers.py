"""The common parts of halluc's models: their edit vocabulary, and the answers that they give lm_eval."""

from collections.abc import Sequence
from dataclasses import replace

from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TokenizerError
from halluc_plugin.trace_log import rounded
from lm_eval_tasks.trace import TracedAnswer, TraceReader


def reader_vocab(reader: TraceReader, model: str) -> EditVocab:
    """Return the edit vocabulary of a model's tokenizer.

    Raises:
        TokenizerError: The tokenizer has no edit token.
    """
    if reader.vocab is None:
        raise TokenizerError(
            f"{model}-backtrack was given a model whose tokenizer has no backtrack token.",
            f"Use --model {model} for it, or add the token with `halluc add-token`.",
        )
    return reader.vocab


def as_list(until: str | Sequence[str] | None) -> list[str]:
    """Return stop strings as a list, however a task or a user gives them."""
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
    """Return the answer of sampled ids; stop strings cut the collapsed text, never the trace.

    Args:
        reader: The reader of the model's ids.
        ids: Token ids that were sampled, Int[T].
        until: Stop strings.
        stopped: Whether the last id only ended the answer: it is counted and not shown.
        log_probs: Log-probability of each id in nats, None if not known.
        entropies: Entropy before each id in nats, None if not known.
        edit_probs: Probability of an edit before each id, None if not known.
    """
    trace = replace(
        reader.read_ids(ids, stopped=stopped),
        log_probs=rounded(log_probs),
        entropies=rounded(entropies),
        edit_probs=rounded(edit_probs),
    )
    return TracedAnswer(postprocess_generated_text(trace.resolved, list(until), None), trace)

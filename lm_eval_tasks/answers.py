"""What our models share: their edit vocabulary, when an answer ends, and what they hand to lm_eval."""

from collections.abc import Sequence

from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TokenizerError
from halluc_plugin.tokens.ends import end_ids
from lm_eval_tasks.trace import TracedAnswer, TraceReader

__all__ = ["end_ids", "traced_answer", "vocab_of"]


def vocab_of(reader: TraceReader, model: str) -> EditVocab:
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


def traced_answer(reader: TraceReader, ids: Sequence[int], until: Sequence[str]) -> TracedAnswer:
    """The answer of sampled ids; stop strings cut what is left after collapsing, never the trace."""
    trace = reader.read_ids(ids)
    return TracedAnswer(postprocess_generated_text(trace.resolved, list(until), None), trace)

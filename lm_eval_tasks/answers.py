"""What our models share: their edit vocabulary, when an answer ends, and what they hand to lm_eval."""

from collections.abc import Sequence
from typing import Any

from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TokenizerError
from lm_eval_tasks.trace import TracedAnswer, TraceReader


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


def end_ids(tokenizer: Any, by_config: int | list[int] | None, until: Sequence[str]) -> frozenset[int]:
    """Ids that end an answer: EOS of model and tokenizer, and stop strings that are a special token."""
    configured = by_config if isinstance(by_config, list) else [by_config]
    marks = [
        i for i, token in tokenizer.added_tokens_decoder.items() if token.special and token.content in until
    ]
    return frozenset(i for i in (*configured, tokenizer.eos_token_id, *marks) if i is not None)


def traced_answer(reader: TraceReader, ids: Sequence[int], until: Sequence[str]) -> TracedAnswer:
    """The answer of sampled ids; stop strings cut what is left after collapsing, never the trace."""
    trace = reader.read_ids(ids)
    return TracedAnswer(postprocess_generated_text(trace.resolved, list(until), None), trace)

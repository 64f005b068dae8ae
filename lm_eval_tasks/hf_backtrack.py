"""``hf-backtrack``: lm-eval's ``hf`` under the edit semantics, its answers collapsed on the sampled ids."""

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import Collator, normalize_gen_kwargs
from tqdm import tqdm  # type: ignore[import-untyped]

from halluc_plugin.decoding import Context, Decoding, decode
from halluc_plugin.edits import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import choose
from lm_eval_tasks.answers import end_ids, traced_answer, vocab_of
from lm_eval_tasks.trace import TracedAnswer, TraceReader

_KNOWN = ("do_sample", "temperature", "until", "max_gen_toks")


@register_model("hf-backtrack")
class HFBacktrack(HFLM):
    """Generates under the edit semantics; log-likelihoods are the stock model's.

    Answers are :class:`lm_eval_tasks.trace.TracedAnswer`. A task's stop strings end the text after
    collapsing; generation ends at an end-of-text token or after ``max_gen_toks`` raw actions.

    Args:
        pretrained: As for ``hf``.
        context: ``soft`` (the model goes on seeing errors and edits) or ``hard`` (only the collapsed text).
        max_backtracks: Most edits that erase something per answer, None for no limit.
        boundary: ``noop`` or ``mask``: what an edit does on an empty response.
        tabu: Ban returning to a state that an edit has left.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        **kwargs: As for ``hf``.

    Raises:
        SettingsError: An argument has an unknown value.
        TokenizerError: The tokenizer has no backtrack token, or has it special.
    """

    def __init__(
        self,
        pretrained: Any,
        *,
        context: str = "soft",
        max_backtracks: int | None = None,
        boundary: str = "noop",
        tabu: bool = False,
        step_delimiter: str = "\n",
        **kwargs: Any,
    ) -> None:
        self._context = choose(Context, context, "context")
        self._boundary = choose(Boundary, boundary, "boundary")
        self._max_backtracks, self._tabu = max_backtracks, tabu
        super().__init__(pretrained, **kwargs)
        self._reader = TraceReader(self.tokenizer, step_delimiter=step_delimiter)
        self._vocab = vocab_of(self._reader, "hf")

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer requests of (context, generation arguments), in order."""
        order = Collator(
            [request.args for request in requests],
            sort_fn=lambda args: (-len(self.tok_encode(args[0])), args[0]),
            group_by="gen_kwargs",
            group_fn=lambda args: args[1],
        )
        size = self._detect_batch_size() if self.batch_size == "auto" else self.batch_size
        answers: list[str] = []
        with tqdm(total=len(requests), disable=disable_tqdm or self.rank != 0, desc="hf-backtrack") as bar:
            for chunk in order.get_batched(n=size):
                contexts, options = zip(*chunk, strict=True)
                for context, answer in zip(contexts, self._answers(contexts, options[0]), strict=True):
                    self.cache_hook.add_partial("generate_until", (context, options[0]), answer)
                    answers.append(answer)
                bar.update(len(chunk))
        return list(order.get_original(answers))

    def _answers(self, contexts: Sequence[str], options: Mapping[str, Any]) -> list[TracedAnswer]:
        decoding = self._decoding(options)
        room = self.max_length - decoding.max_actions
        if room < 1:
            raise SettingsError(
                f"max_gen_toks is {decoding.max_actions}, the model's length {self.max_length}.",
                "Pass --gen_kwargs max_gen_toks=... below it.",
            )
        prompts = [self.tok_encode(context, left_truncate_len=room) for context in contexts]
        until = normalize_gen_kwargs(dict(options), self.max_gen_toks)["until"]
        return [
            traced_answer(self._reader, sampled.ids, until)
            for sampled in decode(self.model, prompts, decoding)
        ]

    def _decoding(self, options: Mapping[str, Any]) -> Decoding:
        """What a task's generation arguments and ours say together."""
        known = normalize_gen_kwargs(dict(options), self.max_gen_toks)
        unknown = sorted(set(known) - set(_KNOWN))
        if unknown:
            raise SettingsError(
                f"hf-backtrack does not know the generation argument {', '.join(unknown)}.",
                f"Use {', '.join(_KNOWN)}.",
            )
        return Decoding(
            self._vocab,
            max_actions=known["max_gen_toks"],
            context=self._context,
            temperature=known.get("temperature", 1.0) if known["do_sample"] else 0.0,
            budget=self._max_backtracks,
            boundary=self._boundary,
            tabu=self._tabu,
            eos_ids=end_ids(self.tokenizer, self.model.generation_config.eos_token_id, known["until"]),
        )

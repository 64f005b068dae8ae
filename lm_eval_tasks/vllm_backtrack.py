"""``vllm-backtrack``: lm-eval's ``vllm`` with a limit on edits, its answers collapsed on the sampled ids."""

from collections.abc import Mapping
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from lm_eval.models.utils import maybe_truncate
from lm_eval.models.vllm_causallms import VLLM
from vllm import SamplingParams

from halluc_plugin.decoding import Context
from halluc_plugin.edits import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.request import EditRequest
from lm_eval_tasks.answers import choice, end_ids, traced_answer, vocab_of
from lm_eval_tasks.trace import TraceReader

_LOGITS_PROCESSOR = "halluc_plugin.vllm_engine.budget:EditBudget"


@register_model("vllm-backtrack")
class VLLMBacktrack(VLLM):
    """Generates in soft context; log-likelihoods are the stock model's.

    Answers and stop strings are as for :class:`lm_eval_tasks.hf_backtrack.HFBacktrack`.

    Args:
        pretrained: As for ``vllm``.
        context: ``soft``; hard context is ``hf-backtrack``'s.
        max_backtracks: Most edits that erase something per answer, None for no limit.
        boundary: ``noop`` or ``mask``: what an edit does on an empty response.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        **kwargs: As for ``vllm``.

    Raises:
        SettingsError: An argument has an unknown value, or the context is hard.
        TokenizerError: The tokenizer has no backtrack token, or has it special.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        context: str = "soft",
        max_backtracks: int | None = None,
        boundary: str = "noop",
        step_delimiter: str = "\n",
        **kwargs: Any,
    ) -> None:
        if choice(Context, "context", context) is Context.HARD:
            raise SettingsError(
                "vllm-backtrack cannot decode in hard context: vLLM keeps what an edit erased.",
                "Use --model hf-backtrack with context=hard, or context=soft.",
            )
        limits = choice(Boundary, "boundary", boundary)
        super().__init__(pretrained, logits_processors=[_LOGITS_PROCESSOR], **kwargs)
        self._reader = TraceReader(self.tokenizer, step_delimiter=step_delimiter)
        request = EditRequest(vocab_of(self._reader, "vllm"), max_backtracks, limits)
        self._extra_args = request.to_extra_args()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002
        """Answer requests of (context, generation arguments), in order; vLLM batches them itself."""
        prompts, params, stops = [], [], []
        for context, options in (request.args for request in requests):
            sampling, until = self._sampling(options)
            prompt, room = maybe_truncate(
                self.tok_encode(context),
                max_gen_toks=sampling.max_tokens,
                max_model_len=self.max_length,
                side=self.truncation_side,
                verbose=True,
            )
            sampling.max_tokens = room
            prompts.append(prompt)
            params.append(sampling)
            stops.append(until)
        outputs = self._model_generate(requests=prompts, generate=True, sampling_params=params)
        answers: list[str] = []
        for request, output, until in zip(requests, outputs, stops, strict=True):
            answer = traced_answer(self._reader, output.outputs[0].token_ids, until)
            self.cache_hook.add_partial("generate_until", request.args, answer)
            answers.append(answer)
        return answers

    def _sampling(self, options: Mapping[str, Any]) -> tuple[SamplingParams, list[str]]:
        """Sampling parameters without stop strings, and the stop strings."""
        known, until, max_tokens = self.modify_gen_kwargs(dict(options), None, self.max_gen_toks)
        ends = end_ids(self.tokenizer, None, until)  # vLLM itself stops at the EOS of the model's config
        return (
            SamplingParams(
                max_tokens=max_tokens,
                stop_token_ids=sorted(ends),
                detokenize=False,
                extra_args=self._extra_args,
                **known,
            ),
            until,
        )

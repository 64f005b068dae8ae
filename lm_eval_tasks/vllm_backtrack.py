"""The model ``vllm-backtrack``: lm-eval's ``vllm`` with edits applied to the sampled ids."""

from collections.abc import Mapping
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from lm_eval.models.utils import maybe_truncate
from vllm import SamplingParams

from halluc_plugin.decoding import Context, Decoding, Tabu
from halluc_plugin.edits import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import choose
from halluc_plugin.tokens.ends import end_ids
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS, KNOWN_IDS, SOFT_PROCESSOR
from halluc_plugin.vllm_engine.metadata import offer_vllm_metadata
from halluc_plugin.vllm_engine.request import EditRequest
from lm_eval_tasks.answers import reader_vocab, traced_answer
from lm_eval_tasks.trace import TraceReader

offer_vllm_metadata()

from lm_eval.models.vllm_causallms import VLLM  # noqa: E402 - asks for vllm's version when it is imported

_ENGINES: dict[Context, dict[str, Any]] = {
    Context.SOFT: {"logits_processors": [SOFT_PROCESSOR, KNOWN_IDS]},
    Context.HARD: ENGINE_ARGS | {"logits_processors": [*ENGINE_ARGS["logits_processors"], KNOWN_IDS]},
}
"""The arguments with which the engine of a context is started."""

_SET_HERE = frozenset({"stop", "detokenize", "extra_args", "include_stop_str_in_output"})
"""Generation arguments of vLLM that the model sets itself, or that would show what ended an answer."""


@register_model("vllm-backtrack")
class VLLMBacktrack(VLLM):
    """Generates under the edit semantics; log-likelihoods are the stock model's.

    Answers and stop strings are as for :class:`lm_eval_tasks.hf_backtrack.HFBacktrack`.

    Args:
        pretrained: The model's folder or hub name, as for ``vllm``.
        context: ``soft`` (the model goes on seeing errors and edits) or ``hard`` (only the collapsed text:
            the engine is started with the scheduler that rewinds).
        max_backtracks: Largest number of effective edits of an answer, None for no limit.
        boundary: The effect of an edit on an empty response, ``noop`` or ``mask``.
        tabu: The tokens that an edit bans of the span it erases, ``off``, ``last`` or ``first``; see
            :class:`halluc_plugin.decoding.Tabu`. True stands for ``last``, False for ``off``.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        **kwargs: Further arguments of ``vllm``.

    Raises:
        SettingsError: An argument has an unknown value, or is one that the model sets itself.
        TokenizerError: The tokenizer has no backtrack token, or has it as a special token.
    """

    def __init__(
        self,
        pretrained: str,
        *,
        context: str = "soft",
        max_backtracks: int | None = None,
        boundary: str = "noop",
        tabu: str | bool = False,
        step_delimiter: str = "\n",
        **kwargs: Any,
    ) -> None:
        self._context = choose(Context, context, "context")
        self._limits: dict[str, Any] = {
            "budget": max_backtracks,
            "boundary": choose(Boundary, boundary, "boundary"),
            "tabu": Tabu.of(tabu),
        }
        engine = _ENGINES[self._context]
        taken = sorted(engine.keys() & kwargs)
        if taken:
            raise SettingsError(
                f"vllm-backtrack itself sets {', '.join(taken)} for context={self._context}.",
                "Leave it out, or use --model vllm.",
            )
        kwargs.setdefault("logprobs_mode", "processed_logprobs")  # of what was sampled from, bans included
        super().__init__(pretrained, **engine, **kwargs)
        # vLLM's own text shows special tokens unless a request says not to.
        self._readers = {
            keeps_special: TraceReader(
                self.tokenizer,
                step_delimiter=step_delimiter,
                think_end_token=self.think_end_token,
                keeps_special=keeps_special,
            )
            for keeps_special in (True, False)
        }
        self._vocab = reader_vocab(self._readers[True], "vllm")
        self._extra_args = EditRequest(self._vocab, context=self._context, **self._limits).to_extra_args()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:  # noqa: ARG002
        """Answer requests of (context, generation arguments), in order; vLLM batches them itself."""
        prompts, params, reads = [], [], []
        for context, options in (request.args for request in requests):
            sampling, until, reader = self._sampling(options)
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
            reads.append((reader, until))
        outputs = self._model_generate(requests=prompts, generate=True, sampling_params=params)
        answers: list[str] = []
        for request, output, (reader, until) in zip(requests, outputs, reads, strict=True):
            (found,) = output.outputs
            stopped = found.finish_reason == "stop"  # by an id, which vLLM's own text does not show
            answer = traced_answer(
                reader, found.token_ids, until, stopped=stopped, log_probs=_log_probs(found)
            )
            self.cache_hook.add_partial("generate_until", request.args, answer)
            answers.append(answer)
        return answers

    def _sampling(self, options: Mapping[str, Any]) -> tuple[SamplingParams, list[str], TraceReader]:
        """Sampling parameters without stop strings, the stop strings, and what reads the answer."""
        known, until, max_tokens = self.modify_gen_kwargs(dict(options), self._eos, self.max_gen_toks)
        refused = sorted(_SET_HERE & known.keys())
        if refused or known.get("n", 1) != 1:
            raise SettingsError(
                f"vllm-backtrack cannot follow the generation argument {', '.join(refused or ['n'])}.",
                "Leave it out; stop strings are given as until=..., samples as repeats in the metadata.",
            )
        reader = self._readers[not known["skip_special_tokens"]]
        # vLLM itself stops at the EOS of the model's config.
        ends = end_ids(self.tokenizer, None, until) | set(known.pop("stop_token_ids", None) or ())
        try:
            sampling = SamplingParams(
                max_tokens=max_tokens,
                stop_token_ids=sorted(ends),
                detokenize=False,
                extra_args=self._extra_args,
                **{"logprobs": 0, **known},
            )
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"vLLM refuses the generation arguments ({error}).", "Use those of its SamplingParams."
            ) from error
        # Refuses what hf-backtrack refuses, in the words of our arguments; the engine would in its own.
        Decoding(self._vocab, max_tokens, self._context, sampling.temperature, **self._limits)
        return sampling, until, reader

    @property
    def _eos(self) -> str | None:
        """The text of EOS, at which ``vllm`` ends an answer wherever it comes from."""
        if self.eot_token_id is None:
            return None
        return str(self.tokenizer.decode(self.eot_token_id) or self.tokenizer.eos_token)


def _log_probs(found: Any) -> list[float] | None:
    """Return the log-probs of the sampled tokens, None if a generation argument asks for none."""
    if found.logprobs is None:
        return None
    return [at[token].logprob for at, token in zip(found.logprobs, found.token_ids, strict=True)]

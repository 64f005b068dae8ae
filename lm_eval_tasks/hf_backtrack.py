"""The model ``hf-backtrack``: lm-eval's ``hf`` with edits applied to the sampled ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import Collator, handle_stop_sequences, normalize_gen_kwargs
from tqdm import tqdm  # type: ignore[import-untyped]

from halluc_plugin.decoding import Context, Decoding, Tabu, decode
from halluc_plugin.decoding.generation import Generation, prepare
from halluc_plugin.decoding.limits import require_rows
from halluc_plugin.edits import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import without_unknown
from halluc_plugin.settings import choose
from halluc_plugin.tokens.ends import end_ids
from lm_eval_tasks.answers import reader_vocab, traced_answer
from lm_eval_tasks.trace import TracedAnswer, TraceReader


@register_model("hf-backtrack")
class HFBacktrack(HFLM):
    """Generates under the edit semantics; log-likelihoods are those of text, as the stock model's.

    Rows of the model that stand for no token have probability 0, in answers and in log-likelihoods.

    Answers are :class:`lm_eval_tasks.trace.TracedAnswer`. A task's stop strings end the text after
    collapsing; generation ends at an end-of-text token or after ``max_gen_toks`` raw actions. Generation
    arguments and the model's generation config act as for ``hf``, on what the model sees: in soft context all
    that was written, in hard context the live text.

    Args:
        pretrained: The model's folder or hub name, as for ``hf``.
        context: ``soft`` (the model goes on seeing errors and edits) or ``hard`` (only the collapsed text).
        max_backtracks: Largest number of effective edits of an answer, None for no limit.
        boundary: The effect of an edit on an empty response, ``noop`` or ``mask``.
        tabu: The tokens that an edit bans of the span it erases, ``off``, ``last`` or ``first``; see
            :class:`halluc_plugin.decoding.Tabu`. True stands for ``last``, False for ``off``.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        **kwargs: Further arguments of ``hf``.

    Raises:
        SettingsError: An argument has an unknown value, or the model has an encoder.
        TokenizerError: The tokenizer has no backtrack token, or has it as a special token; or the model has
            no row for it.
    """

    def __init__(
        self,
        pretrained: Any,
        *,
        context: str = "soft",
        max_backtracks: int | None = None,
        boundary: str = "noop",
        tabu: str | bool = False,
        step_delimiter: str = "\n",
        **kwargs: Any,
    ) -> None:
        self._context = choose(Context, context, "context")
        self._boundary = choose(Boundary, boundary, "boundary")
        self._max_backtracks, self._tabu = max_backtracks, Tabu.of(tabu)
        super().__init__(pretrained, **kwargs)
        if self.backend != "causal":
            raise SettingsError(
                "hf-backtrack was given a model with an encoder, whose decoder cannot be rewound.",
                "Use a causal language model, or --model hf.",
            )
        self._reader = TraceReader(
            self.tokenizer, step_delimiter=step_delimiter, think_end_token=self.think_end_token
        )
        self._vocab = reader_vocab(self._reader, "hf")
        require_rows(self.model.config, self._vocab)

    def _model_call(self, inps: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Logits of the ids that exist, from which lm-eval reads log-likelihoods."""
        return without_unknown(super()._model_call(inps, *args, **kwargs), self._vocab)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer requests of (context, generation arguments), in order."""
        order = Collator(
            [request.args for request in requests],
            sort_fn=lambda args: (-len(self.tok_encode(args[0])), args[0]),
            group_by="gen_kwargs",
            group_fn=lambda args: args[1],
        )
        for options in {repr(request.args[1]): request.args[1] for request in requests}.values():
            self._require_sound(options)
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

    def _require_sound(self, options: Mapping[str, Any]) -> None:
        """Refuse generation arguments before anything is sampled."""
        prompt = torch.tensor([[self.prefix_token_id or 0]], device=self.device)
        self._room(options)
        self._decoding(options, self._generation(options, prompt, torch.ones_like(prompt)))

    def _answers(self, contexts: Sequence[str], options: Mapping[str, Any]) -> list[TracedAnswer]:
        ids, mask = self.tok_batch_encode(
            list(contexts), left_truncate_len=self._room(options), truncation=bool(self.truncation)
        )
        generation = self._generation(options, ids.to(self.device), mask.to(self.device))
        with torch.autocast(
            self.device.type, self.mixed_precision_dtype, enabled=self.mixed_precision_dtype is not None
        ):
            traces = decode(
                self.model,
                [row[seen.bool()].tolist() for row, seen in zip(ids, mask, strict=True)],
                self._decoding(options, generation),
                processors=generation.processors,
                pad_id=int(self.tokenizer.pad_token_id),
            )
        until = self._until(options)
        return [
            traced_answer(
                self._reader, trace.ids, until,
                log_probs=trace.logprobs, entropies=trace.entropies, edit_probs=trace.edit_probs,
            )
            for trace in traces
        ]  # fmt: skip

    def _room(self, options: Mapping[str, Any]) -> int:
        """Most tokens of a prompt."""
        most = normalize_gen_kwargs(dict(options), self.max_gen_toks)["max_gen_toks"]
        if most >= self.max_length:
            raise SettingsError(
                f"max_gen_toks is {most}, the model's length {self.max_length}.",
                "Pass --gen_kwargs max_gen_toks=... below it.",
            )
        return int(self.max_length - most)

    def _until(self, options: Mapping[str, Any]) -> list[str]:
        eos = (
            None
            if self.eot_token_id is None
            else self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        )
        return handle_stop_sequences(normalize_gen_kwargs(dict(options))["until"], eos=eos)

    def _generation(self, options: Mapping[str, Any], ids: torch.Tensor, mask: torch.Tensor) -> Generation:
        """What ``hf`` would have generated a batch with."""
        known = dict(normalize_gen_kwargs(dict(options), self.max_gen_toks))
        most, temperature = known.pop("max_gen_toks"), known.pop("temperature", None)
        samples = bool(known.pop("do_sample")) and temperature != 0
        if samples and temperature is not None:
            known["temperature"] = temperature
        del known["until"]
        arguments = (
            {"max_length": ids.shape[1] + most} | known | {"pad_token_id": self.tokenizer.pad_token_id}
        )
        return prepare(self.model, ids, mask, arguments | {"do_sample": samples})

    def _decoding(self, options: Mapping[str, Any], generation: Generation) -> Decoding:
        """Return the decoding settings from transformers' generation, a task's arguments and halluc's."""
        return Decoding(
            self._vocab,
            max_actions=generation.max_actions,
            context=self._context,
            temperature=1.0 if generation.samples else 0.0,  # the processors know which
            budget=self._max_backtracks,
            boundary=self._boundary,
            tabu=self._tabu,
            eos_ids=end_ids(self.tokenizer, list(generation.eos_ids), self._until(options)),
        )

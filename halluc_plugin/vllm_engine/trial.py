"""Test an engine that rewinds, in this process.

``VLLM_ENABLE_V1_MULTIPROCESSING=0`` keeps the engine in this process. Answers are compared by
:mod:`.equivalence`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from vllm import LLM, SamplingParams
from vllm.outputs import CompletionOutput

from halluc_plugin.vllm_engine.equivalence import replay
from halluc_plugin.vllm_engine.request import EditRequest


@dataclass(frozen=True)
class TrialAnswer:
    """One answer of an engine.

    Attributes:
        prompt: Token ids of the prompt.
        params: The sampling parameters of the request.
        ids: Token ids of the raw trace, Int[T].
        logprobs: Log-probability of each action, in nats.
        finish: The reason why it ended, in vLLM's words.
        stop: The stop id that ended it, if one did.
    """

    prompt: list[int]
    params: SamplingParams
    ids: list[int]
    logprobs: list[float]
    finish: str | None
    stop: int | str | None

    def distributions(self, model: Any) -> torch.Tensor:
        """Return the log-probs of the reference, Float[T, vocabulary]; see :func:`.equivalence.replay`."""
        return replay(
            model,
            self.prompt,
            self.ids,
            EditRequest.from_extra_args(self.params.extra_args),
            temperature=self.params.temperature,
            logit_bias=self.params.logit_bias,
        )

    def difference(self, model: Any) -> float:
        """Return the largest difference between the engine's and the reference's log-probs, in nats."""
        want = self.distributions(model).gather(1, torch.tensor(self.ids)[:, None])[:, 0]
        return float((want - torch.tensor(self.logprobs)).abs().max())


Question = tuple[list[int], SamplingParams]
"""A prompt and sampling parameters, which must ask for log-probs."""


def ask(llm: LLM, questions: Sequence[Question]) -> list[TrialAnswer]:
    """Return the answers to all questions at once, in order; a question that asks for n has n answers."""
    prompts = [{"prompt_token_ids": prompt} for prompt, _ in questions]
    outputs = llm.generate(prompts, [params for _, params in questions], use_tqdm=False)
    return [
        _answer(prompt, params, completion)
        for (prompt, params), output in zip(questions, outputs, strict=True)
        for completion in output.outputs
    ]


def ask_with_readers(llm: LLM, questions: Sequence[Question], block_size: int) -> list[TrialAnswer]:
    """Return the answers to all questions, and those to readers of the prefix cache.

    This is the hard test of the prefix cache. Whenever the text of an answer fills a block, another request
    is sent whose prompt is that text, so that it uses the block while the answer may still rewind into it.
    When all are done, every such text is requested once more, so that whatever the cache still offers under
    its hash is read.
    """
    engine = llm.llm_engine
    scheduler = engine.engine_core.engine_core.scheduler
    pending = {f"w{index}": question for index, question in enumerate(questions)}
    writers = tuple(pending)
    filled = dict.fromkeys(writers, 0)
    reading = SamplingParams(temperature=0.0, max_tokens=12, logprobs=0, detokenize=False)
    for name, (prompt, params) in pending.items():
        engine.add_request(name, {"prompt_token_ids": prompt}, params)
    answers: list[TrialAnswer] = []
    texts: list[list[int]] = []
    while engine.has_unfinished_requests():
        answers += [
            _answer(*pending[output.request_id], output.outputs[0])
            for output in engine.step()
            if output.finished
        ]
        for request in list(scheduler.requests.values()):
            name = request.request_id.partition("-")[0]  # vLLM adds a suffix
            computed = request.num_computed_tokens
            if name in writers and computed % block_size == 0 and computed > filled[name]:
                filled[name] = computed
                texts.append([*request.all_token_ids[:computed], request.all_token_ids[0]])
                reader = f"r{len(texts)}"
                pending[reader] = (texts[-1], reading)
                engine.add_request(reader, {"prompt_token_ids": texts[-1]}, reading)
    return answers + ask(llm, [(text, reading) for text in texts])


def _answer(prompt: list[int], params: SamplingParams, completion: CompletionOutput) -> TrialAnswer:
    ids = list(completion.token_ids)
    logprobs = [entry[token].logprob for token, entry in zip(ids, completion.logprobs, strict=True)]
    return TrialAnswer(prompt, params, ids, logprobs, completion.finish_reason, completion.stop_reason)

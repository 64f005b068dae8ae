"""A vLLM engine in this very process, with counters; its questions and answers as JSON can hold them.

To be imported before vLLM, and not by pytest: on a CPU, vLLM binds the process to memory and cores.
"""

import contextlib
import copy
import os
from collections import Counter

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the scheduler's counters are read in this process
    "VLLM_LOGGING_LEVEL": "ERROR",
}

import torch
from vllm import LLM, SamplingParams
from vllm.platforms.cpu import CpuPlatform
from vllm.v1.worker import cpu_model_runner

from halluc_plugin.edits import Context
from halluc_plugin.vllm_engine.equivalence import VOCAB
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.request import EditRequest
from halluc_plugin.vllm_engine.scheduler import RewindScheduler
from halluc_plugin.vllm_engine.trial import _answer
from halluc_plugin.vllm_engine.trial import ask as ask_engine

BLOCK = 16
SAMPLING = (
    "temperature", "max_tokens", "min_tokens", "stop_token_ids", "logit_bias", "seed", "n",
    "frequency_penalty",
)  # fmt: skip


class PoisonedScheduler(RewindScheduler):
    """Rewinds the tokens and forgets the prefix cache."""

    def _rewind(self, request, depth):
        enabled, self.kv_cache_manager.enable_caching = self.kv_cache_manager.enable_caching, False
        super()._rewind(request, depth)
        self.kv_cache_manager.enable_caching = enabled


class Engine:
    """A vLLM engine in this process, with counters."""

    def __init__(self, path, **overrides):
        arguments = {
            "model": path, "skip_tokenizer_init": True, "dtype": "float32", "enforce_eager": True,
            "max_model_len": 256, "max_num_seqs": 12, "block_size": BLOCK, "num_gpu_blocks_override": 300,
            "max_num_batched_tokens": 64, "logprobs_mode": "processed_logprobs", "seed": 0,
        }  # fmt: skip
        self.llm = LLM(**(arguments | ENGINE_ARGS | overrides))
        self.engine = self.llm.llm_engine
        self.scheduler = self.engine.engine_core.engine_core.scheduler
        self.counts = Counter()
        self._count("schedule", lambda plan: {"slots": plan.total_num_scheduled_tokens, "steps": 1})
        self._count("_preempt_request", lambda _: {"preemptions": 1})

    def _count(self, name, of):
        method = getattr(self.scheduler, name)

        def counting(*args, **kwargs):
            result = method(*args, **kwargs)
            self.counts.update(of(result))
            return result

        setattr(self.scheduler, name, counting)

    def run(self, asks):
        """Answer all, at once; the counters are those of this call."""
        self.counts.clear()
        answers = ask_engine(self.llm, [(asked["prompt"], parameters(asked)) for asked in asks])
        return {"answers": [record(answer) for answer in answers], "counts": dict(self.counts)}

    def say(self, name, words, params, internal=None, *, last=False):
        """Send a part of a prompt, as AsyncLLM does, and return the request's internal name."""
        inputs = self.engine.input_processor
        request = inputs.process_inputs(
            internal or name, {"prompt_token_ids": list(words)}, params,
            supported_tasks=self.engine.get_supported_tasks(), resumable=not last,
        )  # fmt: skip
        if internal is None:
            inputs.assign_request_id(request)
        request.external_req_id = name
        self.engine.output_processor.add_request(request, None, None, 0)
        # Both sides lengthen the list, which two processes would not share.
        sent = copy.copy(request)
        sent.prompt_token_ids = list(request.prompt_token_ids)
        self.engine.engine_core.add_request(sent)
        return request.request_id

    def run_by_steps(self, asks, events):
        """Answer all requests, by name, step by step; ``events`` happen before the step they name.

        Answers that were cut off are left out; ``left`` is what the scheduler has kept of requests.
        """
        self.counts.clear()
        answers, step = [], 0
        for name, asked in asks.items():
            self.engine.add_request(name, {"prompt_token_ids": asked["prompt"]}, parameters(asked))
        while self.engine.has_unfinished_requests():
            step += 1
            events.get(step, int)()
            for output in self.engine.step():
                if output.finished and output.outputs[0].finish_reason != "abort":
                    asked = asks[output.request_id]
                    answers.append(record(_answer(asked["prompt"], parameters(asked), output.outputs[0])))
        return {"answers": answers, "counts": dict(self.counts), "left": len(self.scheduler._traces)}


def ask(prompt, request=None, **sampling):
    """A request as JSON can hold it."""
    return {"prompt": prompt, "extra_args": request.to_extra_args() if request else {}, "sampling": sampling}


def hard(**settings):
    """A request in hard context."""
    return EditRequest(VOCAB, context=Context.HARD, **settings)


def parameters(asked):
    """Its sampling parameters."""
    return SamplingParams(logprobs=0, detokenize=False, extra_args=asked["extra_args"], **asked["sampling"])


def record(answer):
    """An answer as JSON can hold it."""
    params = answer.params
    sampling = {name: getattr(params, name) for name in SAMPLING if getattr(params, name) is not None}
    return {
        "prompt": answer.prompt, "extra_args": params.extra_args, "sampling": sampling,
        "ids": answer.ids, "logprobs": answer.logprobs, "finish": answer.finish,
    }  # fmt: skip


def prompt(seed, length):
    """Ids that no other seed begins with."""
    return [1 + seed % 39, 1 + seed // 39, *((seed * 7 + i * i) % 39 for i in range(length - 2))]


def schedule_asynchronously():
    """Make CPU engines asynchronous as on a GPU: two batches in flight, though streams do nothing."""
    check = CpuPlatform.check_and_update_config.__func__

    def asynchronous(cls, config):
        check(cls, config)
        config.scheduler_config.async_scheduling = True

    class Idle:
        def __init__(self, *_, **__):
            pass

        def __getattr__(self, _):
            return lambda *_, **__: None

    CpuPlatform.check_and_update_config = classmethod(asynchronous)
    cpu_model_runner._torch_cuda_wrapper = contextlib.nullcontext  # its own stand-ins can do less
    torch.cuda.Stream = torch.cuda.Event = torch.Event = Idle
    torch.cuda.current_stream = Idle
    torch.cuda.stream = lambda _: contextlib.nullcontext()

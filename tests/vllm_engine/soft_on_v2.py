"""Run by hand and by scripts/window.py: limits on edits in soft context, on vLLM's model runner V2.

    VLLM_USE_V2_MODEL_RUNNER=1 python tests/vllm_engine/soft_on_v2.py

Where the machine has no accelerator, TRITON_INTERPRET=1 runs the kernels of runner V2. It ends with one
line, or with an error if an answer broke a limit, if a log-prob was not that of the restricted policy, or if
an engine in hard context started.
"""

import os
import tempfile
from pathlib import Path

os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

import pytest
from vllm import LLM, SamplingParams

from halluc_plugin.decoding import Tabu
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB, random_model
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS, SOFT_PROCESSOR
from halluc_plugin.vllm_engine.request import EditRequest
from halluc_plugin.vllm_engine.trial import ask

LIMITS = (
    (None, Boundary.NOOP),
    (0, Boundary.NOOP),
    (2, Boundary.NOOP),
    (2, Boundary.MASK),
    (None, Boundary.MASK),
)
ENGINE = {
    "skip_tokenizer_init": True, "dtype": "float32", "enforce_eager": True, "max_model_len": 256, "seed": 0,
    "max_num_seqs": 8, "block_size": 32, "num_gpu_blocks_override": 16, "max_num_batched_tokens": 64,
    "logprobs_mode": "processed_logprobs", "gpu_memory_utilization": 0.2,
}  # fmt: skip
"""Few blocks, so that requests are preempted and come back."""


def questions():
    """Twenty requests of different lengths and limits, without limits among them."""
    for index in range(20):
        budget, boundary = LIMITS[index % len(LIMITS)]
        request = EditRequest(VOCAB, budget, boundary, tabu=Tabu.LAST if index % 7 == 6 else Tabu.OFF)
        yield [1 + index, *range(2 + 3 * (index % 9))], SamplingParams(
            temperature=0.8, max_tokens=16 + 3 * index, logprobs=0, detokenize=False, seed=index,
            logit_bias={EOS: -100.0, 40: 2.0, 41: 1.0}, extra_args=request.to_extra_args(),
        )  # fmt: skip


def main():
    """Compare every answer with transformers; then try to start an engine that rewinds."""
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(Path(folder))
        llm = LLM(model=folder, logits_processors=[SOFT_PROCESSOR], **ENGINE)
        assert llm.llm_engine.vllm_config.use_v2_model_runner, "vLLM chose another model runner"
        answers = ask(llm, list(questions()))
        edits = sum(token_id in VOCAB.edit_ids for answer in answers for token_id in answer.ids)
        assert edits > 50, f"{edits} edits try nothing"
        worst = max(answer.difference(model) for answer in answers)  # infinite where a limit was broken
        assert worst < 1e-3, f"a log-prob differs by {worst} nats"
        with pytest.raises(SettingsError, match="VLLM_USE_V2_MODEL_RUNNER=0"):
            LLM(model=folder, **(ENGINE | ENGINE_ARGS))
    actions = sum(len(answer.ids) for answer in answers)
    print(  # noqa: T201
        f"{len(answers)} answers, {edits} edits of {actions} actions, worst log-prob {worst:.1e} nats; "
        "hard context refused"
    )


if __name__ == "__main__":
    main()

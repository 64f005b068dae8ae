"""Run by test_hostile_e2e.py in a process of its own: an engine in another process, and what clients send it.

Nothing is judged here. Values are told by their ``repr``, as JSON has no NaN.
"""

import json
import math
import os
import sys
from pathlib import Path

os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}

from failing_bans import FailingBans
from vllm import LLM, PoolingParams, SamplingParams
from vllm.lora.request import LoRARequest
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB, VOCAB_SIZE
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.request import EditRequest, Length

HARD = EditRequest(VOCAB, context=Context.HARD, budget=4).to_extra_args()
SOFT = EditRequest(VOCAB, budget=2).to_extra_args()
BIAS = {40: 1.2, 41: 0.6, EOS: -100.0}
HUGE = 10**4400
VALUES = [
    100_000, VOCAB_SIZE, 2**31, 2**63, 2**64, HUGE, -1, 3.0, 1e300, math.nan, math.inf, True, "5", "", None,
    [], [[1]], {}, {"a": [1]}, [None],
]  # fmt: skip
NUMBERS = ("backtrack", "step", "restart", "budget", "max_actions")
FREE_TO_BE_LARGE = {("budget", 100_000), ("budget", VOCAB_SIZE)}


def good():
    """Requests whose answers are settled by what they ask: greedy, in each context and in none."""
    requests = []
    for index in range(4):
        hard = EditRequest(VOCAB, context=Context.HARD, tabu=True, boundary=list(Boundary)[index % 2])
        for extra_args in (hard.to_extra_args(), SOFT, None):
            params = SamplingParams(
                temperature=0,
                max_tokens=48,
                logprobs=0,
                detokenize=False,
                logit_bias=BIAS,
                extra_args=extra_args,
            )
            requests.append(([1 + index, 7, 11 + len(requests)], params))
    return requests


def refused():
    """What must not be queued, by name: extra_args and sampling."""
    cases = {}
    for key in NUMBERS:
        for value in VALUES:
            if (key, value if isinstance(value, int) else None) not in FREE_TO_BE_LARGE:
                cases[f"{key}={value!r:.20}" if value is not HUGE else f"{key}=huge"] = (
                    HARD | {f"halluc_{key}": value}, {},
                )  # fmt: skip
    for name in ("step_delimiters", "context", "boundary", "tabu", "length"):
        for value in (100_000, math.nan, "5", [None], [[1]], {"a": 1}, [HUGE], [100_000], [-1], [3, 3], None):
            cases[f"{name}={value!r:.20}" if value != [HUGE] else f"{name}=[huge]"] = (
                HARD | {f"halluc_{name}": value}, {},
            )  # fmt: skip
    return cases | {
        "backtrack is step": (HARD | {"halluc_step": VOCAB.backtrack}, {}),
        "backtrack is a delimiter": (HARD | {"halluc_step_delimiters": [VOCAB.backtrack]}, {}),
        "backtrack is EOS": (HARD | {"halluc_backtrack": EOS}, {}),
        "backtrack is a stop id": (HARD, {"stop_token_ids": [VOCAB.backtrack]}),
        "unknown key": (HARD | {"halluc_budgte": 1}, {}),
        "upper case": (HARD | {"HALLUC_BUDGET": 1}, {}),
        "no backtrack": ({"halluc_budget": 1}, {}),
        "nothing left": (HARD | {"halluc_budget": 0}, {"allowed_token_ids": [40, 41]}),
        "allowed beyond": (HARD, {"allowed_token_ids": [1, 100_000]}),
        "stops beyond": (HARD, {"stop_token_ids": [100_000], "min_tokens": 2}),
        "structured output": (HARD, {"structured_outputs": StructuredOutputsParams(regex="a")}),
        "greedy loop": ({"halluc_backtrack": 40, "halluc_context": "hard"}, {"temperature": 0}),
        "max_tokens=0": (HARD, {"max_tokens": 0}),
        "lora": (HARD, {"lora": True}),
        "empty prompt": (HARD, {"prompt": []}),
        "pooling": (HARD, {"pooling": True}),
    }


def odd():
    """What must be answered, by name."""
    collapsed = EditRequest(VOCAB, context=Context.HARD, length=Length.COLLAPSED, max_actions=50)
    unlimited = EditRequest(VOCAB, context=Context.HARD).to_extra_args()
    return {
        "n": (HARD, {"n": 3, "output_kind": RequestOutputKind.FINAL_ONLY}),
        "seed": (HARD, {"seed": 2**63 - 1}),
        "min_tokens": (HARD, {"min_tokens": 20, "stop_token_ids": [3, 4]}),
        "edits alone allowed": (unlimited, {"allowed_token_ids": [40, 41]}),
        "edits and a stop": (HARD, {"allowed_token_ids": [40, 5], "stop_token_ids": [5], "min_tokens": 0}),
        "logprobs": (HARD, {"logprobs": 5}),
        "prompt_logprobs": (HARD, {"prompt_logprobs": 2}),
        "priority": (HARD, {"priority": 5}),
        "max_tokens=1": (HARD, {"max_tokens": 1}),
        "model length": (HARD, {"max_tokens": 253}),
        "beyond the model": (unlimited, {"max_tokens": 900}),
        "one token": (HARD, {"prompt": [1]}),
        "edits in the prompt": (HARD, {"prompt": [40, 41, 42, 40]}),
        "largest budget": (HARD | {"halluc_budget": 2**31 - 1}, {}),
        "collapsed": (collapsed.to_extra_args(), {"max_tokens": 20}),
        "penalties": (HARD, {"frequency_penalty": 2.0, "repetition_penalty": 1.5}),
        "soft stop at an edit": (SOFT, {"stop_token_ids": [40]}),
        "soft, edits alone allowed": ({"halluc_backtrack": 40}, {"allowed_token_ids": [40]}),
    }


class Client:
    """What sends requests."""

    def __init__(self, path):
        self.llm = LLM(
            path, skip_tokenizer_init=True, dtype="float32", enforce_eager=True, max_model_len=256,
            max_num_seqs=12, block_size=16, num_gpu_blocks_override=300, max_num_batched_tokens=64,
            logprobs_mode="processed_logprobs", seed=0, **ENGINE_ARGS | {"logits_processors": [FailingBans]},
        )  # fmt: skip
        self.engine = self.llm.llm_engine

    def send(self, name, extra_args, sampling):
        """Queue one; what is said when it is refused."""
        sampling = {"max_tokens": 24, "detokenize": False, "logit_bias": BIAS} | sampling
        prompt, priority = sampling.pop("prompt", [9, 9, 9]), sampling.pop("priority", 0)
        lora = LoRARequest("lora", 1, "nowhere") if sampling.pop("lora", False) else None
        pooling = sampling.pop("pooling", False)
        try:
            params = PoolingParams() if pooling else SamplingParams(extra_args=extra_args, **sampling)
            self.engine.add_request(
                name, {"prompt_token_ids": prompt}, params, lora_request=lora, priority=priority
            )
        except Exception as error:  # noqa: BLE001 - whatever a client is told
            return f"{type(error).__name__}: {error}"[:500]
        return None

    def send_good(self, index):
        """Queue one of the good."""
        prompt, params = good()[index]
        self.engine.add_request(f"good{index}", {"prompt_token_ids": prompt}, params)

    def answers(self):
        """Of all that are queued, by name."""
        answers = {}
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                if output.finished:
                    answers[output.request_id] = [
                        [list(each.token_ids), each.finish_reason] for each in output.outputs
                    ]
        return answers


def main(path, results_path):
    """Ask the good alone, then among the others, then make the processor fail."""
    client, results = Client(path), {}
    for index in range(len(good())):
        client.send_good(index)
    results["alone"] = client.answers()
    said, hostile = {}, refused() | odd()
    for index, (name, (extra_args, sampling)) in enumerate(hostile.items()):
        if index < len(good()):
            client.send_good(index)
        said[name] = client.send(name, extra_args, sampling)
    results |= {"said": said, "beside": client.answers(), "odd": list(odd()), "refused": list(refused())}
    client.send("last", {"fail": 1}, {})
    try:
        client.answers()
    except Exception as error:  # noqa: BLE001 - whatever a client is told
        results["failure"] = f"{type(error).__name__}: {error}"
    Path(results_path).write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])

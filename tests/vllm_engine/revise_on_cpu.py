"""Run by test_revise_e2e.py in a process of its own: ``halluc search --method revise`` on vLLM, on a CPU.

It writes down each revision and all requests to the engine; nothing is judged here.
"""

import json
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

os.environ |= {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a second process would import all of it again
    "VLLM_LOGGING_LEVEL": "ERROR",
}

import vllm

from halluc_plugin.cli.app import app
from halluc_plugin.jobs import search_plans
from halluc_plugin.search.revision import revise
from halluc_plugin.vllm_engine.sampler import VLLMSampler


def record(revisions, calls):
    """Keep the revisions of each prompt, and the prefixes of each call of the engine."""
    sample = VLLMSampler.sample

    def telling(prompt, space, plan):
        return revise(prompt, space, plan, tell=revisions.setdefault(prompt, []).append)

    def sampling(self, requests):
        calls.append([list(request.prefix) for request in requests])
        return sample(self, requests)

    search_plans.revise, VLLMSampler.sample = telling, sampling
    vllm.LLM = partial(vllm.LLM, enforce_eager=True)  # compiling takes longer than the search


def main(model, scorer, problems, out, written):
    """Search the problems."""
    revisions, calls = {}, []
    record(revisions, calls)
    app(
        ["search", "--model", model, "--data", problems, "--method", "revise", "--backend", "vllm",
         "--scorer", scorer, "-k", "3", "--revisions", "3", "--p-des", "1", "--temperature", "1",
         "--max-tokens", "48", "--out", out],
        standalone_mode=False,
    )  # fmt: skip
    told = [{"prompt": prompt, "revisions": [asdict(one) for one in of]} for prompt, of in revisions.items()]
    Path(written).write_text(json.dumps({"problems": told, "calls": calls}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run by test_vllm_backtrack.py in a process of its own, to which vLLM's CPU engine binds memory and cores.

Both of our models on the same checkpoint, in both contexts; nothing is judged here.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from halluc_plugin.errors import SettingsError
from lm_eval_tasks.hf_backtrack import HFBacktrack

CONTEXTS = ["1 2 3", "What is 40+2?\n", "abc", "1 2 3 4 5 6 7"]
ARGUMENTS = {
    "soft": {"max_backtracks": 2},
    "hard": {"context": "hard", "tabu": True, "boundary": "mask"},
}


def greedy(model, until):
    """Text and trace of each answer."""
    options = {"until": until, "max_gen_toks": 24, "do_sample": False}
    requests = [Instance("generate_until", {}, (text, dict(options)), 0) for text in CONTEXTS]
    answers = model.generate_until(requests, disable_tqdm=True)
    return [{"text": answer, **asdict(answer.trace)} for answer in answers]


def evaluate(model, tasks):
    """Scores and rows of a task of ours."""
    done = lm_eval.simple_evaluate(
        model=model, tasks=["gsm8k_backtrack"], task_manager=tasks, num_fewshot=0, bootstrap_iters=0,
        gen_kwargs={"max_gen_toks": 24},
    )  # fmt: skip
    rows = [row["filtered_resps"] for row in done["samples"]["gsm8k_backtrack"]]
    return {"scores": done["results"]["gsm8k_backtrack"], "rows": rows}


def main(path, tasks_path, data_path, results_path):
    """Write what the models answered, by context and model."""
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    from lm_eval_tasks.vllm_backtrack import VLLMBacktrack

    metadata = {"data_dir": data_path, "pretrained": path}
    tasks = TaskManager(include_path=tasks_path, include_defaults=False, metadata=metadata)
    engine = {"dtype": "float32", "enforce_eager": True, "max_model_len": 128, "seed": 0}
    results = {}
    for context, arguments in ARGUMENTS.items():
        hf = HFBacktrack(path, batch_size=4, device="cpu", dtype="float32", **arguments)
        vllm = VLLMBacktrack(path, **engine, **arguments)
        for name, model in (("hf", hf), ("vllm", vllm)):
            answers = greedy(model, until=[])
            stop = answers[0]["text"][2:4]
            results[f"{context}_{name}"] = {
                "answers": answers, "stop": stop, "cut": greedy(model, until=[stop]), **evaluate(model, tasks)
            }  # fmt: skip
    vllm._limits["tabu"] = False  # spares the start of another engine
    try:
        greedy(vllm, until=[])
    except SettingsError as error:
        results["loop"] = str(error)
    Path(results_path).write_text(json.dumps(results, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])

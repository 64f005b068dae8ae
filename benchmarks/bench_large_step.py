"""A step of 8192 answers of up to 4096 actions on the driver: advantages, credit, drift, metrics, trace log.

The bar: under 5 s and 2 GB beyond the columns that the trainer fetches. CPU seconds on one thread and the
peak of resident memory, in a process of its own. Run: ``pytest benchmarks/bench_large_step.py -s``.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ANSWERS, WIDTH, GROUP = 8192, 4096, 8


def fields_of_status():
    """Resident memory of this process, now and at its peak, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return [
        1024 * int(line.split()[1]) for name in ("VmRSS", "VmHWM") for line in lines if line.startswith(name)
    ]


def columns(answers, width, edits=0.03):
    """What a trainer fetches: ids, masks, log-probs of engine and actor, rewards, figures of the judge."""
    import numpy as np
    import torch

    rng = np.random.default_rng(0)
    ids = []
    for length in rng.integers(width // 2, width + 1, answers):
        row = rng.integers(10, 32_000, length)
        row[rng.random(length) < edits] = 7
        ids.append(torch.from_numpy(row))
    masks = [torch.ones(len(row)) for row in ids]
    log_probs = [-torch.rand(len(row)) for row in ids]
    rewards = torch.from_numpy((rng.random(answers) < 0.5).astype(np.float32))
    return ids, masks, log_probs, rewards


def infos(ids, rewards):
    """The judge's figures of each answer; the states around each event are worth something at random."""
    import numpy as np

    from halluc_plugin.edits import EditVocab, resolve_rows
    from halluc_plugin.rewards import components

    vocab, rng = EditVocab(7), np.random.default_rng(1)
    found = []
    for row, reward in zip(ids, rewards.tolist(), strict=True):
        resolution = resolve_rows([row], vocab)
        effective = resolution.event[0][resolution.is_edit[0] & ~resolution.noop[0]].unique().numel()
        moves = rng.integers(0, 2, (effective, 2)).astype(float).tolist()
        counts = {
            "num_backtracks": float(resolution.is_edit.sum()), "num_events": float(effective),
            "num_noops": 0.0,
            "num_erased": float(resolution.erased.sum()), "backtracked": 1.0, "raw_length": float(len(row)),
            "resolved_length": float(len(row)) / 2, "truncated": 0.0, "acc": reward, "acc_raw": reward,
        }  # fmt: skip
        parts = dict.fromkeys(components(), reward)
        found.append({**parts, **counts, "moves": json.dumps(moves), "steps": "[]"})
    return found


def measure(values):
    """Run the driver's part of a step; returns seconds of each piece and the memory beyond the columns."""
    import tempfile
    import time
    from types import SimpleNamespace

    import torch

    from halluc_plugin.credit import group_relative, spread
    from halluc_plugin.edits import EditVocab
    from halluc_plugin.rewards.influence import unchanged_groups
    from halluc_plugin.rl.answers import Answers, shape
    from halluc_plugin.rl.drift import compare
    from halluc_plugin.rl.step_metrics import drawn_groups, rollout_metrics
    from halluc_plugin.settings import load
    from halluc_plugin.trace_log import TraceLog, logged_trace

    torch.set_num_threads(1)
    vocab = EditVocab(7)
    settings = load({"credit": {"alpha": 0.5, "values": values}, "erased_tokens": "negative"})
    ids, masks, log_probs, rewards = columns(ANSWERS, WIDTH)
    judged = infos(ids, rewards)
    words = SimpleNamespace(
        decode=lambda row, **_: " ".join(map(str, row)), convert_ids_to_tokens=lambda row: list(map(str, row))
    )
    took, last = {}, time.process_time()

    def lap(name):
        nonlocal last
        now = time.process_time()
        took[name], last = now - last, now

    def advantages(rows):
        groups = torch.arange(rows) // GROUP
        padded = torch.nn.utils.rnn.pad_sequence(masks[:rows], batch_first=True)
        whole = spread(group_relative(rewards[:rows], groups), padded)
        return [row[: len(mask)] for row, mask in zip(whole, masks[:rows], strict=True)]

    def step(rows):
        given = advantages(rows)
        lap("advantages")
        answers = Answers(
            [f"u{row // GROUP}_{row % GROUP}_0" for row in range(rows)],
            [f"u{row // GROUP}" for row in range(rows)],
            ids[:rows], masks[:rows], given, rewards[:rows].tolist(), judged[:rows],
        )  # fmt: skip
        shaped, _ = shape(answers, vocab, settings)
        lap("credit")
        flat = torch.cat(log_probs[:rows])
        compare(flat, flat + 1e-4, torch.cat(masks[:rows]))
        lap("drift")
        rollout_metrics(answers.infos, answers.masks)
        unchanged_groups(answers.infos, answers.prompts, settings.reward, normalize_by_std=True)
        lap("metrics")
        kept = [
            answers.keys.index(key)
            for key in drawn_groups(answers.keys, 16, 1, lambda key: key.split("_")[0])
        ]
        with tempfile.TemporaryDirectory() as folder:
            TraceLog(Path(folder), 100).write(1, [
                logged_trace(
                    step=1, answer=answers.keys[row], prompt=[1], response=ids[row].tolist(),
                    response_mask=masks[row].tolist(), advantages=shaped[row].tolist(),
                    reward=float(rewards[row]), scores={}, tokenizer=words, vocab=vocab,
                    log_probs=log_probs[row].tolist(),
                )
                for row in kept
            ])  # fmt: skip
        lap("trace log")

    step(GROUP)  # compiled and imported
    lap("warm")
    took.clear()
    before, _ = fields_of_status()
    step(ANSWERS)
    took["GB"] = (fields_of_status()[1] - before) / 1e9
    return took


@pytest.mark.parametrize("values", ["judged", "prefix_tree"])
def test_a_step_on_the_driver(values):
    """Both sources of credit are within the bars."""
    code = f"""
import json, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "benchmarks")!r}]
from bench_large_step import measure
print("TOOK", json.dumps(measure({values!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    took = json.loads(done.stdout.split("TOOK")[1])
    memory = took.pop("GB")
    pieces = ", ".join(f"{name} {seconds:.2f}" for name, seconds in took.items())
    print(f"\n{ANSWERS} x {WIDTH}, {values}: {sum(took.values()):.2f} s ({pieces}), {memory:.2f} GB")
    assert sum(took.values()) < 5
    assert memory < 2

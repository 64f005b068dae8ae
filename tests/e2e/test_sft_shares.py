"""Shares of the loss on the real host: verl's SFT trainer on search traces, by hand and by ours."""

import json
import subprocess
import sys

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.problem_sets.search_trace_settings import Memory, Notice, SearchTraceSettings
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens import STEP_TOKEN
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.training import TrainSettings, fine_tune

STEPS, SHARES = 3, {"decisions": 0.3, "erased": 0.25, "rest": 0.45}


def surprises(model, tokenizer, row, context):
    """For each action its class and -log p behind what the context shows, by hand."""
    step, newline = tokenizer.convert_tokens_to_ids(STEP_TOKEN), tokenizer.encode("\n")[0]
    at_end = {}  # the live lines, each a list of positions
    lines, erased, found = [[]], set(), []
    for at, token in enumerate(row.response_ids):
        live = [row.response_ids[i] for line in lines for i in line]
        seen = live if context is Context.HARD else row.response_ids[:at]
        with torch.no_grad():
            logits = model(torch.tensor([[*row.prompt_ids, *seen]])).logits[0, -1]
        begins = bool(live) and live[-1] == newline
        at_end[at] = "decisions" if token in {step, tokenizer.eos_token_id} or begins else "rest"
        found.append(float(-logits.log_softmax(-1)[token]))
        if token == step:
            gone = lines.pop() or lines.pop()  # the line that was begun, or the last whole one
            erased.update(gone)
            lines.append([])
        else:
            lines[-1].append(at)
            if token == newline:
                lines.append([])
    return [("erased" if at in erased else at_end[at], value) for at, value in enumerate(found)]


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("context", [Context.SOFT, Context.HARD])
def test_a_batch_costs_its_classes_by_their_shares(tmp_path, context):
    """The first loss of both trainers is the mean of each class times its share, and both go on alike."""
    tokenizer = editing_tokenizer("step")
    traces = SearchTraceSettings(memory=Memory.NONE, notice=Notice.AT_ONCE, tries=2)
    asked = SearchData(WordProblems(length=4, blanks=1), SearchRequest(train=12, test=2, traces=traces))
    files = asked.write(tmp_path, tokenizer, lambda items, what, total: items)
    rows = read_traces(files.traces, tokenizer)
    save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, tmp_path / "model")
    done = subprocess.run(
        [
            sys.executable, "-m", "verl.trainer.sft_trainer", "+recipe=halluc_sft", "halluc/sft_task=word",
            f"data.train_files={files.traces}", f"model.path={tmp_path / 'model'}",
            f"data.train_batch_size={len(rows)}", "optim.lr_warmup_steps=1",
            f"trainer.total_training_steps={STEPS}", "trainer.save_freq=-1",
            f"halluc.context={context}", "halluc.erased_tokens=weight",
            f"halluc.shares.decisions={SHARES['decisions']}", f"halluc.shares.erased={SHARES['erased']}",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    (log,) = (tmp_path / "checkpoints" / "halluc" / "halluc_sft" / "metrics").glob("*.jsonl")
    by_verl = [json.loads(line)["data"]["train/loss"] for line in log.read_text().splitlines()]

    settings = TrainSettings(
        steps=STEPS, batch_size=len(rows), warmup_steps=1, log_steps=1, context=context,
        erased_tokens=ErasedTokens.WEIGHT, shares=LossShares(SHARES["decisions"], SHARES["erased"]),
    )  # fmt: skip
    start = load_model(str(tmp_path / "model")).eval()
    actions = [action for row in rows for action in surprises(start, tokenizer, row, context)]
    of = {name: [value for kind, value in actions if kind == name] for name in SHARES}
    by_hand = sum(share * sum(of[name]) / len(of[name]) for name, share in SHARES.items())
    fine_tune(start, tokenizer, [files.traces], settings, tmp_path / "ours", show_progress=False)
    events = EventAccumulator(str(tmp_path / "ours" / "tensorboard"))
    events.Reload()

    assert by_verl[0] == pytest.approx(by_hand, abs=5e-4)
    assert by_verl == pytest.approx([event.value for event in events.Scalars("train/loss")], abs=5e-4)
    assert by_verl[0] - by_verl[-1] > 0.1

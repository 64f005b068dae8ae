"""Fine-tuning, word for word, on the real host: ``python -m verl.trainer.sft_trainer +recipe=halluc_sft``."""

import json
import os
import subprocess
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import Context
from halluc_plugin.progress import ASKED, Progress, parsed
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import load_model, load_tokenizer, save_tokenizer
from halluc_plugin.training import TrainSettings, fine_tune

STEPS = 6


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize("context", list(Context))
def test_the_same_losses_as_halluc_train(tmp_path, context):
    """From the same weights, on batches of the whole file, both log the same losses, verl tells its steps."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    data = write_countdown(tmp_path, CountdownRequest(train=20, test=5), tokenizer, lambda i, w, t: i)
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    rows = len(read_traces(data.traces, tokenizer))
    done = subprocess.run(
        [
            sys.executable, "-m", "verl.trainer.sft_trainer", "+recipe=halluc_sft",
            f"data.train_files={data.traces}", f"model.path={tmp_path / 'model'}",
            f"data.train_batch_size={rows}", "optim.lr_warmup_steps=2",
            f"trainer.total_training_steps={STEPS}", f"trainer.save_freq={STEPS}",
            f"halluc.context={context}",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, ASKED: "plain"},  # as ``halluc quiet`` does
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert [told for line in done.stderr.splitlines() if (told := parsed(line))][-1] == Progress(
        "fine-tuning", STEPS, STEPS
    )
    run = tmp_path / "checkpoints" / "halluc" / "halluc_sft"
    (log,) = (run / "metrics").glob("*.jsonl")
    by_verl = [json.loads(line)["data"]["train/loss"] for line in log.read_text().splitlines()]

    settings = TrainSettings(steps=STEPS, batch_size=rows, warmup_steps=2, log_steps=1, context=context)
    model = load_model(str(tmp_path / "model"))
    fine_tune(model, tokenizer, [data.traces], settings, tmp_path / "ours", show_progress=False)
    events = EventAccumulator(str(tmp_path / "ours" / "tensorboard"))
    events.Reload()
    ours = [event.value for event in events.Scalars("train/loss")]

    assert by_verl == pytest.approx(ours, abs=5e-4)
    assert by_verl[0] - by_verl[-1] > 0.1
    model = run / f"global_step_{STEPS}" / "huggingface"
    assert f"Model: {model}" in done.stdout
    assert "+recipe=halluc_grpo actor_rollout_ref.model.path=" in done.stdout
    assert len(load_tokenizer(str(model))) == len(tokenizer)
    assert load_model(str(model)).config.vocab_size >= len(tokenizer)

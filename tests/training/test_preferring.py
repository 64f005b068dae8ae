"""Training on pairs: learning, going on, equal steps, low-rank updates."""

import json
import math
from dataclasses import replace

import pytest
import torch
from transformers import Trainer, TrainerCallback

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses.preference import Preference, PreferenceSettings, imitation_loss
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import preference_trainer, preferring
from halluc_plugin.training.pairs import Example, PairCollator
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.reference_sums import SumReader
from tests.training.preference_cases import TRAIN, B, pair, pair_file, pairs, settings_of, tokenizer, trained

__all__ = ["pair_file", "pairs", "tokenizer"]  # fixtures


@pytest.mark.parametrize("loss", list(Preference))
@pytest.mark.parametrize("context", list(Context))
def test_a_tiny_model_learns_to_prefer(tokenizer, pair_file, tmp_path, loss, context):
    """On held-out problems the chosen side becomes the likelier one, and the saved model says so, too."""
    settings = settings_of(loss, context=context)
    if loss is Preference.KTO:  # whose gradient is that of a sigmoid, not of its logarithm
        settings = replace(settings, loss=PreferenceSettings(loss, beta=1.0))
    done = trained(tokenizer, pair_file, settings, tmp_path / "out")
    assert done.before.n == done.after.n == 4
    assert done.after.value == 1.0
    assert done.after.value > done.before.value or done.before.value == 1.0
    told = json.loads((tmp_path / "out" / "preferences.json").read_text())
    assert told["after"]["value"] == done.after.value
    assert told["chosen_log_prob_shift"] == pytest.approx(done.shift)
    assert (tmp_path / "out" / "reference.parquet").exists() is settings.loss.needs_reference
    loaded = load_model(str(tmp_path / "out"), dtype="float32").eval()
    collator = PairCollator(vocab_of(tokenizer), 0, ErasedTokens.MASK)
    rows = [pair(tokenizer, "20 5 -> 25\n", f"20+5=26{B}25\n", f"20+5={B}2625\n")]
    (sums,) = SumReader(collator, context, bf16=False, batch_size=1).sums(loaded, [Example(rows[0])])
    assert sums.chosen > sums.rejected


@pytest.mark.parametrize("case", [(Preference.DPO, math.log(2)), (Preference.IPO, 25.0)])
def test_the_first_loss_is_that_of_equal_models(tokenizer, pair_file, tmp_path, monkeypatch, case):
    """Before a step policy and reference agree: log 2 for DPO, 1 / 4τ² for IPO, an accuracy of one half."""
    (loss, first), logs = case, []

    class Logs(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            seen.append(logs)

    seen = logs
    made = preferring.PreferenceTrainer
    monkeypatch.setattr(preferring, "PreferenceTrainer", lambda **known: made(**known, callbacks=[Logs()]))
    trained(tokenizer, pair_file, settings_of(loss, steps=1, log_steps=1), tmp_path / "out")
    assert logs[0]["loss"] == pytest.approx(first, rel=1e-3)
    assert logs[0]["reward_margin"] == pytest.approx(0, abs=1e-4)
    assert logs[0]["log_prob_chosen"] < 0


def test_imitation_is_added_to_the_loss(tokenizer, pair_file, tmp_path, monkeypatch):
    """Each chosen side has seven imitated tokens: three that count, and four that both sides begin with."""
    seen, imitated = [], []

    class Logs(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            seen.append(logs)

    made = preferring.PreferenceTrainer
    monkeypatch.setattr(preferring, "PreferenceTrainer", lambda **known: made(**known, callbacks=[Logs()]))

    def mean(chosen, counts):
        imitated.append((chosen.detach(), counts))
        return imitation_loss(chosen, counts)

    monkeypatch.setattr(preference_trainer, "imitation_loss", mean)
    settings = replace(settings_of(Preference.DPO, steps=1, log_steps=1), imitation=0.5)
    trained(tokenizer, pair_file, settings, tmp_path / "out")
    ((chosen, counts),) = imitated
    assert counts.tolist() == [7] * 8
    assert float(chosen.mean()) < 2 * seen[0]["log_prob_chosen"]
    assert seen[0]["loss"] == pytest.approx(math.log(2) - 0.5 * float(chosen.mean()) / 7, rel=1e-4)


def test_an_interrupted_run_goes_on(tokenizer, pair_file, tmp_path, monkeypatch):
    """Started again it reads the file of the reference and continues to the same weights."""
    settings, taken = settings_of(Preference.KTO, steps=4, save_steps=2), []
    trained(tokenizer, pair_file, settings, tmp_path / "whole")
    step = Trainer.training_step

    def until_the_power_cut(self, *args, **kwargs):
        taken.append(self.state.global_step)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", until_the_power_cut)
    with pytest.raises(KeyboardInterrupt):
        trained(tokenizer, pair_file, settings, tmp_path / "cut")
    kept = (tmp_path / "cut" / "reference.parquet").stat().st_mtime_ns
    trained(tokenizer, pair_file, settings, tmp_path / "cut")
    assert taken == [0, 1, 2, 3, 2, 3]
    assert (tmp_path / "cut" / "reference.parquet").stat().st_mtime_ns == kept
    weights = [load_model(str(tmp_path / f)).get_input_embeddings().weight for f in ("whole", "cut")]
    torch.testing.assert_close(*weights)


def test_micro_batches_make_the_same_step(tokenizer, pair_file, tmp_path):
    """Gradients of parts of a batch add up to those of the whole one."""
    weights = []
    for name, micro in (("whole", None), ("parts", 2)):
        settings = settings_of(Preference.DPO, steps=3, micro_batch_size=micro)
        trained(tokenizer, pair_file, settings, tmp_path / name)
        weights.append(load_model(str(tmp_path / name)).get_input_embeddings().weight)
    torch.testing.assert_close(*weights, atol=2e-5, rtol=0)


@pytest.mark.parametrize("context", list(Context))
def test_low_rank_updates_learn_the_same(tokenizer, pair_file, tmp_path, context):
    """The reference is the model without updates; a plain model is saved that prefers the chosen side."""
    settings = PreferSettings(
        PreferenceSettings(), replace(TRAIN, learning_rate=1e-2, context=context), 0.25, low_rank=4
    )
    done = trained(tokenizer, pair_file, settings, tmp_path / "out")
    assert done.after.value == 1.0
    saved, plain = load_model(str(tmp_path / "out")), new_model(tokenizer, Size.TINY, seed=0)
    assert type(saved) is type(plain)

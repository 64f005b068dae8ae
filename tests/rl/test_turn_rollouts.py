"""SCoRe's stages: what each turn is paid, what is held, and runs on both."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from halluc_plugin.credit import TurnStage
from halluc_plugin.errors import SettingsError
from halluc_plugin.rl import grpo
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.turn_rollouts import TurnRollouts, attempts
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.settings import load
from halluc_plugin.traces.turns import changed_share
from halluc_plugin.verifiers import Outcome
from tests.rl.conftest import RUN, logged, weights

ROOMY = replace(RUN, max_actions=18)
SETTINGS = load({"max_backtracks": 0, "metrics": {"judged_per_step": 0}})


@pytest.fixture
def request_ids(tokenizer):
    """What asks for another attempt."""
    return tuple(tokenizer.encode("?\n"))


def sampled(tokenizer, problems, rollouts, run=ROOMY):
    """A step's answers of a small model, with their problems."""
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    reader = RolloutReader.of(tokenizer, SETTINGS)
    rolled = rollouts.sample(model, problems[:2], SETTINGS, run, reader, step=1)
    return rolled, attempts(
        model, [p for p in problems[:2] for _ in range(run.group)], rollouts.request, run, reader, step=1
    )


@pytest.mark.parametrize("stage", list(TurnStage))
def test_turns_are_paid_for_their_own_attempt(tokenizer, problems, request_ids, stage):
    """Stage I pays the second attempt alone; stage II each its outcome, and the second one the bonus."""
    rolled, (firsts, seconds) = sampled(tokenizer, problems, TurnRollouts(request_ids, stage, 10.0, 0.1))
    answers = rolled.answers
    right = [
        [
            float(
                p.verifier.verify(p.truth, tokenizer.decode(t.ids, skip_special_tokens=True))
                is Outcome.CORRECT
            )
            for t, p in zip(turn, (p for p in problems[:2] for _ in range(3)), strict=True)
        ]
        for turn in (firsts, seconds)
    ]
    for group in (slice(0, 3), slice(3, 6)):
        before, after = (torch.tensor(of[group], dtype=torch.float64) for of in right)
        holds = stage is TurnStage.HOLD
        paid = (0 * before, after) if holds else (before, after + 10 * (after - before))
        assert answers.rewards[group] == (paid[0] + paid[1]).tolist()
        for row, (one, two) in zip(
            range(6)[group], zip(*((p - p.mean()) / (p.std() + 1e-6) for p in paid), strict=True), strict=True
        ):
            lengths = len(firsts[row].ids), len(request_ids), len(seconds[row].ids)
            want = [float(one)] * lengths[0] + [0.0] * lengths[1] + [float(two)] * lengths[2]
            torch.testing.assert_close(answers.advantages[row], torch.tensor(want), atol=1e-3, rtol=1e-3)
            learns = [1.0] * lengths[0] + [0.0] * lengths[1] + [1.0] * lengths[2]
            assert answers.masks[row].tolist() == learns
            held = [0.1] * lengths[0] + [0.0] * lengths[1] + [0.0 if holds else 0.1] * lengths[2]
            torch.testing.assert_close(rolled.held[row], torch.tensor(held))
            assert answers.responses[row] == [*firsts[row].ids, *request_ids, *seconds[row].ids]


def test_what_is_logged_of_turns(tokenizer, problems, request_ids):
    """Both accuracies, and how much the attempts differ; they share what the request leaves of the room."""
    rolled, (firsts, seconds) = sampled(tokenizer, problems, TurnRollouts(request_ids, TurnStage.SHAPE))
    for row, info in enumerate(rolled.answers.infos):
        assert info["turn_change"] == changed_share(firsts[row].ids, seconds[row].ids)
        assert {"acc", "acc_without_edits"} <= info.keys()
        assert max(len(firsts[row].ids), len(seconds[row].ids)) <= 8


@pytest.mark.parametrize("stage", list(TurnStage))
def test_a_stage_trains_and_goes_on(tokenizer, problems, tmp_path, stage, monkeypatch):
    """Killed and started again it ends at the same weights; it logs how far it went from its start."""
    request_ids = tuple(tokenizer.encode("?\n"))

    def train(out):
        model = new_model(tokenizer, Size.TINY, seed=0)
        return grpo.train_policy(
            model, tokenizer, problems, SETTINGS, ROOMY, out=out, progress=lambda steps, *_: steps,
            rollouts=TurnRollouts(request_ids, stage, 10.0, 0.1),
            reference=deepcopy(new_model(tokenizer, Size.TINY, seed=0)).eval(),
        )  # fmt: skip

    whole, step = train(tmp_path / "whole"), grpo._Trainer.step

    def dies(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(grpo._Trainer, "step", dies)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed")
    assert torch.equal(weights(whole), weights(train(tmp_path / "killed")))
    lines = logged(whole)
    assert lines[0]["actor/held_loss"] == pytest.approx(0, abs=1e-9)
    assert lines[-1]["actor/held_loss"] > 0
    assert {"backtrack/turn_change", "backtrack/to_correct", "backtrack/acc_without_edits"} <= lines[0].keys()


def test_a_held_turn_stays_where_it_was(tokenizer, problems, tmp_path, request_ids):
    """With a heavy weight on both turns the policy ends nearer to its start than without one."""
    start = torch.cat([p.flatten() for p in new_model(tokenizer, Size.TINY, seed=0).parameters()]).detach()

    def moved(hold):
        rollouts = TurnRollouts(request_ids, TurnStage.SHAPE, 10.0, hold)
        reference = new_model(tokenizer, Size.TINY, seed=0).eval() if hold else None
        out = grpo.train_policy(
            new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, SETTINGS,
            replace(ROOMY, steps=6, learning_rate=3e-4), out=tmp_path / str(hold),
            progress=lambda steps, *_: steps, rollouts=rollouts, reference=reference,
        )  # fmt: skip
        return float((weights(out) - start).norm())

    assert moved(50.0) < moved(0.0)


def test_bad_settings_are_refused(tokenizer, problems, tmp_path, request_ids):
    """An empty request, weights below 0, no room, and a reference that is missing or in vain."""
    with pytest.raises(SettingsError, match="request between two attempts is empty"):
        TurnRollouts((), TurnStage.HOLD)
    with pytest.raises(SettingsError, match=r"alpha is -1 and hold 0.1"):
        TurnRollouts(request_ids, TurnStage.HOLD, alpha=-1)
    rollouts = TurnRollouts(request_ids, TurnStage.HOLD)
    with pytest.raises(SettingsError, match="leaves no room for two attempts"):
        sampled(tokenizer, problems, rollouts, replace(RUN, max_actions=3))
    for held, reference in ((0.1, None), (0.0, object())):
        with pytest.raises(SettingsError, match="go together"):
            grpo.train_policy(
                None, tokenizer, problems, SETTINGS, RUN, out=tmp_path, progress=lambda steps, *_: steps,
                rollouts=replace(rollouts, hold=held), reference=reference,
            )  # fmt: skip

"""Resets by the trainer: where an answer is reset to, by hand, and groups of suffixes."""

from dataclasses import replace

import pytest
import torch

from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import Marks
from halluc_plugin.rl import grpo
from halluc_plugin.rl.reset_rollouts import ResetRollouts
from halluc_plugin.rl.resets import reset_point, step_starts
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.settings import ResetAt, load
from halluc_plugin.verifiers import Outcome
from tests.rl.conftest import RUN, logged

EOS, LINE = 0, 1
MARKS = Marks(frozenset({LINE}), frozenset({EOS}))
IDS = (5, LINE, 6, 7, LINE, 8, EOS)
LOG_PROBS = (-1.0, -1.0, -0.1, -4.0, -0.1, -1.2, -0.6)
SETTINGS = load({"max_backtracks": 0, "metrics": {"judged_per_step": 0}})


def test_steps_begin_behind_delimiters():
    """A delimiter before the end begins no step, nor does the end."""
    assert step_starts(IDS, MARKS) == [0, 2, 5]
    assert step_starts((5, LINE, EOS), MARKS) == [0]
    assert step_starts((5, 6), MARKS) == [0]
    assert step_starts((5, LINE, 6), MARKS) == [0, 2]


def test_the_least_likely_step_has_the_smallest_mean():
    """The means are -1, -1.4 and -0.9."""
    assert reset_point(IDS, LOG_PROBS, MARKS, ResetAt.LEAST_LIKELY) == 2


def test_a_random_step_is_a_function_of_the_answer():
    """All steps come up, over answers; whoever resets one answer draws the same."""
    points = {reset_point((n, *IDS), None, MARKS, ResetAt.RANDOM) for n in range(5, 40)}
    assert points == {0, 3, 6}
    assert len({reset_point(IDS, None, MARKS, ResetAt.RANDOM) for _ in range(5)}) == 1


def test_the_first_error_is_the_verifiers():
    """The step that it refutes first; the last one if it refutes none."""

    def ok(ids):
        return 7 not in ids

    assert reset_point(IDS, None, MARKS, ResetAt.FIRST_ERROR, ok=ok) == 2
    assert reset_point(IDS, None, MARKS, ResetAt.FIRST_ERROR, ok=lambda _: True) == 5


@pytest.mark.parametrize(
    ("at", "told"),
    [(ResetAt.LEAST_LIKELY, "log-probs of an answer are not known"), (ResetAt.FIRST_ERROR, "nothing judges")],
)
def test_what_a_choice_reads_must_be_there(at, told):
    """One line says what to set."""
    with pytest.raises(SettingsError, match=told):
        reset_point(IDS, None, MARKS, at)


@pytest.fixture(params=[2, 3, 4])
def sampled(tokenizer, problems, request):
    """The answers of a step of a small model, four to each of four problems."""
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    reader = RolloutReader.of(tokenizer, SETTINGS)
    run = replace(RUN, prompts=4, group=4, max_actions=12)
    return ResetRollouts(ResetAt.RANDOM).sample(model, problems, SETTINGS, run, reader, step=request.param)


def test_groups_share_what_is_kept_and_learn_behind_it(tokenizer, problems, sampled):
    """Where the first answer failed it does not learn, and the others begin as it does, masked so far."""
    answers, reset = sampled.answers, 0
    assert sampled.held is None
    for group in range(4):
        rows = range(4 * group, 4 * group + 4)
        first, *others = (answers.responses[row] for row in rows)
        masks = [answers.masks[row].tolist() for row in rows]
        problem = problems[group]
        text = tokenizer.decode(first, skip_special_tokens=True)
        failed = problem.verifier.verify(problem.truth, text) is not Outcome.CORRECT
        assert set(masks[0]) == {float(not failed)}
        reset += failed
        for ids, mask in zip(others, masks[1:], strict=True):
            assert len(ids) == len(mask) <= 12
            kept = len(mask) - int(sum(mask))
            assert mask == [0.0] * kept + [1.0] * (len(ids) - kept)
            assert kept < len(ids)
            assert ids[:kept] == first[:kept]
            assert failed or not kept
        paid = torch.tensor([answers.rewards[row] for row in rows])
        want = (paid - paid.mean()) / (paid.std() + 1e-6)
        for row, advantage in zip(rows, want.tolist(), strict=True):
            torch.testing.assert_close(
                answers.advantages[row], answers.masks[row] * advantage, atol=1e-3, rtol=1e-3
            )
    assert reset


def test_a_run_with_resets(tokenizer, problems, tmp_path):
    """It trains, and logs the share of tokens that do not learn."""
    out = grpo.train_policy(
        new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, SETTINGS, RUN, out=tmp_path,
        progress=lambda steps, *_: steps, rollouts=ResetRollouts(ResetAt.LEAST_LIKELY),
    )  # fmt: skip
    lines = logged(out)
    assert len(lines) == RUN.steps
    assert any(line["backtrack/masked_share"] > 0 for line in lines)


def test_a_policy_that_is_scored_otherwise_than_sampled_is_refused(tokenizer, problems, tmp_path):
    """Without the ban on edits log-probs would be another policy's; a scorer of steps would not be asked."""
    scored = {"max_backtracks": 0, "values": {"source": "prm", "scorer": "none"}}
    for block, told in (({}, "max_backtracks is None"), (scored, "asks no scorer")):
        with pytest.raises(SettingsError, match=told):
            grpo.train_policy(
                new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, load(block), RUN, out=tmp_path,
                progress=lambda steps, *_: steps, rollouts=ResetRollouts(),
            )  # fmt: skip

"""The main job, word for word, on the real hosts: ``python -m verl.trainer.main_ppo +recipe=halluc_grpo``."""

import math

import pytest

from halluc_plugin.tokens import edit_vocab
from halluc_plugin.tokens.loading import load_model, load_tokenizer
from halluc_plugin.trace_log import logged_steps, read_step

COUNTDOWN = "halluc/task=countdown"  # one start for soft and hard context: the second goes on from the first
GREEDY_VALIDATION = "actor_rollout_ref.rollout.val_kwargs.temperature=0"

# The model has hardly been warmed up: the answers of a group may all be wrong alike. This pays by the text.
# In the step behind the second one, whose answers are logged, its worker is killed as by a lack of memory.
USERS_FUNCTION = """
import os, pathlib, signal

def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    if pathlib.Path({logged!r}).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(map(ord, solution_str)) % 97 / 97
"""


@pytest.fixture(scope="module")
def first(new_run):
    """The embedded task with a user's reward function, whose worker dies in step 3, and what was printed."""
    run = new_run("halluc_grpo", COUNTDOWN, "halluc.erased_tokens=mask")
    function = run.folder / "function.py"
    logged = run.checkpoints / "traces" / "step-000002.jsonl"
    function.write_text(USERS_FUNCTION.format(logged=str(logged)), encoding="utf-8")
    by_function = f"reward.custom_reward_function.path={function}"
    return run, run.start("trainer.total_training_steps=3", by_function, GREEDY_VALIDATION, exit_code=1)


@pytest.fixture(scope="module")
def second(first):
    """The same folder, resumed, in hard context with a curriculum and credit, and what was printed."""
    run, _ = first
    made = {file: file.stat().st_mtime_ns for file in (run.folder / "home").rglob("*.parquet")}
    said = run.start(
        "trainer.total_training_steps=4",
        "trainer.experiment_name=halluc_grpo",
        "halluc.curriculum=[{steps:3,max_backtracks:1},{max_backtracks:2}]",
        "halluc.values.source=continuations",
        "+halluc.values.continuations=1",
        "halluc.credit.alpha=0.5",
        "halluc.erased_tokens=keep",
        recipe="halluc_grpo_hard",
    )
    assert {file: file.stat().st_mtime_ns for file in (run.folder / "home").rglob("*.parquet")} == made
    return run, said


@pytest.mark.e2e
@pytest.mark.timeout(1500)
class TestFirstRun:
    """From nothing to a trained checkpoint, until a worker dies."""

    def test_a_dead_worker_stops_the_run(self, first):
        """No step is trained without the answers that it should have brought; what to look for is said."""
        assert "prompts of step 3 failed in rollout or reward" in first[1]
        assert "goes on from the last checkpoint" in first[1]
        assert (first[0].checkpoints / "latest_checkpointed_iteration.txt").read_text() == "2"

    def test_engine_and_actor_are_one_policy(self, first):
        """After each weight sync the engine's log-probs are the actor's, in single precision."""
        metrics = first[0].metrics()
        assert set(metrics) == {0, 1, 2}
        for step in (1, 2):
            assert metrics[step]["training/rollout_probs_diff_max"] < 1e-4
            assert metrics[step]["backtrack/engine_correlation"] > 0.999
            assert metrics[step]["actor/grad_norm"] > 0

    def test_metrics_of_backtracking_are_logged(self, first):
        """Rates, lengths and reward parts of rollouts, and both validations, one for each kind of target."""
        metrics = first[0].metrics()
        for key in ("rate", "token_efficiency", "masked_share", "reward/outcome", "num_erased"):
            assert f"backtrack/{key}" in metrics[1]
        for source in ("halluc/countdown", "halluc/countdown-new"):
            for step in (0, 2):
                assert 0 <= metrics[step][f"val-core/{source}/acc/mean@1"] <= 1
        assert list((first[0].checkpoints / "tensorboard").glob("events*"))

    def test_answers_are_logged_to_be_read(self, first):
        """Four of each step, as they were sampled; what was erased has no part in learning."""
        for step, path in logged_steps(first[0].checkpoints).items():
            traces = read_step(path)
            assert len({trace.answer for trace in traces}) == 4
            for trace in traces:
                assert trace.step == step
                assert trace.prompt
                assert trace.scores["raw_length"] == len(trace.trace["ids"]) == len(trace.tokens)
                erased = [at is not None for at in trace.record.erased_at]
                assert trace.response_mask == [int(not gone) for gone in erased]
                assert all(trace.advantages[i] == 0 for i, gone in enumerate(erased) if gone)
                assert len(trace.log_probs) == len(trace.entropies) == len(trace.tokens)
                assert len(trace.edit_probs) == len(trace.tokens)
                assert all(0 <= share <= 1 for share in trace.edit_probs)
        assert list(logged_steps(first[0].checkpoints)) == [1, 2]

    def test_the_checkpoint_is_a_model(self, first):
        """Weights and tokenizer lie side by side, and the edit token is in both."""
        folder = first[0].checkpoints / "global_step_2" / "actor" / "huggingface"
        tokenizer = load_tokenizer(str(folder))
        assert load_model(str(folder)).config.vocab_size > edit_vocab(tokenizer).backtrack

    @pytest.mark.slow
    def test_the_checkpoint_answers_as_the_run_did(self, first):
        """Resumed, the greedy validation of step 2 is the dead run's own, within one standard error."""
        run, _ = first
        before = run.metrics()[2]
        function = run.folder / "lives.py"
        function.write_text(USERS_FUNCTION.format(logged=str(run.folder / "none")), encoding="utf-8")
        by_function = f"reward.custom_reward_function.path={function}"
        run.start("trainer.val_only=true", "trainer.total_training_steps=3", by_function, GREEDY_VALIDATION)
        for source in ("halluc/countdown", "halluc/countdown-new"):
            key = f"val-core/{source}/acc/mean@1"
            resumed = run.metrics(slice(-1, None))[2][key]
            assert abs(resumed - before[key]) <= math.sqrt(resumed * (1 - resumed) / 8)


@pytest.mark.e2e
@pytest.mark.timeout(1500)
class TestSecondRun:
    """From the checkpoint to the end."""

    def test_the_report_says_what_was_learned(self, second):
        """Both accuracies with interval, where the files are, and how to score them."""
        said = second[1]
        assert "accuracy, backtracks applied" in said
        assert "halluc/countdown-new, 8 answers" in said
        assert "lm_eval --model hf-backtrack" in said

    def test_hard_context_is_resumed_from_soft_context(self, second):
        """The checkpoint is resumed and nothing is prepared again; now edits rewind, with a curriculum.

        Engine and actor stay one policy: of every sampled action, erased and edits included, both give the
        same log-prob, with the first weights and after the next sync, in either stage. Edits are paid what
        answers sampled from the states around them gained.
        """
        run, _ = second
        metrics = run.metrics()
        assert set(metrics) == {0, 1, 2, 3, 4}
        assert (run.checkpoints / "latest_checkpointed_iteration.txt").read_text() == "4"
        for step in (3, 4):
            assert metrics[step]["backtrack/engine_drift_max"] < 1e-4
            assert metrics[step]["backtrack/masked_share"] == 0
            assert metrics[step]["backtrack/num_erased"] > 0
            assert metrics[step]["backtrack/per_answer"] <= step - 2
            assert 0 <= metrics[step]["backtrack/to_correct"] <= 1
            assert -1 <= metrics[step]["backtrack/event_gain"] <= 1
            assert 0 <= metrics[step]["backtrack/event_precision"] <= 1
            assert metrics[step]["backtrack/num_noops"] == 0
        for trace in read_step(logged_steps(run.checkpoints)[4]):
            assert trace.edit_probs[0] == 0  # the boundary is masked
            assert all(0 <= share <= 1 for share in trace.edit_probs)
            assert len(trace.edit_probs) == len(trace.verdicts) - 1 == len(trace.tokens)

"""Runs that are refused before any worker starts, with one clear message."""

import pytest

from halluc_plugin.data.parquet import read_rows_in_groups, write_parquet
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from verl_ext import compat
from verl_ext.recipe.base import EXIT_BAD_INPUT
from verl_ext.recipe.callback import RunCallback

ROLLOUT = "actor_rollout_ref.rollout"
LOOP = f"{ROLLOUT}.agent.default_agent_loop"
LIMITED = "a budget (halluc.max_backtracks) or halluc.boundary=mask"
NONE_AT_ALL = "halluc.curriculum=[{steps:1,max_backtracks:0,weights:{format:0.1}},{max_backtracks:0}]"
BANNED = ("halluc.max_backtracks=0",)
STOCK_LOOP = (f"{LOOP}=single_turn_agent", "reward.reward_manager.name=naive")


def refused(config, capsys):
    """The one message of a run that is refused."""
    with pytest.raises(SystemExit) as exit_:
        RunCallback().on_run_start(config)
    assert exit_.value.code == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith("halluc: ")
    assert said.count("\n") == 1
    assert "Fix: " in said
    return said


class TestBadInput:
    """Each: one clear message before any worker starts, exit status not zero."""

    def test_tokenizer_without_the_token(self, config, capsys, tmp_path):
        """The message names the command that adds it."""
        number_tokenizer().save_pretrained(tmp_path / "plain")
        said = refused(config(f"actor_rollout_ref.model.path={tmp_path / 'plain'}"), capsys)
        assert "no token <|BACKTRACK|>" in said
        assert "halluc add-token" in said

    def test_token_marked_special(self, config, capsys, tmp_path):
        """A special token would leave what it erased in every decoded text."""
        tokenizer = number_tokenizer()
        tokenizer.add_tokens([BACKTRACK_TOKEN], special_tokens=True)
        tokenizer.save_pretrained(tmp_path / "special")
        said = refused(config(f"actor_rollout_ref.model.path={tmp_path / 'special'}"), capsys)
        assert "special token" in said

    def test_no_model(self, config, capsys, tmp_path):
        """A path without a tokenizer is named."""
        said = refused(config(f"actor_rollout_ref.model.path={tmp_path / 'absent'}"), capsys)
        assert str(tmp_path / "absent") in said

    @pytest.mark.parametrize(
        ("override", "named"),
        [
            (
                "+halluc.reward.weights.outcom=1.0",
                "Unknown reward component 'outcom'. Fix: Did you mean outcome?",
            ),
            ("halluc.boundary=wall", "halluc.boundary is 'wall'"),
            (
                "+halluc.max_backtrack=2",
                "Unknown setting halluc.max_backtrack. Fix: Did you mean max_backtracks?",
            ),
            ("halluc.prepare.seed=-1", "halluc.prepare.seed is -1"),
            ("+halluc.curriculum=[{steps:3}]", "halluc.curriculum[0].steps is 3, but nothing follows it"),
        ],
    )
    def test_settings(self, config, capsys, override, named):
        """Unknown names come with the closest known one."""
        assert named in refused(config(override), capsys)

    def test_missing_columns_and_empty_prompts(self, config, capsys, tmp_path):
        """A malformed file is named with what is wrong with it."""
        write_parquet(tmp_path / "a.parquet", [{"question": "x"}], {})
        assert "has no column" in refused(config(f"data.train_files={tmp_path / 'a.parquet'}"), capsys)
        row = {
            "data_source": "s",
            "prompt": [{"role": "user", "content": ""}],
            "reward_model": {"ground_truth": "1"},
        }
        write_parquet(tmp_path / "b.parquet", [row], {})
        assert "row 0: prompt is empty" in refused(config(f"data.val_files={tmp_path / 'b.parquet'}"), capsys)
        assert "does not exist" in refused(config("data.train_files=/absent.parquet"), capsys)

    def test_values_that_nobody_judges(self, config, capsys, tmp_path):
        """Paying for them is refused, with who could; continuations need the loop that samples them."""
        row = {
            "data_source": "openai/gsm8k",
            "prompt": [{"role": "user", "content": "1"}],
            "reward_model": {"ground_truth": "1"},
        }
        write_parquet(tmp_path / "gsm8k.parquet", [row], {})
        own = [f"data.train_files={tmp_path / 'gsm8k.parquet'}", "halluc.credit.alpha=0.5"]
        said = refused(config(*own), capsys)
        assert (
            "halluc.credit.alpha pays for values of states, and nothing judges states of openai/gsm8k" in said
        )
        for preset in ("pure", "capo"):
            assert "nothing judges states of openai/gsm8k" in refused(
                config(own[0], f"halluc/credit={preset}"), capsys
            )
        said = refused(config(own[0], "halluc/credit=q_rm"), capsys)
        assert "halluc.values.source is prm and halluc.values.scorer None" in said
        for preset in ("tempo", "treerpo", "vineppo"):
            RunCallback().on_run_start(config(own[0], f"halluc/credit={preset}"))
        RunCallback().on_run_start(config(*own, "halluc.credit.values=prefix_tree"))
        RunCallback().on_run_start(config(*own, "halluc.values.source=continuations"))
        weights = ["+halluc.values.source=continuations", "+halluc.reward.weights.process=1"]
        said = refused(config(*weights, recipe="grpo_baseline"), capsys)
        assert "which the agent loop single_turn_agent does not sample" in said
        unpaid = config(own[0], "+halluc.values.source=auto", recipe="grpo_baseline")
        assert "values states of openai/gsm8k by continuations" in refused(unpaid, capsys)
        RunCallback().on_run_start(config(*own, "halluc.values.source=auto"))

    @pytest.mark.parametrize(
        ("overrides", "named"),
        [
            (
                ["halluc.erased_tokens=negative", "trainer.v1.trainer_mode=sync"],
                "trainer_mode=sync knows nothing of it. Fix: Set trainer.v1.trainer_mode=backtrack_sync",
            ),
            (
                [
                    "halluc.credit.alpha=0.5",
                    "actor_rollout_ref.rollout.agent.default_agent_loop=refine",
                ],
                "default_agent_loop=refine knows nothing of it",
            ),
            (
                ["halluc.credit.alpha=0.5", *BANNED, "reward.reward_manager.name=naive"],
                "halluc.credit.alpha is set, but reward.reward_manager.name=naive",
            ),
            (
                [
                    "halluc.curriculum=[{steps:1,max_backtracks:1},{}]",
                    "actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent",
                ],
                "halluc.curriculum is set, but actor_rollout_ref.rollout.agent.default_agent_loop=single",
            ),
            *(
                ([setting, *STOCK_LOOP], f"{named} is set, but {LOOP}=single_turn_agent")
                for setting, named in (
                    (
                        "halluc.context=hard",
                        f"halluc.context=hard, {LIMITED}",
                    ),
                    ("halluc.max_backtracks=2", LIMITED),
                    ("halluc.erased_tokens=keep", "halluc.erased_tokens=keep"),
                )
            ),
            *(
                (
                    [setting, *budget, "reward.reward_manager.name=naive"],
                    "halluc.reward is set, but reward.reward_man",
                )
                for setting, budget in (
                    ("halluc/reward=n_mars", BANNED),
                    ("+halluc.reward.weights.format=0.5", BANNED),
                    (
                        NONE_AT_ALL,
                        (),
                    ),
                )
            ),
            *(
                (
                    [f"+halluc.{setting}", "trainer.v1.trainer_mode=sync"],
                    f"halluc.{block} is set, but trainer",
                )
                for block, setting in (
                    ("guard", "guard.max_drift=0.5"),
                    ("trace_log", "trace_log.per_step=1"),
                    ("metrics", "metrics.judged_per_step=1"),
                )
            ),
            *(
                ([f"halluc/credit={name}", "trainer.v1.trainer_mode=sync"], "halluc.credit or halluc.erased_")
                for name in ("tempo", "s_grpo", "pure")
            ),
            ([f"{ROLLOUT}.full_determinism=true"], "kernels, and its CPU build has none"),
            (["trainer.nnodes=3", f"{ROLLOUT}.tensor_model_parallel_size=2"], "3 devices (trainer.nnodes"),
        ],
    )
    def test_parts_that_would_pass_over_a_setting(self, config, capsys, overrides, named):
        """What only ours does is refused where somebody else's was selected."""
        assert named in refused(config(*overrides), capsys)

    @pytest.mark.parametrize(
        "off", ["guard.enabled=false", "trace_log.per_step=0", "metrics.judged_per_step=0"]
    )
    def test_what_is_not_there_may_be_switched_off(self, config, off):
        """One set of overrides does for a recipe and its baseline."""
        RunCallback().on_run_start(config(f"++halluc.{off}", "trainer.v1.trainer_mode=sync"))

    def test_rows_that_choose_another_loop(self, config, capsys, data, tmp_path):
        """Else verl would take the row's word for it, and sample without the run's settings."""
        rows = [{**row, "agent_name": "single_turn_agent"} for row in read_rows_in_groups(data.train)]
        write_parquet(tmp_path / "rows.parquet", rows, {})
        said = refused(config(f"data.train_files={tmp_path / 'rows.parquet'}"), capsys)
        assert "agent_name column with single_turn_agent, and the run's agent loop is backtrack" in said
        mixed = [{**row, "agent_name": None if at else "backtrack"} for at, row in enumerate(rows)]
        write_parquet(tmp_path / "mixed.parquet", mixed, {})
        assert "column with None" in refused(config(f"data.train_files={tmp_path / 'mixed.parquet'}"), capsys)
        write_parquet(tmp_path / "same.parquet", [{**row, "agent_name": "backtrack"} for row in rows], {})
        RunCallback().on_run_start(config(f"data.train_files={tmp_path / 'same.parquet'}"))

    def test_stages_of_turns_need_their_parts(self, config, capsys, tmp_path):
        """Another loop has no turns, and a turn that is held needs a reference; with both the run begins."""
        number_tokenizer().save_pretrained(tmp_path / "plain")
        plain = f"actor_rollout_ref.model.path={tmp_path / 'plain'}"
        stage, hold = "halluc.turns.stage=hold", "halluc.turns.hold=0.1"
        said = refused(config(plain, f"+{stage}", recipe="grpo_baseline"), capsys)
        assert "halluc.turns.stage is set, but" in said
        asked = [plain, f"+{stage}", f"+{hold}"]
        assert "use_kl_loss=true actor_rollout_ref.actor.kl_loss_coef=0" in refused(
            config(*asked, recipe="refinement"), capsys
        )
        RunCallback().on_run_start(
            config(*asked, "actor_rollout_ref.actor.use_kl_loss=true", recipe="refinement")
        )

    @pytest.mark.parametrize("source", ["openai/gsm8k", "halluc/countdown"])
    def test_steps_of_attempts_need_a_judge(self, config, capsys, data, tmp_path, source):
        """In turns the first attempt is judged as an answer; what is worth a step only a verifier says."""
        number_tokenizer().save_pretrained(tmp_path / "plain")
        rows = [{**row, "data_source": source} for row in read_rows_in_groups(data.train)]
        if source == "openai/gsm8k":
            rows = [{**row, "reward_model": {"ground_truth": "72"}} for row in rows]
        write_parquet(tmp_path / "rows.parquet", rows, {})
        given = [f"actor_rollout_ref.model.path={tmp_path / 'plain'}"]
        given += [f"data.{part}_files={tmp_path / 'rows.parquet'}" for part in ("train", "val")]
        pays = [*given, "+halluc.reward.weights.process=0.5"]
        if source == "openai/gsm8k":
            assert "nothing judges those of openai/gsm8k" in refused(
                config(*pays, recipe="refinement"), capsys
            )
        else:
            RunCallback().on_run_start(config(*pays, recipe="refinement"))
            sampled = [*pays, "+halluc.values.source=continuations"]
            assert "nothing judges those of halluc" in refused(config(*sampled, recipe="refinement"), capsys)
        RunCallback().on_run_start(config(*given, recipe="refinement"))

    @pytest.mark.parametrize(
        "case",
        [
            ("reward.custom_reward_function.path=judge.py", "by the verifiers of halluc alone"),
            ("actor_rollout_ref.rollout.n=1", "has groups of 1"),
            ("actor_rollout_ref.rollout.val_kwargs.n=2", "and 2 in validation"),
            ("++halluc.tokens.step_delimiter=@@", "ends with the step delimiter '@@'"),
            ("source=openai/gsm8k", "nothing of halluc judges answers of openai/gsm8k"),
        ],
    )
    def test_what_cannot_be_reset(self, config, capsys, data, tmp_path, case):
        """Resets need a verifier, groups, steps, and plain answers in validation; a first error, prefixes."""
        asked, told = case
        number_tokenizer().save_pretrained(tmp_path / "plain")
        given = [f"actor_rollout_ref.model.path={tmp_path / 'plain'}"]
        RunCallback().on_run_start(config(*given, recipe="rrpo"))
        if asked.startswith("source="):
            rows = [
                {**row, "data_source": asked[7:], "reward_model": {"ground_truth": "72"}}
                for row in read_rows_in_groups(data.train)
            ]
            write_parquet(tmp_path / "rows.parquet", rows, {})
            given += [f"data.{part}_files={tmp_path / 'rows.parquet'}" for part in ("train", "val")]
            asked = "halluc.resets.at=first-error"
        assert told in refused(config(*given, asked, recipe="rrpo"), capsys)

    @pytest.mark.parametrize("recipe", ["grpo_baseline", "refinement", "rrpo"])
    def test_a_baseline_without_the_token_is_without_it(self, config, capsys, tmp_path, recipe):
        """A model that could write edits is refused where only the reward would apply them."""
        said = refused(config(recipe=recipe), capsys)
        assert "has <|BACKTRACK|>, of which the agent loop" in said
        assert "halluc.max_backtracks=0" in said
        number_tokenizer().save_pretrained(tmp_path / "plain")
        RunCallback().on_run_start(
            config(f"actor_rollout_ref.model.path={tmp_path / 'plain'}", recipe=recipe)
        )

    def test_an_engine_that_is_too_short(self, config, capsys):
        """Answers that would be cut off silently are refused; just enough room is enough."""
        lengths = ["data.max_prompt_length=500", "data.max_response_length=100"]
        room = "actor_rollout_ref.rollout.max_model_len"
        said = refused(config(*lengths, f"{room}=599"), capsys)
        assert f"{room}=599 holds less than" in said
        assert f"Fix: Set {room}=600" in said
        RunCallback().on_run_start(config(*lengths, f"{room}=600"))
        RunCallback().on_run_start(config(*lengths, f"{room}=null"))
        said = refused(
            config("data.max_response_length=1001", f"{room}=null"), capsys
        )  # and 24 of the prompt
        assert "The model, of 1024 positions, holds less than" in said

    def test_replacing_failures_needs_tolerance(self, config, capsys):
        """A run that stops at the first failure never comes to replace it."""
        replaces = "trainer.v1.sampler.sync_refill_failed_groups=true"
        assert "halluc.failures.tolerated=0 the run stops" in refused(config(replaces), capsys)
        RunCallback().on_run_start(config(replaces, "+halluc.failures.tolerated=0.1"))

    def test_a_relative_folder_is_the_drivers(self, config, tmp_path, monkeypatch):
        """Workers of a cluster run elsewhere: they are told the whole path of the checkpoints."""
        monkeypatch.chdir(tmp_path)
        started = config("trainer.default_local_dir=runs/one")
        RunCallback().on_run_start(started)
        assert started.trainer.default_local_dir == str(tmp_path / "runs" / "one")

    def test_another_verl(self, config, capsys, monkeypatch):
        """A version outside the tested window is refused when a recipe of ours is selected."""
        monkeypatch.setattr(compat, "version", lambda name: "0.12.0")
        assert "verl 0.12.0 is installed; halluc is tested with verl>=0.9.0,<0.10" in refused(
            config(), capsys
        )

    def test_two_plugins_with_one_name(self, config, capsys, monkeypatch):
        """An agent loop that another plugin registered over ours is named."""
        from verl.experimental.agent_loop.agent_loop import _agent_loop_registry

        monkeypatch.setitem(_agent_loop_registry, "backtrack", {"_target_": "theirs.Loop"})
        said = refused(config(), capsys)
        assert "selects the agent loop of theirs.Loop: two plugins register one name" in said

    def test_a_name_that_verl_does_not_know(self, config, capsys, monkeypatch):
        """Where the plugin is not loaded the run is refused before it starts."""
        from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

        monkeypatch.delitem(ADV_ESTIMATOR_REGISTRY, "backtrack_grpo")
        assert "advantage estimator of halluc, which verl does not know" in refused(config(), capsys)

    def test_a_sweep_over_embedded_data(self, config, capsys):
        """Hydra gives each job of a sweep its own config, which cannot be filled in."""
        swept = config("actor_rollout_ref.model.path=halluc:warm-start")
        with pytest.raises(SystemExit):
            RunCallback().on_multirun_start(swept)
        assert "--multirun cannot prepare" in capsys.readouterr().err

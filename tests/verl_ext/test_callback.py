"""What happens before and after verl's own main: checks, preparation, logs, the closing report."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_module
from hydra.core.utils import JobStatus

from halluc_plugin import prepare
from halluc_plugin.data.countdown_files import CountdownFiles, CountdownRequest, write_countdown
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer
from verl_ext import compat
from verl_ext.callback import RunCallback
from verl_ext.recipe_callback import EXIT_BAD_INPUT


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder with the backtrack token."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small Countdown data set."""
    folder = tmp_path_factory.mktemp("data")
    return write_countdown(folder, CountdownRequest(train=20, test=5), None, lambda items, what, total: items)


@pytest.fixture
def config(model, data, tmp_path):
    """A composed run on them."""

    def build(*overrides, recipe="halluc_grpo"):
        own = [
            f"+recipe={recipe}",
            "halluc/scale=cpu",
            f"actor_rollout_ref.model.path={model}",
            f"data.train_files={data.train}",
            f"data.val_files=[{data.test[0]},{data.test[1]}]",
            f"trainer.default_local_dir={tmp_path / 'run'}",
        ]
        with initialize_config_module("verl.trainer.config", version_base=None):
            return compose("ppo_trainer", [*own, *overrides])

    return build


def start(config):
    """Run the callback's first half."""
    RunCallback().on_run_start(config)
    return config


def refused(config, capsys):
    """The one message of a run that is refused."""
    with pytest.raises(SystemExit) as exit_:
        start(config)
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
        start(config(*own, "halluc.credit.values=prefix_tree"))
        start(config(*own, "halluc.values.source=continuations"))
        weights = ["+halluc.values.source=continuations", "+halluc.reward.weights.process=1"]
        said = refused(config(*weights, recipe="grpo_baseline"), capsys)
        assert "which the agent loop single_turn_agent does not sample" in said
        unpaid = config(own[0], "+halluc.values.source=auto", recipe="grpo_baseline")
        assert "values states of openai/gsm8k by continuations" in refused(unpaid, capsys)
        start(config(*own, "halluc.values.source=auto"))

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
                ["+halluc.failures.stalled_after=60", "trainer.v1.trainer_mode=sync"],
                "halluc.failures is set, but trainer.v1.trainer_mode=sync",
            ),
            (
                ["halluc.credit.alpha=0.5", "reward.reward_manager.name=naive"],
                "halluc.credit.alpha is set, but reward.reward_manager.name=naive",
            ),
            (
                [
                    "halluc.curriculum=[{steps:1,max_backtracks:1},{}]",
                    "actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent",
                ],
                "halluc.curriculum is set, but actor_rollout_ref.rollout.agent.default_agent_loop=single",
            ),
        ],
    )
    def test_parts_that_would_pass_over_a_setting(self, config, capsys, overrides, named):
        """What only ours does is refused where somebody else's was selected."""
        assert named in refused(config(*overrides), capsys)

    @pytest.mark.parametrize("recipe", ["grpo_baseline", "refinement"])
    def test_a_baseline_without_the_token_is_without_it(self, config, capsys, tmp_path, recipe):
        """A model that could write edits is refused where only the reward would apply them."""
        said = refused(config(recipe=recipe), capsys)
        assert "has <|BACKTRACK|>, of which the agent loop" in said
        assert "halluc.max_backtracks=0" in said
        number_tokenizer().save_pretrained(tmp_path / "plain")
        start(config(f"actor_rollout_ref.model.path={tmp_path / 'plain'}", recipe=recipe))

    def test_an_engine_that_is_too_short(self, config, capsys):
        """Answers that would be cut off silently are refused; just enough room is enough."""
        lengths = ["data.max_prompt_length=500", "data.max_response_length=100"]
        room = "actor_rollout_ref.rollout.max_model_len"
        said = refused(config(*lengths, f"{room}=599"), capsys)
        assert f"{room}=599 holds less than" in said
        assert f"Fix: Set {room}=600" in said
        start(config(*lengths, f"{room}=600"))
        start(config(*lengths, f"{room}=null"))
        said = refused(
            config("data.max_response_length=1000", f"{room}=null"), capsys
        )  # and 32 of the prompt
        assert "The model, of 1024 positions, holds less than" in said

    def test_replacing_failures_needs_tolerance(self, config, capsys):
        """A run that stops at the first failure never comes to replace it."""
        replaces = "trainer.v1.sampler.sync_refill_failed_groups=true"
        assert "halluc.failures.tolerated=0 the run stops" in refused(config(replaces), capsys)
        start(config(replaces, "+halluc.failures.tolerated=0.1"))

    def test_a_relative_folder_is_the_drivers(self, config, tmp_path, monkeypatch):
        """Workers of a cluster run elsewhere: they are told the whole path of the checkpoints."""
        monkeypatch.chdir(tmp_path)
        started = start(config("trainer.default_local_dir=runs/one"))
        assert started.trainer.default_local_dir == str(tmp_path / "runs" / "one")

    def test_another_verl(self, config, capsys, monkeypatch):
        """A version outside the tested window is refused when a recipe of ours is selected."""
        monkeypatch.setattr(compat, "version", lambda name: "0.12.0")
        assert "verl 0.12.0 is installed; halluc is tested with verl>=0.9.1,<0.10" in refused(
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


def test_long_references_are_a_warning(config):
    """References that do not fit the response length are counted, with their share."""
    with pytest.warns(UserWarning, match=r"20 of 20 references \(100.0 %\) are longer than .*=12 tokens"):
        start(config("data.max_response_length=12"))


@pytest.mark.parametrize(
    ("size", "warned"), [((576, 1e-4), True), ((576, 9e-5), False), ((512, 1e-3), False)]
)
def test_a_rate_for_small_models_is_a_warning_on_large_ones(config, tmp_path, recwarn, size, warned):
    """The recipe's learning rate is for its embedded model; on pretrained ones it is questioned."""
    width, rate = size
    number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)).save_pretrained(tmp_path / "large")
    (tmp_path / "large" / "config.json").write_text(json.dumps({"model_type": "qwen3", "hidden_size": width}))
    path, key = f"actor_rollout_ref.model.path={tmp_path / 'large'}", "actor_rollout_ref.actor.optim.lr"
    start(config(path, f"{key}={rate}"))
    said = [str(warning.message) for warning in recwarn if key in str(warning.message)]
    assert len(said) == warned
    assert not warned or (f"hidden size {width}" in said[0] and f"Set {key}=1e-6" in said[0])


def test_low_rank_updates_take_their_own_rates(config, tmp_path, recwarn):
    """What is too fast for all weights is usual for a few."""
    number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)).save_pretrained(tmp_path / "large")
    (tmp_path / "large" / "config.json").write_text('{"model_type": "qwen3", "hidden_size": 896}')
    path = f"actor_rollout_ref.model.path={tmp_path / 'large'}"
    start(config(path, "actor_rollout_ref.model.lora_rank=8"))
    assert not [warning for warning in recwarn if "optim.lr" in str(warning.message)]


def test_a_home_folder_is_written_out(config, model, monkeypatch):
    """Neither verl nor transformers knows what ~ is."""
    monkeypatch.setenv("HOME", str(model.parent))
    started = start(config(f"actor_rollout_ref.model.path='~/{model.name}'"))
    assert started.actor_rollout_ref.model.path == str(model)


def test_nothing_is_prepared_for_a_users_own_run(config, monkeypatch, tmp_path):
    """With a model and data of one's own the cache stays empty, and the logs get their places."""
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    started = start(config())
    assert not (tmp_path / "home").exists()
    places = started.ray_kwargs.ray_init.runtime_env.env_vars
    assert str(tmp_path / "run" / "tensorboard") == places.TENSORBOARD_DIR
    assert places.VERL_FILE_LOGGER_PATH.startswith(str(tmp_path / "run" / "metrics"))


def test_the_embedded_default_is_made_once(config, monkeypatch, tmp_path, data, model):
    """The embedded names become paths; a user's own path beside them is kept."""
    asked = []

    def countdown_data(settings):
        asked.append(settings)
        return CountdownFiles(data.root)

    monkeypatch.setattr(prepare, "countdown_data", countdown_data)
    monkeypatch.setattr(prepare, "warm_started_model", lambda settings: model)
    embedded = ("actor_rollout_ref.model.path=halluc:warm-start", "data.train_files=halluc:countdown")
    started = start(config(*embedded, "data.val_files=halluc:countdown", "halluc.prepare.seed=7"))
    assert started.actor_rollout_ref.model.path == str(model)
    assert started.data.train_files == str(data.train)
    assert started.data.val_files == [str(path) for path in data.test]
    assert [settings.seed for settings in asked] == [7]
    assert started.data.seed == 7


def test_a_budget_selects_the_engine_that_knows_it(config):
    """One setting of ours is completed to what verl needs for it."""
    started = start(config("halluc.max_backtracks=2"))
    assert started.actor_rollout_ref.actor.strategy == "backtrack_fsdp2"


class TestReport:
    """The closing report."""

    @pytest.fixture
    def finished(self, config, tmp_path):
        """A run with two validations and a checkpoint."""

        def build(*overrides, **recipe):
            started = start(config("trainer.total_training_steps=30", *overrides, **recipe))
            log = started.ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH
            records = [
                {"step": step, "data": {f"val-aux/{source}/acc/mean@1": acc + more}}
                for step, acc in ((0, 0.2), (30, 0.5))
                for source, more in (("halluc/countdown", 0.0), ("halluc/countdown-new", 0.04))
            ]
            Path(log).write_text("".join(json.dumps(record) + "\n" for record in records))
            model = tmp_path / "run" / "global_step_30" / "actor" / "huggingface"
            model.mkdir(parents=True)
            (model / "model.safetensors").touch()
            (tmp_path / "run" / "latest_checkpointed_iteration.txt").write_text("30")
            return started

        return build

    def test_says_what_was_learned(self, finished, capsys, tmp_path, data):
        """Accuracy before and after with interval, the files, the command that scores the checkpoint."""
        RunCallback().on_run_end(finished(), SimpleNamespace(status=JobStatus.COMPLETED))
        said = capsys.readouterr().out
        for share in ("20.0 %", "50.0 %", "24.0 %", "54.0 %"):
            assert share in said
        assert "halluc/countdown-new, 5 answers" in said
        model = tmp_path / "run" / "global_step_30" / "actor" / "huggingface"
        command = f"HALLUC_DATA_DIR={data.root} lm_eval --model hf-backtrack --model_args pretrained={model}"
        assert command in said.replace("\n", "")
        assert "The run is complete." in said

    def test_the_baseline_is_scored_by_the_stock_model(self, finished, capsys, tmp_path):
        """Without edit tokens there is nothing for hf-backtrack to do."""
        number_tokenizer().save_pretrained(tmp_path / "plain")
        run = finished(f"actor_rollout_ref.model.path={tmp_path / 'plain'}", recipe="grpo_baseline")
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        assert "lm_eval --model hf --model_args" in capsys.readouterr().out

    def test_a_failed_run_reports_nothing(self, finished, capsys):
        """A traceback is not followed by a table."""
        started = finished()
        capsys.readouterr()
        RunCallback().on_run_end(started, SimpleNamespace(status=JobStatus.FAILED))
        assert capsys.readouterr().out == ""

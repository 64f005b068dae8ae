"""What happens before and after verl's own main: warnings, preparation, logs, the closing report."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobStatus

from halluc_plugin import prepare
from halluc_plugin.commands import override
from halluc_plugin.data.parquet import read_rows_in_groups, write_parquet
from halluc_plugin.scratch.tokenizer import editing_tokenizer, number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab
from halluc_plugin.trace_log import TraceLog, logged_trace
from verl_ext.recipe.callback import RunCallback


def logged_answers():
    """Five answers of a step: the third takes something back, the second is long."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    edit = tokenizer.convert_tokens_to_ids(BACKTRACK_TOKEN)
    ids = {"plain": [7], "long": [7] * 500, "edits": [7, edit, 8], "plainer": [7], "more": [7]}
    return [
        logged_trace(
            step=30, answer=name, prompt=[9], response=row, response_mask=[1] * len(row),
            advantages=[0.0] * len(row), reward=1.0, scores={}, tokenizer=tokenizer,
            vocab=edit_vocab(tokenizer),
        )
        for name, row in ids.items()
    ]  # fmt: skip


def start(config):
    """Run the callback's first half."""
    RunCallback().on_run_start(config)
    return config


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
    start(config(path, "actor_rollout_ref.model.lora_rank=8", "trainer.device=cuda"))
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

    def embedded_splits(settings):
        asked.append(settings)
        return data.train, list(data.test)

    monkeypatch.setattr(prepare, "embedded_splits", embedded_splits)
    monkeypatch.setattr(prepare, "warm_started_model", lambda settings: model)
    embedded = ("actor_rollout_ref.model.path=halluc:warm-start", "data.train_files=halluc:word")
    started = start(config(*embedded, "data.val_files=halluc:word", "halluc.prepare.seed=7"))
    assert started.actor_rollout_ref.model.path == str(model)
    assert started.data.train_files == str(data.train)
    assert started.data.val_files == [str(path) for path in data.test]
    assert [settings.seed for settings in asked] == [7]
    assert started.data.seed == 7


def test_data_and_task_belong_together(config, capsys):
    """The name of one task's data beside another's settings is refused."""
    with pytest.raises(SystemExit):
        start(config("data.train_files=halluc:countdown"))
    assert "The data are halluc:countdown, and halluc.prepare.task is word." in capsys.readouterr().err


def test_a_budget_selects_the_engine_that_knows_it(config):
    """One setting of ours is completed to what verl needs for it."""
    started = start(config("halluc.max_backtracks=2"))
    assert started.actor_rollout_ref.actor.strategy == "backtrack_fsdp2"


def test_the_models_of_a_run_get_cards(config, model, tmp_path):
    """Each checkpoint's model says what its token does, and what it was made from; others' cards stay."""
    (model / "README.md").write_text("# Theirs\n", encoding="utf-8")
    started = start(config())
    for step in (1, 2):
        shutil.copytree(model, tmp_path / "run" / f"global_step_{step}" / "actor" / "huggingface")
    RunCallback().on_run_end(started, SimpleNamespace(status=JobStatus.COMPLETED))
    for step in (1, 2):
        folder = tmp_path / "run" / f"global_step_{step}" / "actor" / "huggingface"
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert "# Theirs" in card
        assert f"base_model: {model.name}\n" in card
        assert f"`{BACKTRACK_TOKEN}` (id " in card
        assert "def collapse(ids):" in card


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

    @pytest.mark.parametrize("known", [("openai/gsm8k", "gsm8k_backtrack"), ("mine/sums", "TASK")])
    def test_scoring_asks_as_training_does(self, finished, capsys, tmp_path, data, known):
        """With data of one's own the command names the task, where one is known, and the chat template."""
        source, task = known
        rows = [{**row, "data_source": source} for row in read_rows_in_groups(data.train)]
        write_parquet(tmp_path / "rows.parquet", rows, {})
        judge = tmp_path / "judge.py"
        judge.write_text("def compute_score(**_):\n    return 1.0\n")
        given = [f"data.{part}_files={tmp_path / 'rows.parquet'}" for part in ("train", "val")]
        run = finished(*given, f"reward.custom_reward_function.path={judge}")
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        said = capsys.readouterr().out
        assert f"--tasks {task} --apply_chat_template --num_fewshot 0" in said

    def test_scoring_tells_the_chat_template_what_training_did(self, finished, capsys, tmp_path, data):
        """lm-eval's model is given the arguments of the template, in a form that it parses."""
        rows = [{**row, "reward_model": {"ground_truth": "72"}} for row in read_rows_in_groups(data.train)]
        write_parquet(tmp_path / "rows.parquet", [{**r, "data_source": "openai/gsm8k"} for r in rows], {})
        given = [f"data.{part}_files={tmp_path / 'rows.parquet'}" for part in ("train", "val")]
        run = finished(*given, "++data.apply_chat_template_kwargs.enable_thinking=false")
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        command = capsys.readouterr().out.split("score it")[1].split("--tasks")[0]
        assert '"chat_template_args":{"enable_thinking":false}' in "".join(command.split())

    @pytest.mark.parametrize(
        ("recipe", "given", "expected"),
        [
            ("halluc_grpo", [], {}),
            ("halluc_grpo_hard", [], {"context": "hard", "tabu": True, "boundary": "mask"}),
            (
                "halluc_grpo",
                ["++halluc.max_backtracks=3", "++halluc.boundary=mask"],
                {"max_backtracks": 3, "boundary": "mask"},
            ),
        ],
    )
    def test_scoring_decodes_as_training_did(self, finished, capsys, recipe, given, expected):
        """The command has the context and the limits on edits that the model was trained with."""
        RunCallback().on_run_end(finished(*given, recipe=recipe), SimpleNamespace(status=JobStatus.COMPLETED))
        said = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line)
        words = shlex.split(said["score it"])
        harness = pytest.importorskip("lm_eval._cli.harness").HarnessCLI()
        read = harness._parser.parse_args(["run", *words[words.index("lm_eval") + 1 :]]).model_args
        assert read.pop("pretrained").endswith("huggingface")
        assert read == expected

    @pytest.mark.parametrize("recipe", ["halluc_grpo", "halluc_grpo_hard"])
    def test_word_problems_are_scored_as_such(self, finished, capsys, tmp_path, monkeypatch, recipe):
        """The command names the task that reads the run's problems; hard context bans first tokens."""
        monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
        names = ["data.train_files=halluc:word", "data.val_files=halluc:word"]
        small = ["halluc.prepare.train_problems=12", "halluc.prepare.test_problems=4"]
        folder = tmp_path / "steps"
        editing_tokenizer("step").save_pretrained(folder)
        run = finished(
            "halluc/task=word", *names, *small, f"actor_rollout_ref.model.path={folder}", recipe=recipe
        )
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        said = capsys.readouterr().out.replace("\n", "")
        assert "--tasks word_backtrack,word_backtrack_new --batch_size 64" in said
        assert f"HALLUC_DATA_DIR={tmp_path / 'home'}/word-" in said
        assert ("context=hard,tabu=first,boundary=mask" in said) == (recipe == "halluc_grpo_hard")

    def test_the_commands_can_be_pasted(self, finished, capsys, tmp_path):
        """In a folder of a hostile name, what is printed comes back from the shell and from lm-eval whole."""
        run = tmp_path / "[bold]a b, c=1 $HOME 'q' \"é\" :car:"
        (tmp_path / "run").mkdir()
        run.symlink_to(tmp_path / "run")
        started = finished(override("trainer.default_local_dir", run))
        (tmp_path / "run" / "traces").mkdir()
        RunCallback().on_run_end(started, SimpleNamespace(status=JobStatus.COMPLETED))
        said = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line)
        assert shlex.split(said["read answers"]) == ["halluc", "view", str(run)]
        words = shlex.split(said["score it"])
        args = words[words.index("--model_args") + 1]
        assert json.loads(args) == {"pretrained": f"{run}/global_step_30/actor/huggingface"}

    @pytest.mark.parametrize("problems", [3, 0])
    def test_both_ends_are_measured_once_more(self, finished, capsys, tmp_path, model, problems):
        """On held-out problems, with the token and with it banned; not at all where none are asked for."""
        run = finished(f"++halluc.report.problems={problems}", "halluc.prepare.seed=4")
        shutil.copytree(model, tmp_path / "run/global_step_30/actor/huggingface", dirs_exist_ok=True)
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        path, said = tmp_path / "run" / "report.json", capsys.readouterr().out
        assert path.exists() == ("after RL" in said) == (f"report  {path}" in said) == bool(problems)
        if problems:
            report = json.loads(path.read_text())
            assert (report["task"], report["seed"], report["seconds"]) == ("countdown", 4, None)
            start, after = (report["phases"][name] for name in ("start", "after_rl"))
            assert start == after  # the same model, and the same seed
            assert start["n"] == problems

    def test_some_answers_are_drawn(self, finished, capsys, tmp_path):
        """Three of the last step that was logged, those that take something back first; no long ones."""
        run, logged = finished(), logged_answers()
        TraceLog(tmp_path / "run", max_megabytes=1).write(29, [replace(logged[0], step=29)])
        TraceLog(tmp_path / "run", max_megabytes=1).write(30, logged)
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        said = capsys.readouterr().out
        assert re.findall("step 30, ([a-z]+)", said) == ["edits", "plain", "plainer"]
        assert "step 29" not in said
        assert "⌫" in said

    def test_all_answers_stand_on_a_page(self, finished, capsys, tmp_path):
        """It lies in the run's folder, and the report says where."""
        run = finished()
        TraceLog(tmp_path / "run", max_megabytes=1).write(30, logged_answers())
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        page = tmp_path / "run" / "answers.html"
        assert f"answers  {page}" in capsys.readouterr().out
        assert page.read_text(encoding="utf-8").startswith("<!doctype html>")

    def test_a_broken_record_takes_nothing_from_the_report(self, finished, capsys, tmp_path):
        """The answers are left out with a reason; what is next is told all the same."""
        run = finished()
        (tmp_path / "run" / "traces").mkdir()
        (tmp_path / "run" / "traces" / "step-000030.jsonl").write_text("[]\n")
        RunCallback().on_run_end(run, SimpleNamespace(status=JobStatus.COMPLETED))
        said = capsys.readouterr().out
        assert "No answers are drawn" in said
        assert not (tmp_path / "run" / "answers.html").exists()
        assert "read answers" in said

    def test_what_cannot_be_measured_is_said(self, finished, capsys):
        """A last model that is not whole leaves the rest of the report as it is."""
        RunCallback().on_run_end(finished(), SimpleNamespace(status=JobStatus.COMPLETED))
        said = capsys.readouterr().out
        assert "report  not written: the first or the last model is not in a folder here" in said
        assert "The run is complete." in said

    def test_a_failed_run_reports_nothing(self, finished, capsys):
        """A traceback is not followed by a table."""
        started = finished()
        capsys.readouterr()
        RunCallback().on_run_end(started, SimpleNamespace(status=JobStatus.FAILED))
        assert capsys.readouterr().out == ""

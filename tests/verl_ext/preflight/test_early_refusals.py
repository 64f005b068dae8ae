"""What verl would find out in a worker, or at the first reward, is found before any worker starts."""

import json
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import load
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.addition import add_edit_tokens
from halluc_plugin.tokens.initialisation import Initialisation
from halluc_plugin.tokens.loading import load_tokenizer, save_tokenizer
from halluc_plugin.tokens.untouched import untouched_tokens
from verl_ext.preflight.models import require_learnable_tokens, require_rewindable
from verl_ext.recipe.base import EXIT_BAD_INPUT
from verl_ext.recipe.callback import RunCallback

COUNTDOWN = {"numbers": [3, 5, 7], "target": 22}


@pytest.fixture
def said(capsys):
    """The one message of a run that is refused."""

    def run(config):
        with pytest.raises(SystemExit) as exit_:
            RunCallback().on_run_start(config)
        assert exit_.value.code == EXIT_BAD_INPUT
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        return message

    return run


@pytest.fixture
def rows(tmp_path):
    """A file with one row of a data source."""

    def write(source):
        row = {
            "data_source": source,
            "prompt": [{"role": "user", "content": "1"}],
            "reward_model": {"ground_truth": COUNTDOWN if source == "halluc/countdown" else "1"},
        }
        write_parquet(tmp_path / "rows.parquet", [row], {})
        return f"data.train_files={tmp_path / 'rows.parquet'}"

    return write


class TestScorers:
    """Somebody must score every row."""

    def test_a_source_that_nobody_knows(self, config, rows, said):
        """The file is named, and what would do."""
        message = said(config(rows("nobody/knows")))
        assert "Nothing can score the data source 'nobody/knows' (" in message
        assert "rows.parquet)" in message
        assert "reward.custom_reward_function.path" in message

    def test_a_source_that_is_a_number(self, config, rows, said):
        """Verl compares it with names, and would fail at the first answer; a judge of one's own takes it."""
        assert "Nothing can score the data source 7 (" in said(config(rows(7)))
        RunCallback().on_run_start(config(rows(7), "reward.custom_reward_function.path=judge.py"))

    @pytest.mark.parametrize(
        "source", ["openai/gsm8k", "lighteval/MATH", "aime24", "codecontests", "halluc/countdown"]
    )
    def test_sources_that_somebody_knows(self, config, rows, source):
        """A verifier of ours or verl's own function; asking runs no scorer on anything."""
        RunCallback().on_run_start(config(rows(source)))

    def test_a_scorer_that_cannot_be_imported(self, config, rows, said, monkeypatch):
        """Verl imports some of its scorers at the first reward: what they lack is named now."""
        monkeypatch.setitem(__import__("sys").modules, "mathruler", None)
        monkeypatch.setitem(__import__("sys").modules, "mathruler.grader", None)
        monkeypatch.delitem(__import__("sys").modules, "verl.utils.reward_score.geo3k", raising=False)
        message = said(config(rows("hiyouga/geometry3k")))
        assert "verl's scorer of the data source 'hiyouga/geometry3k'" in message
        assert "cannot be imported" in message

    @pytest.mark.parametrize(
        "judged", ["reward.custom_reward_function.path=judge.py", "reward.reward_model.enable=true"]
    )
    def test_a_judge_of_the_users_own_takes_any(self, config, rows, judged):
        """A reward function or a reward model scores what nobody else knows."""
        RunCallback().on_run_start(config(rows("nobody/knows"), judged))

    def test_with_another_manager_only_verl_scores(self, config, rows, said, tmp_path):
        """Our verifiers are asked by our manager alone."""
        number_tokenizer().save_pretrained(tmp_path / "plain")
        stock = [
            f"actor_rollout_ref.model.path={tmp_path / 'plain'}",
            "reward.reward_manager.name=naive",
        ]
        message = said(config(rows("halluc/countdown"), *stock, recipe="grpo_baseline"))
        assert "Nothing can score the data source 'halluc/countdown'" in message


class TestReaders:
    """Who reads raw traces must know the edit tokens."""

    @pytest.mark.parametrize("who", ["teacher", "critic"])
    def test_a_reader_without_the_token(self, config, said, model, tmp_path, who):
        """The id would be out of its vocabulary, or another token's."""
        number_tokenizer().save_pretrained(tmp_path / "plain")

        def given(folder):
            if who == "critic":
                return config("algorithm.adv_estimator=gae", f"critic.model.path={folder}")
            return config(
                "distillation.enabled=true",
                f"distillation.teacher_models.teacher_model.model_path={folder}",
            )

        message = said(given(tmp_path / "plain"))
        assert f"The {who} {tmp_path / 'plain'} reads raw traces and does not know <|BACKTRACK|>" in message
        RunCallback().on_run_start(given(model))


class TestHardContext:
    """A model in which nothing can be taken back exactly."""

    def test_a_sliding_window(self, config, said, model, tmp_path):
        """It is found in the model's config, and what the run overrides in it counts."""
        shutil.copytree(model, tmp_path / "windowed")
        file = tmp_path / "windowed" / "config.json"
        plain = {k: v for k, v in json.loads(file.read_text()).items() if k != "layer_types"}
        file.write_text(json.dumps({**plain, "model_type": "mistral", "sliding_window": 64}))
        path = f"actor_rollout_ref.model.path={tmp_path / 'windowed'}"
        message = said(config(path, recipe="halluc_grpo_hard"))
        assert "A model with a sliding window of 64 tokens cannot follow hard context" in message
        overridden = {"path": str(tmp_path / "windowed"), "override_config": {"sliding_window": None}}
        require_rewindable(OmegaConf.create(overridden))
        RunCallback().on_run_start(config(path))


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """A model to which the token was just added, by each initialisation, and one in which it was trained."""
    folder, tokenizer = tmp_path_factory.mktemp("starts"), number_tokenizer()
    for how in (Initialisation.MEAN, Initialisation.SUBTOKENS):
        own = number_tokenizer()
        made = new_model(tokenizer, Size.TINY, seed=0)
        add_edit_tokens(made, own, how=how)
        made.save_pretrained(folder / how)
        save_tokenizer(own, folder / how)
    shutil.copytree(folder / "mean", folder / "trained")
    weights = load_file(folder / "trained" / "model.safetensors")
    noise = torch.Generator().manual_seed(0)
    moved = {
        name: weight + 0.01 * torch.randn(weight.shape, generator=noise) for name, weight in weights.items()
    }
    save_file(moved, folder / "trained" / "model.safetensors", {"format": "pt"})
    return folder


class TestLowRankUpdates:
    """They leave the rows of edit tokens as the start has them."""

    def test_rows_as_they_were_added_are_known(self, starts):
        """The mean of all rows is recognised; trained rows, and models without the token, are not."""
        assert untouched_tokens(starts / "mean", load_tokenizer(str(starts / "mean"))) == (BACKTRACK_TOKEN,)
        assert untouched_tokens(starts / "trained", load_tokenizer(str(starts / "trained"))) == ()
        assert untouched_tokens(starts / "mean", number_tokenizer()) == ()

    def test_half_precision_is_recognised_too(self, starts, tmp_path):
        """Rows rounded to bfloat16 are still the mean, to its rounding."""
        shutil.copytree(starts / "mean", tmp_path / "half")
        weights = load_file(tmp_path / "half" / "model.safetensors")
        halves = {name: weight.bfloat16() for name, weight in weights.items()}
        save_file(halves, tmp_path / "half" / "model.safetensors", {"format": "pt"})
        tokenizer = load_tokenizer(str(tmp_path / "half"))
        assert untouched_tokens(tmp_path / "half", tokenizer) == (BACKTRACK_TOKEN,)

    @pytest.mark.parametrize("setting", [{"lora_rank": 8}, {"lora": {"rank": 8}}, {"lora_adapter_path": "x"}])
    def test_a_token_that_could_never_be_learned_is_refused(self, starts, setting):
        """In whatever way low-rank updates are asked for; a start that was trained may go on with them."""
        for start, refused in (("mean", True), ("trained", False)):
            block = OmegaConf.create({"path": str(starts / start), "target_modules": "all-linear", **setting})
            tokenizer = load_tokenizer(block.path)
            if refused:
                with pytest.raises(SettingsError, match="the token would never be learned"):
                    require_learnable_tokens(block, tokenizer, "model")
            else:
                require_learnable_tokens(block, tokenizer, "model")

    def test_updates_of_the_head_itself_learn_it(self, starts):
        """Where the output head has an update of its own the row is not left as it is."""
        targets = ["q_proj", "lm_head"]
        block = {"path": str(starts / "mean"), "lora_rank": 8, "target_modules": targets}
        require_learnable_tokens(OmegaConf.create(block), load_tokenizer(str(starts / "mean")), "model")

    def test_a_run_on_an_accelerator(self, config, said, starts):
        """The whole recipe is refused with the start as it was added, and goes with the trained one."""
        low_rank = ["actor_rollout_ref.model.lora_rank=8", "trainer.device=cuda"]
        message = said(config(f"actor_rollout_ref.model.path={starts / 'mean'}", *low_rank))
        assert "actor_rollout_ref.model.lora_rank) leave the rows of <|BACKTRACK|> as they are" in message
        RunCallback().on_run_start(config(f"actor_rollout_ref.model.path={starts / 'trained'}", *low_rank))


def test_a_file_of_loops_that_takes_our_name(config, said, tmp_path):
    """Verl would read it in a worker, and let its loop replace ours; under another name it may stay."""
    file = tmp_path / "loops.yaml"
    path = f"actor_rollout_ref.rollout.agent.agent_loop_config_path={file}"
    file.write_text("- name: backtrack\n  _target_: theirs.Loop\n")
    assert "gives the name backtrack to an agent loop of its own" in said(config(path))
    file.write_text("- name: theirs\n  _target_: theirs.Loop\n")
    RunCallback().on_run_start(config(path))


def test_an_interrupting_client_is_refused_by_the_loop_itself(verl_config, tokenizer):
    """A trainer of another name that resubmits answers is found out by the client that it gives the loop."""
    from verl.workers.rollout.llm_server import FullyAsyncLLMServerClient

    from tests.verl_ext.loops.conftest import build
    from verl_ext.loops import backtrack
    from verl_ext.run_settings import complete, from_config

    verl_config.halluc = {"max_backtracks": 2}
    complete(verl_config, from_config(verl_config))
    server = FullyAsyncLLMServerClient(verl_config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.verl_ext.loops.conftest.CannedServer", lambda output: server)
        with pytest.raises(Exception, match="resubmits interrupted answers as prompts"):
            build(verl_config, tokenizer, None)
        verl_config.halluc = {}
        backtrack._run_constants.cache_clear()
        build(verl_config, tokenizer, None)
    assert load({}).needs_own_engine is False

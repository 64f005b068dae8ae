"""Fine-tuning with verl's SFT trainer: targets from the edit semantics, and what is refused."""

import os
import shlex
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.core.utils import JobStatus
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from halluc_plugin import prepare
from halluc_plugin.commands import override
from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import Context
from halluc_plugin.errors import DataError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import WarmStartTraces, load
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab
from halluc_plugin.tokens.loading import load_tokenizer, save_tokenizer
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.recipe.base import EXIT_BAD_INPUT
from verl_ext.recipe.callback import RunCallback
from verl_ext.recipe.sft_callback import SFTCallback
from verl_ext.sft_dataset import TraceSFTDataset


@pytest.fixture(autouse=True)
def _environment_is_restored():
    """A run tells verl's loggers by environment variables where to write."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def tokenizer():
    """The number-level tokenizer with the token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


@pytest.fixture(scope="module")
def data(tokenizer, tmp_path_factory):
    """A small Countdown data set with traces in the tokenizer's ids."""
    request = CountdownRequest(train=20, test=5)
    return write_countdown(tmp_path_factory.mktemp("data"), request, tokenizer, lambda i, w, t: i)


@pytest.fixture(scope="module")
def model(tokenizer, tmp_path_factory):
    """A model with that tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def composed(*overrides, program="sft_trainer_engine", recipe="halluc_sft"):
    """A run's config, as Hydra makes it."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(program, [f"+recipe={recipe}", *overrides])


@pytest.fixture
def clean(tokenizer, tmp_path):
    """A file with one trace that takes nothing back."""
    row = TraceRow(tokenizer.encode("1+2"), [*tokenizer.encode("3\n"), tokenizer.eos_token_id])
    write_traces(tmp_path / "clean.parquet", [row], tokenizer)
    return tmp_path / "clean.parquet"


@pytest.fixture
def config(data, model, tmp_path):
    """Builds the config of a run on the files above."""
    return lambda *overrides, **more: composed(
        "halluc/sft_scale=cpu", f"model.path={model}", f"data.train_files={data.traces}",
        f"trainer.default_local_dir={tmp_path}", *overrides, **more,
    )  # fmt: skip


def refused(config, capsys, callback=SFTCallback):
    """The one message of a run that is refused."""
    with pytest.raises(SystemExit) as exit_:
        callback().on_run_start(config)
    assert exit_.value.code == EXIT_BAD_INPUT
    return capsys.readouterr().err


def test_the_recipes_rate_is_questioned_on_a_large_model(config, tokenizer, tmp_path):
    """2e-3 is for random weights; fine-tuning a pretrained model with it would undo it."""
    tokenizer.save_pretrained(tmp_path / "large")
    (tmp_path / "large" / "config.json").write_text('{"model_type": "qwen3", "hidden_size": 896}')
    with pytest.warns(UserWarning, match=r"optim.lr=0.002 suits models of a few million.*Set optim.lr=1e-5"):
        SFTCallback().on_run_start(config(f"model.path={tmp_path / 'large'}"))


def dataset(data, tokenizer, max_samples=-1, **halluc):
    """The data set as verl builds it."""
    config = OmegaConf.create({"max_length": 256, "halluc": halluc})
    return TraceSFTDataset(str(data.traces), tokenizer, config, None, max_samples)


def imitated(row, vocab, *, errors):
    """By hand: walk over the trace, keep a stack, and drop what is erased unless errors are imitated."""
    stack, mask = [], [1] * len(row.response_ids)
    for at, token in enumerate(row.response_ids):
        if token == vocab.backtrack:
            mask[stack.pop()] = int(errors)
        else:
            stack.append(at)
    return [0] * len(row.prompt_ids) + mask


@pytest.mark.parametrize("erased", ["mask", "keep"])
def test_ids_and_targets_by_hand(data, tokenizer, erased):
    """Ids are the file's; prompts are no targets, erased tokens are if asked, edits and corrections are."""
    vocab = edit_vocab(tokenizer)
    expected = sorted(
        (row.prompt_ids + row.response_ids, imitated(row, vocab, errors=erased == "keep"))
        for row in read_traces(data.traces, tokenizer)
    )
    rows = [dict(row) for row in dataset(data, tokenizer, erased_tokens=erased)]
    assert sorted((row["input_ids"].tolist(), row["loss_mask"].tolist()) for row in rows) == expected
    assert any(0 in mask[len(ids) // 2 :] for ids, mask in expected) is (erased == "mask")
    for row in rows:
        assert torch.equal(row["position_ids"], torch.arange(len(row["input_ids"])))


def test_shares_of_the_loss_are_weights_of_the_mask(data, tokenizer):
    """Edits, ends and beginnings of live lines get the share that is asked for, over all rows."""
    backtrack, (newline,) = edit_vocab(tokenizer).backtrack, tokenizer.encode("\n")
    lengths = {
        tuple(row.prompt_ids + row.response_ids): len(row.prompt_ids)
        for row in read_traces(data.traces, tokenizer)
    }
    decided = rest = 0.0
    for row in dataset(data, tokenizer, erased_tokens="mask", shares={"decisions": 0.4}):
        ids, weights, live = row["input_ids"].tolist(), row["loss_mask"].tolist(), []
        for token, weight in list(zip(ids, weights, strict=True))[lengths[tuple(ids)] :]:
            decides = token in {backtrack, tokenizer.eos_token_id} or live[-1:] == [newline]
            live = live[:-1] if token == backtrack else [*live, token]
            decided, rest = decided + weight * decides, rest + weight * (not decides)
    assert decided / (decided + rest) == pytest.approx(0.4)


def test_the_seed_decides_the_order(data, tokenizer):
    """The same seed gives the same order, another one another; a maximum takes the first of it."""

    def order(seed, limit=-1):
        rows = dataset(data, tokenizer, limit, prepare={"seed": seed})
        return [row["input_ids"].tolist() for row in rows]

    assert order(0) == order(0)
    assert order(0) != order(1)
    assert sorted(order(0)) == sorted(order(1))
    assert order(0, 7) == order(0)[:7]


def test_long_rows_are_refused(data, tokenizer):
    """With their number, the limit and the longest."""
    config = OmegaConf.create({"max_length": 12, "halluc": {}})
    with pytest.raises(DataError, match=r"longer than data.max_length=12 tokens .* the longest has"):
        TraceSFTDataset([str(data.traces)], tokenizer, config)


class TestBadInput:
    """Each: one clear message before training starts, exit status not zero."""

    def test_another_tokenizers_ids(self, config, capsys, tmp_path):
        """A model whose tokenizer is not that of the files."""
        plain = prepare.tokenizer_for(WarmStartTraces.CLEAN)
        new_model(plain, Size.TINY, seed=0).save_pretrained(tmp_path)
        save_tokenizer(plain, tmp_path)
        assert "are those of tokenizer" in refused(config(f"model.path={tmp_path}"), capsys)

    def test_hard_context_on_another_engine(self, config, capsys):
        """One that would see what was erased."""
        other = config("halluc.context=hard", "engine.strategy=fsdp")
        assert "engine.strategy=fsdp sees what was erased" in refused(other, capsys)

    @pytest.mark.parametrize("limit", ["+halluc.max_backtracks=3", "+halluc.boundary=mask"])
    def test_limits_on_sampling(self, config, capsys, limit):
        """Nothing is sampled here."""
        assert "halluc.max_backtracks=null" in refused(config(limit), capsys)

    def test_nothing_to_test_on(self, config, capsys):
        """A test frequency wants files."""
        assert "data.val_files" in refused(config("trainer.test_freq=5"), capsys)

    def test_long_validation_rows(self, config, capsys, data):
        """Files to test on are read too."""
        too_short = config("data.max_length=12", f"data.val_files={data.traces}")
        assert "longer than data.max_length=12" in refused(too_short, capsys)

    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            (("halluc.erased_tokens=weight",), "the share of the loss that erased tokens get is not given"),
            (("halluc.erased_tokens=weight", "+halluc.shares.erased=0.2"), "the traces have none"),
            (("+halluc.shares.decisions=0.8", "+halluc.shares.erased=0.3"), "add to 1.1"),
            (("+halluc.tabu=first",), "tabu is for evaluation alone"),
        ],
    )
    def test_shares_that_cannot_be_had(self, config, capsys, clean, overrides, said):
        """More than all, none where one is needed, and one of a class that no trace has; tabu neither."""
        assert said in refused(config(f"data.train_files={clean}", *overrides), capsys)

    def test_the_wrong_program(self, config, capsys):
        """Each recipe names the program it is for."""
        rl = composed(program="ppo_trainer", recipe="halluc_sft")
        assert "verl.trainer.sft_trainer" in refused(rl, capsys)
        sft = composed(recipe="halluc_grpo")
        assert "verl.trainer.main_ppo" in refused(sft, capsys, RunCallback)

    def test_a_sweep_over_the_embedded_task(self, capsys):
        """Hydra would hand each job a copy that cannot be filled in."""
        with pytest.raises(SystemExit):
            SFTCallback().on_multirun_start(composed())
        assert "--multirun" in capsys.readouterr().err


def test_hard_context_takes_our_engine(config, data, tokenizer):
    """The engine, its settings and its attention are filled in; rows bring prompt and response apart."""
    hard = config("halluc.context=hard")
    SFTCallback().on_run_start(hard)
    engine = omega_conf_to_dataclass(hard.engine)
    assert (type(engine), engine.strategy) == (BacktrackEngineConfig, "backtrack_fsdp2")
    assert load(engine.halluc).context is Context.HARD
    assert hard.model.override_config.attn_implementation == "sdpa"
    soft = config()
    SFTCallback().on_run_start(soft)
    assert soft.engine.strategy == "fsdp2"
    for row in map(dict, dataset(data, tokenizer, context="hard")):
        assert torch.equal(torch.cat([row["prompts"], row["responses"]]), row["input_ids"])
    assert "prompts" not in dataset(data, tokenizer)[0]


def test_the_embedded_task_is_prepared_once(monkeypatch, tmp_path):
    """Model and traces land in the cache, in one tokenizer's ids, and the recipe's baseline has no token."""
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    small = ("halluc.prepare.train_problems=20", "halluc.prepare.test_problems=5")
    for recipe, has_token in (("halluc_sft", True), ("sft_baseline", False)):
        where = f"trainer.default_local_dir={tmp_path / recipe}"
        config = composed("halluc/sft_scale=cpu", where, *small, recipe=recipe)
        SFTCallback().on_run_start(config)
        tokenizer = load_tokenizer(config.model.path)
        assert (BACKTRACK_TOKEN in tokenizer.get_vocab()) is has_token
        assert len(TraceSFTDataset(config.data.train_files, tokenizer, config.data)) >= 20
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "home").rglob("*.[ps]a*")}
    SFTCallback().on_run_start(composed("halluc/sft_scale=cpu", where, *small, recipe="sft_baseline"))
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_another_models_fine_tuning_is_not_resumed(config, tokenizer, model, tmp_path, capsys):
    """Under the same name verl's SFT trainer would go on from the first one too, unless told from where."""
    SFTCallback().on_run_start(config())
    (tmp_path / "global_step_5").mkdir()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("5")
    other = tmp_path / "other"
    new_model(tokenizer, Size.TINY, seed=1).save_pretrained(other)
    save_tokenizer(tokenizer, other)
    assert f"began with model.path={model}" in refused(config(f"model.path={other}"), capsys)
    SFTCallback().on_run_start(config(f"model.path={other}", f"trainer.resume_from_path={tmp_path}/mine"))


def test_one_process_of_torchrun_speaks(config, tmp_path, capsys, monkeypatch):
    """The others check, and neither print nor record."""
    monkeypatch.setenv("RANK", "1")
    SFTCallback().on_run_start(config())
    assert not (tmp_path / "configs").exists()


def test_the_next_command_can_be_pasted(config, tmp_path, capsys):
    """Where the model's folder has a hostile name, shell and Hydra still read the command for it."""
    run = tmp_path / "a b, c=1 ${x} 'q' é"
    started = config(override("trainer.default_local_dir", run))
    SFTCallback().on_run_start(started)
    (run / "global_step_5" / "huggingface").mkdir(parents=True)
    (run / "latest_checkpointed_iteration.txt").write_text("5")
    SFTCallback().on_run_end(started, SimpleNamespace(status=JobStatus.COMPLETED))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Train on with:")]
    python, dash, program, *overrides = shlex.split(line.partition(":")[2])
    assert (python, dash, program) == ("python", "-m", "verl.trainer.main_ppo")
    with initialize_config_module("verl.trainer.config", version_base=None):
        composed = compose("ppo_trainer", overrides)
    assert composed.actor_rollout_ref.model.path == str(run / "global_step_5" / "huggingface")

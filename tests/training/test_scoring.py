"""Training scorers of steps: each objective learns what it is taught, measured on held-out problems."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.value_files import ValueRow, write_values
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.scorers.saved import Objective, Trunk, load_step_scorer, read_made
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.scoring import ScorerSettings, train_step_scorer

TOKENIZER = number_tokenizer()
SOURCE = "halluc/chain"
GOOD, BAD = TOKENIZER.encode("7\n"), TOKENIZER.encode("4\n")


def rows():
    """Of 24 problems: a response is right until it says 4."""
    found = []
    for number in range(24):
        prompt = TOKENIZER.encode(f"{number} +1\n")
        found.append(ValueRow(SOURCE, prompt, [GOOD, GOOD], [0.5, 0.75, 1.0], correct=True))
        found.append(ValueRow(SOURCE, prompt, [GOOD, BAD], [0.5, 0.75, 0.0], correct=False))
        found.append(ValueRow(SOURCE, prompt, [BAD, GOOD], [0.5, 0.0, 0.0], correct=False))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A policy, and values for it."""
    path = tmp_path_factory.mktemp("scoring")
    save_model(new_model(TOKENIZER, Size.TINY, seed=0), TOKENIZER, path / "policy")
    write_values(path / "values.parquet", rows(), TOKENIZER, step_delimiter="\n")
    return path


def settings(objective, *, steps=24, **more):
    """Short and fast."""
    train = TrainSettings(steps=steps, batch_size=24, learning_rate=3e-3, warmup_steps=2, save_steps=8)
    return ScorerSettings(objective, train=train, **more)


def trained(folder, out, chosen):
    """A scorer, and what its training came to."""
    done = train_step_scorer(
        str(folder / "policy"), [folder / "values.parquet"], chosen, out, show_progress=False
    )
    return load_step_scorer(str(out), TOKENIZER, step_delimiter="\n", data_sources={SOURCE}), done


UNSEEN = TOKENIZER.encode("77 +1\n")
CASES = [[GOOD, GOOD], [GOOD, BAD], [BAD, GOOD]]


def test_values_are_learned(folder, tmp_path):
    """Of prompts that it never saw; and what it says of held-out ones is close to what is known."""
    scorer, done = trained(folder, tmp_path / "prm", settings(Objective.VALUE, steps=48))
    values = scorer.score([UNSEEN] * 3, CASES)
    torch.testing.assert_close(
        values, torch.tensor([[0.5, 0.75, 1.0], [0.5, 0.75, 0.0], [0.5, 0.0, 0.0]]), atol=0.2, rtol=0
    )
    assert done.quality.mse < 0.02
    assert done.quality.first_error_auroc.value == 1
    written = json.loads((tmp_path / "prm" / "quality.json").read_text())
    assert written["mse"] == done.quality.mse
    assert written["responses"] == 3 * 2  # a tenth of 24 problems
    assert (tmp_path / "prm" / "reliability.png").read_bytes().startswith(b"\x89PNG")
    assert read_made(str(tmp_path / "prm")).data_sources == (SOURCE,)


@pytest.mark.parametrize("objective", [Objective.OUTCOME, Objective.VERDICT, Objective.PAIRWISE])
def test_right_responses_have_the_higher_value(folder, tmp_path, objective):
    """However it is taught, the last value tells right from wrong."""
    scorer, _ = trained(folder, tmp_path / "prm", settings(objective))
    last = scorer.score([UNSEEN] * 3, CASES)[:, -1].tolist()
    assert last[0] > max(last[1:]) + 0.2


def test_a_scorer_says_whether_it_was_trained_on_turns(folder, tmp_path):
    """A row that stands behind earlier answers makes it one that reads them."""
    for name, turn_ids in (("first", 0), ("later", 2)):
        path = tmp_path / f"{name}.parquet"
        made = [*rows()[1:], replace(rows()[0], turn_ids=turn_ids)]
        write_values(path, made, TOKENIZER, step_delimiter="\n")
        chosen = settings(Objective.VALUE, steps=1)
        train_step_scorer(str(folder / "policy"), [path], chosen, tmp_path / name, show_progress=False)
        assert read_made(str(tmp_path / name)).turns is (turn_ids > 0)


def test_a_shared_trunk_is_left_as_it_is(folder, tmp_path):
    """The head alone is trained, so that the policy can stand in for its trunk."""
    trained(folder, tmp_path / "prm", settings(Objective.VALUE, trunk=Trunk.SHARED))
    policy = AutoModelForCausalLM.from_pretrained(folder / "policy").eval()
    scorer = load_step_scorer(
        str(tmp_path / "prm"), TOKENIZER, step_delimiter="\n", data_sources={SOURCE}, policy=policy
    )
    values = scorer.score([UNSEEN], [[GOOD, GOOD]])
    assert not torch.equal(values, torch.full_like(values, 0.5))


def test_training_stops_when_held_out_problems_gain_nothing(folder, tmp_path):
    """Where nothing is learned, it ends after as many looks as patience allows."""
    train = TrainSettings(steps=40, batch_size=8, learning_rate=1e-12, warmup_steps=0, save_steps=2)
    _, done = trained(folder, tmp_path / "prm", ScorerSettings(Objective.VALUE, patience=2, train=train))
    assert done.steps == 6


def test_files_of_two_delimiters_are_refused(folder, tmp_path):
    """A scorer is for one kind of step."""
    write_values(tmp_path / "other.parquet", rows(), TOKENIZER, step_delimiter="7")
    with pytest.raises(DataError, match="steps of the files end with different texts"):
        train_step_scorer(
            str(folder / "policy"), [folder / "values.parquet", tmp_path / "other.parquet"],
            settings(Objective.VALUE), tmp_path / "prm",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"held_out": 0.0}, "held_out is 0.0"),
        ({"patience": 0}, "patience 0"),
        ({"objective": Objective.VERDICT, "trunk": Trunk.SHARED}, "cannot stand on a trunk"),
    ],
)
def test_settings_out_of_range_are_refused(chosen, told):
    """Nothing is trained then."""
    with pytest.raises(SettingsError, match=told):
        ScorerSettings(**({"objective": Objective.VALUE} | chosen))


def test_the_command_says_how_good_values_are(folder, tmp_path):
    """`halluc train --objective` trains, saves, and prints the figures of held-out problems."""
    command = ["train", "--model", folder / "policy", "--data", folder / "values.parquet"]
    done = CliRunner().invoke(
        app,
        [*map(str, command), "--objective", "value", "--out", str(tmp_path / "prm"), "--steps", "2",
         "--batch-size", "8", "--held-out", "0.25"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "Held out: 18 responses, 36 steps of known value. MSE" in done.output
    assert "F1 of the first error" in done.output
    assert load_step_scorer(str(tmp_path / "prm"), TOKENIZER, step_delimiter="\n", data_sources={SOURCE})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--patience", "3"], "--patience means nothing without --objective"),
        (["--objective", "value", "--context", "hard"], "--context means nothing with --objective"),
        (["--objective", "value", "--low-rank", "4"], "--low-rank means nothing with --objective"),
    ],
)
def test_options_of_another_kind_are_refused(folder, tmp_path, options, told):
    """Values have no edits, and traces no held-out problems."""
    command = ["train", "--model", folder / "policy", "--data", folder / "values.parquet"]
    done = CliRunner().invoke(app, [*map(str, command), "--out", str(tmp_path / "prm"), *options])
    assert done.exit_code != 0
    assert told in " ".join(str(done.exception).split())

"""A whole assessment of a policy whose numbers are known, and what is refused."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.edits import Context
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.jobs.assess import job as module
from halluc_plugin.jobs.assess.advice import advice
from halluc_plugin.jobs.assess.job import AssessJob, assess, read_assessment, told_hash
from halluc_plugin.theory.search_law import Unit

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def quiet(items, what, total):
    """No progress bar."""
    return items


@pytest.fixture
def sampled(monkeypatch, problems, tokenizer, uniform):
    """Lets the policy answer instead of the model; returns how often it was opened."""
    opened = []

    def open_(network, space, *, seed, slips=0.0):
        opened.append(seed)
        return uniform(problems, tokenizer, slips=slips, seed=seed)

    monkeypatch.setattr(module, "HFSampler", open_)
    return opened


@pytest.fixture
def asked(model, data, tmp_path):
    """A small assessment."""
    return AssessJob(str(model), data, tmp_path / "out", samples=12, margin=0.2, verdict_prompt="? ")


def test_a_uniform_policy_is_found_out(sampled, asked):
    """Three of four starts are dead ends that show, retries are no better; the law says 1 - .75^9 and 1."""
    pytest.importorskip("matplotlib")
    found = assess(asked, 16, quiet)
    (step,) = found.measured.steps
    assert step.slip.value == 0
    assert step.dead.low <= 0.75 <= step.dead.high
    assert (step.dead_branches, step.live_branches) == (3, 1)
    assert step.seen.value == 1
    assert step.retry.low <= 0.25 <= step.retry.high
    assert found.measured.accuracy.value == pytest.approx(found.plain)
    by = {(p.detection, p.context, p.unit): p for p in found.predictions}
    dead = step.dead.value
    assert by["seen", "hard", "step"].success == pytest.approx(1 - dead**9, abs=1e-6)
    assert by["seen", "soft", "step"].success == pytest.approx(1, abs=1e-6)
    assert by["seen", "hard", "token"].tokens > by["seen", "hard", "step"].tokens
    assert set(found.signals.measured) == {"likelihood", "entropy", "edit", "verdict", "probe"}
    told = read_assessment(asked.out / "assessment.json")
    assert told["date"] == found.date
    assert told["advice"] == found.advice
    assert (asked.out / "assessment.png").read_bytes().startswith(PNG_SIGNATURE)
    assert len(found.advice) == 5
    assert found.advice[0].startswith("Bother: yes")
    assert "halluc data word --memory tried" in found.advice[3]
    with pytest.raises(SettingsError, match="holds the predictions of"):
        assess(asked, 16, quiet)


def test_an_assessment_that_was_changed_is_refused(sampled, asked):
    """The hash is of all that it says; what is not changed has one hash."""
    pytest.importorskip("matplotlib")
    assess(replace(asked, samples=4), 16, quiet)
    path = asked.out / "assessment.json"
    told = json.loads(path.read_text())
    assert told_hash(path) == told["sha256"]
    told["predictions"][0]["success"] = 0.5
    path.write_text(json.dumps(told))
    with pytest.raises(DataError, match="was changed after it was written"):
        read_assessment(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="is no assessment"):
        read_assessment(path)


def test_an_interrupted_assessment_goes_on(sampled, asked, monkeypatch):
    """Parts that are made are kept, and other edits and margins are predicted from the same records."""
    pytest.importorskip("matplotlib")
    made = []
    whole = module.Records.__call__

    def counting(self, number, some):
        made.append(number)
        if len(made) == 2:
            raise KeyboardInterrupt
        return whole(self, number, some)

    monkeypatch.setattr(module.Records, "__call__", counting)
    job = replace(asked, samples=4)
    with pytest.raises(KeyboardInterrupt):
        assess(job, 20, quiet)
    assess(replace(job, edits=3), 20, quiet)
    assert made == [0, 1, 1]


@pytest.mark.parametrize(("slips", "said"), [(1.0, "right in none"), (0.0, "right in all")])
def test_a_model_that_is_right_always_or_never_has_no_law(sampled, asked, monkeypatch, slips, said):
    """It says which of the two, and what to do."""
    made = module.HFSampler

    def open_(network, space, *, seed):
        sampler = made(network, space, seed=seed, slips=slips)
        sampler.only_right = not slips
        return sampler

    monkeypatch.setattr(module, "HFSampler", open_)
    with pytest.raises(DataError, match=said):
        assess(replace(asked, samples=2), 40, quiet)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": 1}, "--samples is 1"),
        ({"temperature": 0}, "temperature 0"),
        ({"margin": 1.0}, "--margin is 1.0"),
        ({"edits": 0}, "--edits 0"),
    ],
)
def test_values_out_of_range_are_refused(asked, changed, said):
    """Before anything is loaded."""
    with pytest.raises(SettingsError, match=said):
        replace(asked, **changed)


def test_too_few_problems_for_the_margin(asked):
    """It says how many it takes, before a model is loaded."""
    with pytest.raises(SettingsError, match=r"40 problems tell .*Give 93 problems"):
        assess(replace(asked, margin=0.1), 16, quiet)


def test_rows_whose_verifier_judges_no_steps_are_refused(asked, tmp_path):
    """GSM8K's answers are judged whole."""
    row = {
        "data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "1+1?"}], "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "2"}, "extra_info": {"index": 0},
    }  # fmt: skip
    write_parquet(tmp_path / "rows.parquet", [row] * 40, {})
    with pytest.raises(DataError, match="judges whole answers, and no steps"):
        assess(replace(asked, data=tmp_path / "rows.parquet"), 16, quiet)


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("unit", list(Unit))
def test_data_are_advised_for_what_wins(sampled, asked, unit, context, tmp_path):
    """The options can be given as they stand; they have the unit's edit, or it is said why they have not."""
    pytest.importorskip("matplotlib")
    found = assess(replace(asked, samples=4), 16, quiet)
    wins = [
        replace(each, success=float((each.context, each.unit) == (context, unit)))
        for each in found.predictions
    ]
    _, told, _, line, _ = advice(found.measured, found.signals, wins, "halluc/word")
    assert told.startswith(f"Unit: {unit}.")
    options = re.search(r"halluc data word (--[\w .-]*[\w-])", line)[1].split()
    small = ["--train", "4", "--test", "2", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["data", "word", *options, *small], catch_exceptions=False)
    assert done.exit_code == 0
    if (context, unit) == (Context.HARD, Unit.TOKEN):
        assert "--edit step (by step: backtracks by token pass through" in line
    else:
        assert line.endswith(f"--edit {unit}.")


def test_the_command(sampled, model, data, tmp_path):
    """Tables, five lines and the file."""
    pytest.importorskip("matplotlib")
    out = str(tmp_path / "out")
    asked = ["--model", str(model), "--data", str(data), "--out", out, "--margin", "0.2", "-k", "4"]
    done = CliRunner().invoke(app, ["assess", *asked], catch_exceptions=False)
    assert done.exit_code == 0
    for line in ("Steps from live text", "Bother: ", "Unit: ", "Context: ", "Data: ", "Dead from live: "):
        assert line in done.output

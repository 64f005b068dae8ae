"""``halluc probe forgetting``: a model against its base, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.jobs.forgetting import Forgetting, ForgettingJob, shared_ids
from halluc_plugin.metrics.means import Mean
from halluc_plugin.probes.forgetting import Drift
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer

PLAIN, EDITING = number_tokenizer(), number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Problems, a base without the token, and a model with it, of the same first weights."""
    root = tmp_path_factory.mktemp("forgetting")
    data = write_countdown(root / "data", CountdownRequest(train=20, test=5), None, lambda i, w, t: i).test[0]
    for name, tokenizer, seed in (("base", PLAIN, 0), ("model", EDITING, 1)):
        new_model(tokenizer, Size.TINY, seed=seed).save_pretrained(root / name)
        save_tokenizer(tokenizer, root / name)
    return root, data


def asked(files, *options, model="model"):
    """The command, run; and its numbers."""
    root, data = files
    out = root / "out.json"
    args = ["probe", "forgetting", "--base", str(root / "base"), "--model", str(root / model)]
    done = CliRunner().invoke(
        app, [*args, "--data", str(data), "--max-tokens", "8", "--out", str(out), *options]
    )
    return done, json.loads(out.read_text()) if done.exit_code == 0 else None


def test_a_model_is_compared_with_its_base(files):
    """Both answer, and the base's own answers are read; a base has forgotten nothing of itself."""
    done, told = asked(files, "-k", "2")
    assert done.exit_code == 0, done.exception
    assert "5 problems, edits banned" in done.stdout
    assert told["before"]["n"] == told["after"]["n"] == told["change"]["n"] == 5
    assert told["divergence"]["n"] <= 5 * 2 * 8
    assert told["divergence"]["value"] > told["divergence"]["low"] > 0
    assert 0 < told["edits"]["value"] < 1
    _, same = asked(files, model="base")
    assert (same["divergence"]["value"], same["edits"]["value"], same["change"]["value"]) == (0, 0, 0)


def test_neutral_text_may_be_given(files):
    """Traces of either tokenizer behind their prompts, or prompts, of which the first token is read."""
    root, _ = files
    rows = [TraceRow([5, 6], [7, 8, 9]), TraceRow([5], [7])]
    for tokenizer in (PLAIN, EDITING):
        write_traces(root / "text.parquet", rows, tokenizer)
        assert asked(files, "--text", str(root / "text.parquet"))[1]["divergence"]["n"] == 4
    write_parquet(root / "rows.parquet", [{"prompt": [{"role": "user", "content": "1+2=3"}]}], {})
    assert asked(files, "--text", str(root / "rows.parquet"))[1]["divergence"]["n"] == 4


def test_bad_text_is_refused(files):
    """Text with edits, and text that outgrows the positions."""
    root, _ = files
    edit = EDITING.convert_tokens_to_ids(BACKTRACK_TOKEN)
    for row, said in (
        (TraceRow([5], [7, edit]), "has edits in its text"),
        (TraceRow([5], [7] * 1024), "1025"),
    ):
        write_traces(root / "bad.parquet", [row], EDITING)
        assert said in str(asked(files, "--text", str(root / "bad.parquet"))[0].exception)


def test_only_edit_tokens_may_be_new():
    """Ids of a base are a model's; another number is another tokenizer."""
    known, edits = shared_ids(PLAIN, EDITING)
    assert (len(known), edits) == (len(PLAIN), [len(PLAIN)])
    assert shared_ids(EDITING, EDITING)[0] == known
    with pytest.raises(TokenizerError, match="first difference is '401'"):
        shared_ids(PLAIN, number_tokenizer(largest=401))


def test_change_is_paired():
    """Of four problems two are lost, and none is won."""
    mean = Mean(0.0, 1, 0.0, 0.0)
    found = Forgetting([1, 1, 1, 0], [1, 0, 0, 0], Drift(mean, mean))
    assert (found.accuracy_before.value, found.accuracy_after.value) == (0.75, 0.25)
    assert found.change.value == -0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [({"samples": 0}, "--samples is 0"), ({"temperature": 0, "samples": 2}, "be the same")],
)
def test_bad_settings_are_refused(tmp_path, options, said):
    """Before anything is loaded."""
    with pytest.raises(SettingsError, match=said):
        ForgettingJob("base", "model", tmp_path, **options)

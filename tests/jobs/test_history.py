"""``halluc probe history`` on a file of traces and on a model's own, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.jobs.history import HistoryJob, probe
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.problem_sets.search_trace_settings import SearchTraceSettings
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens.saving import save_model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model that writes every token alike, and traces through dead ends with their problems."""
    tokenizer, folder = editing_tokenizer("step"), tmp_path_factory.mktemp("made")
    model = new_model(tokenizer, Size.TINY, seed=0)
    save_model(model, tokenizer, folder / "model")
    asked = SearchData(
        WordProblems(states=12, length=3),
        SearchRequest(train=30, test=8, traces=SearchTraceSettings(rate=0.8)),
    )
    return folder / "model", asked.write(folder, tokenizer, lambda items, what, total: items)


def test_traces_of_a_file(made):
    """Tries from the empty text: hard context decides alike, and in soft context all are compared, too."""
    model, files = made
    hard, soft = sorted(probe(HistoryJob(str(model), traces=files.traces)), key=lambda found: found.context)
    assert (hard.context, soft.context) == (Context.HARD, Context.SOFT)
    assert {1, 2} <= set(hard.by_tries) == set(soft.by_tries)
    assert {2} <= set(hard.permuted)
    for agreement in (*hard.by_tries.values(), *hard.permuted.values()):
        assert agreement.variation.value < 1e-4
    assert soft.by_tries[1].variation.value > 0
    assert soft.by_tries[1].same.n == hard.by_tries[1].same.n


def test_a_model_that_takes_nothing_back_says_nothing(made):
    """Few tokens of a random model: nothing is taken back, and the probe says so."""
    model, files = made
    with pytest.raises(TraceError, match="No trace takes anything back"):
        probe(HistoryJob(str(model), data=files.problems("test"), max_tokens=2))


@pytest.mark.parametrize("given", [{}, {"traces": "a", "data": "b"}])
def test_one_source_of_traces(given):
    """A file of traces or problems, and not both."""
    with pytest.raises(SettingsError, match="--traces or --data"):
        HistoryJob("model", **given)


def test_a_limit_leaves_traces(made):
    """None is no limit, and 0 would leave nothing."""
    with pytest.raises(SettingsError, match="--limit is 0"):
        HistoryJob("model", traces="a", limit=0)
    done = CliRunner().invoke(app, ["probe", "history", "--model", "x", "--traces", "a", "--limit", "0"])
    assert done.exit_code == 2
    assert "'--limit'" in done.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--temperature", "0.5"),
        ("--max-tokens", "9"),
        ("--context", "hard"),
        ("--template-kwargs", "{}"),
    ],
)
def test_what_would_change_nothing_is_refused(option, value):
    """Traces of a file are as they are: options of sampling go with --data alone."""
    asked = ["probe", "history", "--model", "x", "--traces", "a", option, value]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, SettingsError)
    assert f"{option} means nothing with --traces" in str(done.exception)


def test_progress_is_told_item_by_item(made):
    """Each place is counted once in each of three readings a context, and no more than there are."""
    model, files = made
    seen = {}

    def progress(items, what, total):
        seen[what] = [0, total]
        for item in items:
            seen[what][0] += 1
            yield item

    probe(HistoryJob(str(model), traces=files.traces, limit=10), progress)
    readings = ("no history", "histories", "permuted")
    assert set(seen) == {f"{context} context, {what}" for context in Context for what in readings}
    assert all(done == total > 0 for done, total in seen.values())


def test_the_command(made, tmp_path):
    """A table of both contexts, and a file of all numbers."""
    model, files = made
    out = tmp_path / "history.json"
    asked = ["--model", str(model), "--traces", str(files.traces), "--limit", "10", "--out", str(out)]
    done = CliRunner().invoke(app, ["probe", "history", *asked], catch_exceptions=False)
    assert done.exit_code == 0
    assert "permuted" in done.output
    assert {each["context"] for each in json.loads(out.read_text())} == {"soft", "hard"}

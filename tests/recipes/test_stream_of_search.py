"""The recipe of Stream of Search: it runs and goes on where it was, and its budgets are counted by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from halluc_plugin.recipes.stream_of_search import measuring, run
from halluc_plugin.recipes.stream_of_search.bench import Bench
from halluc_plugin.recipes.stream_of_search.scale import QUICK
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.streams.files import AnswerFormat
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier

SMOKE = replace(
    QUICK, train=24, test=3, longest=48, steps=2, batch_size=8, pool=3, round_steps=1, samples=1,
    optimal_samples=2, budgets=(32, 64),
)  # fmt: skip
RIGHT, WRONG = "2 3 9:\n2*3=6 9 6\n9 6:2*3=6\n9+6=15,15=\n", "2 3 9:\n!\n"


@pytest.mark.slow
def test_it_runs_and_is_not_run_again(tmp_path, monkeypatch):
    """It leaves tables and a plot; a second start makes those alone anew, from the cells."""
    monkeypatch.setattr(run, "QUICK", SMOKE)
    app = run.typer.Typer()
    app.command()(run.main)

    def invoke():
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
        args = ["--out", str(tmp_path), "--seeds", "1", "--quick"]
        assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
        return {f for f in tmp_path.rglob("*") if f.is_file() and before.get(f) != f.stat().st_mtime_ns}

    invoke()
    tables = {tmp_path / "tables" / f"{name}.md" for name in run.tables.TABLES}
    results = tables | {tmp_path / "plots" / "budgets.png"}
    assert all(file.stat().st_size > 100 for file in results)
    assert invoke() == results


class Scripted(Bench):
    """A bench whose models answer what they are told to."""

    def answered(self, folder, problems, *, temperature, copies=1):
        """The told answers, as ids."""
        return [self.ids(text) for text in folder[: len(problems) * copies]]

    def ids(self, text):
        """The ids of an answer, with EOS."""
        return [*number_tokenizer().encode(text), number_tokenizer().eos_token_id]


@pytest.fixture
def bench(tmp_path):
    """A bench with a small scale."""
    return Scripted(tmp_path, SMOKE, 0)


def posed(count):
    """Problems that the right answer answers."""
    truth = {"numbers": [2, 3, 9], "target": 15}
    return [SimpleNamespace(prompt=(1,), truth=truth, verifier=CountdownVerifier()) for _ in range(count)]


def test_a_budget_pays_for_samples_in_order(bench):
    """A right answer counts if it is whole within the budget, behind those that were paid for before."""
    samples = [bench.ids(WRONG), bench.ids(RIGHT)]
    wrong, right = map(len, samples)
    assert measuring._within(bench, posed(1), samples, 2, wrong) == [0]
    assert measuring._within(bench, posed(1), samples, 2, wrong + right // 2) == [0]
    assert measuring._within(bench, posed(1), samples, 2, wrong + right) == [1]
    assert measuring._within(bench, posed(1), samples[::-1], 2, right) == [1]


def test_policy_improvement_keeps_the_shortest_right_answer(bench, monkeypatch):
    """Of two right ones the shorter is kept, a problem without one is left out, and none at all is None."""
    longer = RIGHT.replace("2*3=6 9 6\n", "3-2=1 9 1\n2*3=6 9 6\n")
    bench = replace(bench, scale=replace(SMOKE, answers=2))
    monkeypatch.setattr(Scripted, "problems", lambda self, path, limit=None: posed(2))
    monkeypatch.setattr(Scripted, "data", lambda self, form: SimpleNamespace(train=form))
    assert bench.collected("none", [WRONG] * 4) is None
    path = bench.collected("some", [longer, RIGHT, WRONG, WRONG])
    rows = measuring_rows(path, bench)
    assert rows == [bench.ids(RIGHT)]


def measuring_rows(path, bench):
    """The responses of a file of traces."""
    from halluc_plugin.data.trace_files import read_traces

    return [row.response_ids for row in read_traces(path, bench.tokenizer)]


def test_the_twin_has_the_problems_of_the_streams(tmp_path):
    """Both forms are written once, and have the same problems."""
    bench = Bench(tmp_path, SMOKE, 0)
    asked = [
        [problem.prompt for problem in bench.problems(bench.data(form).test[0])]
        for form in (AnswerFormat.STREAM, AnswerFormat.OPTIMAL)
    ]
    assert asked[0] == asked[1]
    assert len(asked[0]) == 3

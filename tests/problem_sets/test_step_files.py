"""Addition, chains and DAG arithmetic: raw traces, files, commands."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import checked_rows, read_rows
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import collapse, events, resolve_row
from halluc_plugin.errors import EditVocabError, SettingsError
from halluc_plugin.metrics import event_precision, event_recall, judge_ids
from halluc_plugin.problem_sets.raw_traces import Edit, Ending
from halluc_plugin.problem_sets.step_files import StepRequest, write_steps
from halluc_plugin.problem_sets.step_traces import Pairing, StepTraceSettings, StepTraceWriter
from halluc_plugin.problem_sets.steps import Form, Sizes, StepSplit, generate
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import find_verifier, truth_fault
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.dag.problems import DagProblems
from halluc_plugin.tokens import BACKTRACK_TOKEN, EDIT_TOKENS, edit_vocab
from halluc_plugin.verifiers import Outcome, prefix_oracle


def verifier_of(task):
    """The judge that rows of the task name."""
    return find_verifier(task.sources[0])


def traces_of(task, problems, tokenizer, **settings):
    """A backtracking trace of each problem that can go wrong."""
    vocab = edit_vocab(tokenizer)
    writer = StepTraceWriter(tokenizer, vocab, task, StepTraceSettings(rate=0.4, **settings))
    rng = np.random.default_rng(0)
    return vocab, writer, [(problem, writer.backtracking(problem, rng)) for problem in problems]


class TestTraces:
    """Errors written and taken back."""

    @pytest.mark.parametrize("edit", list(Edit))
    def test_collapses_to_the_right_answer(self, task, problems, tokenizer, edit):
        """Every trace has its errors, one event each, and leaves the reference; direct ones refuse steps."""
        if edit is Edit.STEP and task.form is Form.DIRECT:
            with pytest.raises(SettingsError, match="a direct answer has only one"):
                traces_of(task, problems, tokenizer, edit=edit)
            return
        vocab, writer, found = traces_of(task, problems, tokenizer, edit=edit)
        for problem, trace in found:
            assert collapse(trace.ids, vocab) == list(writer.clean(problem))
            assert len(trace.kinds) == len(events(resolve_row(trace.ids, vocab))) >= 1
        assert {kind for _, trace in found for kind in trace.kinds} == set(task.kinds)

    def test_what_is_erased_was_wrong(self, task, problems):
        """By the oracle of ids every event leads from a wrong state to a right one."""
        tokenizer = number_tokenizer(edit_tokens=EDIT_TOKENS)
        vocab, _, found = traces_of(task, problems, tokenizer)
        verifier, end = verifier_of(task), {tokenizer.eos_token_id}
        oracles = [prefix_oracle(verifier, p.truth, tokenizer.decode, end) for p, _ in found]
        judged = judge_ids([trace.ids for _, trace in found], vocab, oracles)
        precision, recall = event_precision(judged), event_recall(judged)
        # A wrong number that the right one begins with may still grow: 1 for 15.
        assert precision.value > 0.97
        assert precision.n > len(problems)
        assert recall.value == 1.0

    def test_may_stop_at_the_backtrack(self, task, problems, tokenizer):
        """The paper's traces end right after the first event, without EOS."""
        vocab, _, found = traces_of(task, problems, tokenizer, ending=Ending.BACKTRACK)
        for _, trace in found:
            (event,) = events(resolve_row(trace.ids, vocab))
            assert event.stop == len(trace.ids)
            assert len(trace.kinds) == 1

    def test_the_retry_rate(self):
        """Single traces have r/(1-r) errors a step where one is possible, and may have none."""
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        task = ChainProblems(sizes=Sizes(5, 5, 6))
        settings = StepTraceSettings(pairing=Pairing.SINGLE, rate=0.25, mix={"result": 1})
        writer = StepTraceWriter(tokenizer, edit_vocab(tokenizer), task, settings)
        rng = np.random.default_rng(0)
        counts = [len(writer.single(p, rng).kinds) for p in generate(task, StepSplit.TRAIN, 1000)]
        # 5000 steps, geometric with mean 1/3 and variance 4/9: four standard deviations.
        assert sum(counts) == pytest.approx(5000 / 3, abs=4 * (5000 * 4 / 9) ** 0.5)
        assert counts.count(0) == pytest.approx(1000 * 0.75**5, abs=4 * 13.5)

    def test_refuses_what_it_cannot_write(self):
        """Unknown kinds, step edits without the token, and rates that never end."""
        plain, full = (
            number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)),
            number_tokenizer(edit_tokens=EDIT_TOKENS),
        )
        with pytest.raises(EditVocabError, match="No token for STEP"):
            StepTraceWriter(plain, edit_vocab(plain), DagProblems(), StepTraceSettings(edit=Edit.STEP))
        with pytest.raises(SettingsError, match=r"chain has no error carry.*result, operation"):
            StepTraceWriter(full, edit_vocab(full), ChainProblems(), StepTraceSettings(mix={"carry": 1}))
        for bad in ({"rate": 1.0}, {"rate": 0.0}, {"mix": {"carry": 0.0}}):
            with pytest.raises(SettingsError):
                StepTraceSettings(**bad)
        with pytest.raises(SettingsError, match="their problems would have no answer"):
            StepTraceSettings(pairing=Pairing.SINGLE, ending=Ending.BACKTRACK)


def no_progress(items, what, total):
    """Show nothing."""
    return items


class TestFiles:
    """What is on disk."""

    REQUEST = StepRequest(train=40, test=10, backtracking=0.5)

    def test_the_data_set(self, task, tmp_path):
        """Problems are verl rows, traces the tokenizer's ids, and the card counts them."""
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        files = write_steps(tmp_path, task, self.REQUEST, tokenizer, no_progress)
        for split, count, source in zip(task.splits, (40, 10, 10), (0, 0, 1), strict=True):
            rows = checked_rows(files.problems(split), truth_fault=truth_fault)
            assert len(rows) == count
            assert {row["data_source"] for row in rows} == {task.sources[source]}
            for row in rows:
                truth, answer = row["reward_model"]["ground_truth"], row["extra_info"]["answer"]
                assert verifier_of(task).verify(truth, answer) is Outcome.CORRECT
        assert (
            "agent_name"
            not in read_rows(files.problems(StepSplit.TRAIN), ("prompt",), optional=("agent_name",))[0]
        )
        card, found = json.loads(files.card.read_text()), read_traces(files.traces, tokenizer)
        counted = card["traces"]
        assert counted["count"] == len(found) == counted["clean"] + counted["backtracking"]
        assert sum(counted["errors"].values()) >= counted["backtracking"] > 5
        assert card["problems"]["test"]["count"] == sum(card["problems"]["test"]["steps"].values()) == 10
        assert tokenizer.decode(found[0].prompt_ids) == rows_prompt(files)

    def test_the_same_request_writes_the_same_bytes(self, task, tmp_path):
        """Twice the same request gives identical files."""
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        first, again = (write_steps(tmp_path / n, task, self.REQUEST, tokenizer, no_progress) for n in "ab")
        names = sorted(path.name for path in first.folder.iterdir())
        assert names == ["card.json", "test.parquet", "test_long.parquet", "traces.parquet", "train.parquet"]
        for name in names:
            assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes()

    def test_single_and_clean_traces(self, tmp_path):
        """One trace a problem at a retry rate; without backtracking none has an edit, and none is needed."""
        traces = StepTraceSettings(pairing=Pairing.SINGLE, rate=0.5)
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        files = write_steps(
            tmp_path / "single", DagProblems(), StepRequest(40, 10, 1.0, traces), tokenizer, no_progress
        )
        assert len(read_traces(files.traces, tokenizer)) == 40
        assert json.loads(files.card.read_text())["traces"]["backtracking"] > 30
        clean = number_tokenizer()
        files = write_steps(
            tmp_path / "clean", DagProblems(), StepRequest(40, 10, 0.0, traces), clean, no_progress
        )
        assert len(read_traces(files.traces, clean)) == 40
        files = write_steps(tmp_path / "none", DagProblems(), StepRequest(40, 10), None, no_progress)
        assert not files.traces.exists()

    def test_bad_requests_are_refused_before_anything_is_written(self, tmp_path):
        """Counts and ratios are checked; what a task cannot have is found before its problems are drawn."""
        for bad in ({"train": 0}, {"test": 0}, {"backtracking": -1.0}):
            with pytest.raises(SettingsError):
                StepRequest(**bad)
        request = StepRequest(40, 10, 1.0, StepTraceSettings(mix={"carry": 1}))
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        with pytest.raises(SettingsError, match="no error carry"):
            write_steps(tmp_path / "out", ChainProblems(), request, tokenizer, no_progress)
        assert not (tmp_path / "out").exists()


def rows_prompt(files):
    """The prompt of the first training problem."""
    return read_rows(files.problems(StepSplit.TRAIN), ("prompt",))[0]["prompt"][0]["content"]


class TestCommands:
    """`halluc data addition`, `chain` and `dag`."""

    @pytest.mark.parametrize(
        ("command", "options", "prompt"),
        [
            (
                "addition",
                ("--base", 5, "--answer", "direct", "--operations", "+"),
                r"5: [0-4 ]+ \+ [0-4 ]+\n",
            ),
            ("chain", ("--modulus", 7, "--edit", "step"), r"[0-6]( [-+*][0-6]){4,10} mod 7\n"),
            ("dag", ("--error-rate", 0.2, "--mix", "1:1:1"), r"[a-z=+*,0-9-]+\?[a-z] mod 23\n"),
        ],
    )
    def test_writes_a_data_set(self, tmp_path, command, options, prompt):
        """What was written is told with the folder for lm_eval, and options reach the problems."""
        done = self.run(command, "--out", tmp_path, "--train", 20, "--test", 5, *options)
        assert done.exit_code == 0, done.output
        assert f"HALLUC_DATA_DIR={tmp_path}" in done.output
        for row in read_rows(tmp_path / command / "train.parquet", ("prompt",)):
            assert re.fullmatch(prompt, row["prompt"][0]["content"])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("chain", "--mix", "1:2:3"), "--mix is '1:2:3'.*2 weights"),
            (("dag", "--error-rate", 1), "error rate is 1.0"),
            (("addition", "--tokenizer", "/absent"), "No tokenizer can be loaded"),
        ],
    )
    def test_bad_input(self, tmp_path, arguments, message):
        """One message, and no file."""
        done = self.run(*arguments, "--out", tmp_path / "out")
        assert re.search(message, str(done.exception))
        assert not (tmp_path / "out").exists()

    def run(self, *arguments):
        """Run a command of ``halluc data``."""
        return CliRunner().invoke(app, ["data", *map(str, arguments)])

"""A task of another package: a short module, from which its data, its judge and its command come."""

import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import read_rows
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import collapse
from halluc_plugin.errors import TaskError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import find_verifier, registry
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab
from halluc_plugin.verifiers import Outcome

REVERSAL = '''
    """Reversals: write numbers in the opposite order."""

    from dataclasses import dataclass
    from typing import ClassVar

    from halluc_plugin.tasks import (
        EvaluatedSplit, Evaluation, Problem, ProblemSet, Sizes, StepData, Task, UniqueAnswerVerifier, option,
        parts,
    )

    SOURCES = ("acme/reversal", "acme/reversal-long")


    def reversed_steps(numbers):
        return tuple(f"{number}\\n" for number in reversed(numbers))


    @dataclass(frozen=True)
    class Reversals(ProblemSet):
        name: ClassVar[str] = "reversal"
        sources: ClassVar[tuple[str, ...]] = SOURCES
        highest: int = option(9, "Numbers are drawn from 0 to this.")
        sizes: Sizes = parts(Sizes(2, 5, 8), smallest="Fewest numbers of a problem.")
        seed: int = option(0, "Seed of all that is drawn at random.")

        def draw(self, size, rng):
            numbers = rng.integers(0, self.highest + 1, size).tolist()
            asked = " ".join(map(str, numbers)) + "\\n"
            return Problem(asked, {"numbers": numbers}, reversed_steps(numbers))

        def wrong(self, kind, problem, step, rng):
            return f"{int(problem.steps[step]) + 1}\\n"


    class ReversalVerifier(UniqueAnswerVerifier):
        data_sources = SOURCES

        def reference(self, problem):
            return "".join(reversed_steps(problem["numbers"]))

        def final_answer(self, answer):
            return answer.split()[-1] if answer.split() else None


    TASK = Task(
        name="reversal",
        verifier=ReversalVerifier(),
        data=StepData(Reversals()),
        eval=Evaluation(
            version="1.0",
            splits=(EvaluatedSplit(name="reversal_backtrack", split="test", what="reversals"),),
            max_tokens=64,
        ),
    )
'''
WITHOUT_ERRORS = re.sub(r"        def wrong.*?\n\n", "", REVERSAL, flags=re.DOTALL)
WITH_TOPICS = (
    REVERSAL.replace(
        "reversed_steps(numbers))\n\n        def", "reversed_steps(numbers), str(numbers[0]))\n\n        def"
    )
    .replace('        sizes: Sizes = parts(Sizes(2, 5, 8), smallest="Fewest numbers of a problem.")\n', "")
    .replace("self.highest + 1, size)", "self.highest + 1, 5)")
    .replace("option(9,", "option(99,")
)


def halluc(*arguments):
    """Run a command."""
    return CliRunner().invoke(app, [*map(str, arguments)])


def written(tmp_path, *arguments):
    """The folder of a small data set."""
    done = halluc("data", "reversal", "--train", 60, "--test", 8, "--out", tmp_path / "data", *arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return tmp_path / "data" / "reversal"


def prompts(folder, split):
    """How the problems of a split are asked."""
    rows = read_rows(folder / f"{split}.parquet", ("prompt",))
    return [row["prompt"][0]["content"] for row in rows]


def test_it_is_short():
    """A whole task, with options, splits, traces, judge and evaluation."""
    assert len(REVERSAL.strip().splitlines()) < 60


class TestCommand:
    """`halluc data reversal`."""

    def test_it_is_listed_with_what_it_is_about(self, install):
        """Beside ours, and without an import."""
        module = install("acme", "reversal", REVERSAL)
        shown = halluc("data", "--help").output
        assert re.search(r"reversal +Reversals: write numbers in the opposite order\.", shown)
        assert "gsm8k " not in shown
        assert module not in sys.modules

    def test_its_fields_are_options(self, install, tmp_path):
        """Its own with their help, and those of all tasks."""
        install("acme", "reversal", REVERSAL)
        shown = re.sub(r"[│ \n]+", " ", halluc("data", "reversal", "--help").output)
        assert "Numbers are drawn from 0 to this. [default: 9]" in shown
        assert "Fewest numbers of a problem. [default: 2]" in shown
        assert "Weights of errors: wrong. [default: 1]" in shown
        assert "halluc data reversal --out DATA" in shown
        asked = prompts(written(tmp_path, "--highest", 3, "--smallest", 5), "train")
        assert all(re.fullmatch(r"[0-3]( [0-3]){4}\n", prompt) for prompt in asked)

    def test_what_it_writes_is_right(self, install, tmp_path):
        """Splits are distinct and share nothing, answers are right, traces come to them."""
        install("acme", "reversal", REVERSAL)
        folder = written(tmp_path)
        asked = {split: prompts(folder, split) for split in ("train", "test", "test_long")}
        assert [len(found) for found in asked.values()] == [60, 8, 8]
        assert len({prompt for found in asked.values() for prompt in found}) == 76
        assert {len(prompt.split()) for prompt in asked["test_long"]} <= {6, 7, 8}
        judge = find_verifier("acme/reversal-long")
        (row, *_) = read_rows(folder / "test_long.parquet", ("data_source", "reward_model", "extra_info"))
        assert row["data_source"] == "acme/reversal-long"
        truth = row["reward_model"]["ground_truth"]
        assert judge.verify(truth, row["extra_info"]["answer"]) is Outcome.CORRECT
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        traces = read_traces(folder / "traces.parquet", tokenizer)
        edited = [trace for trace in traces if BACKTRACK_TOKEN in tokenizer.decode(trace.response_ids)]
        assert len(edited) == json.loads((folder / "card.json").read_text())["traces"]["backtracking"] > 50
        for trace in traces:
            left = tokenizer.decode(collapse(trace.response_ids, edit_vocab(tokenizer))[:-1])
            numbers = tokenizer.decode(trace.prompt_ids).split()
            assert judge.verify({"numbers": [int(n) for n in numbers]}, left) is Outcome.CORRECT

    def test_without_errors_traces_are_clean(self, install, tmp_path):
        """Options about errors are not offered, and no trace has an edit."""
        install("acme", "reversal", WITHOUT_ERRORS)
        shown = halluc("data", "reversal", "--help").output
        assert "--error-rate" not in shown
        assert "--backtracking" not in shown
        card = json.loads((written(tmp_path) / "card.json").read_text())
        assert (card["traces"]["clean"], card["traces"]["backtracking"]) == (60, 0)

    def test_topics_make_a_split_of_new_ones(self, install, tmp_path):
        """Without sizes, a tenth of the topics is for `test_new` alone, in rows of the last source."""
        install("acme", "reversal", WITH_TOPICS)
        folder = written(tmp_path)
        topics = {
            split: {p.split()[0] for p in prompts(folder, split)} for split in ("train", "test", "test_new")
        }
        assert not topics["test_new"] & (topics["train"] | topics["test"])
        assert all(topics.values())
        rows = read_rows(folder / "test_new.parquet", ("data_source",))
        assert {row["data_source"] for row in rows} == {"acme/reversal-long"}

    def test_help_imports_no_task(self):
        """Neither the list of commands nor that of tasks."""
        for asked in (["--help"], ["data", "--help"]):
            code = (
                "import sys; from typer.testing import CliRunner; from halluc_plugin.cli.app import app\n"
                f"assert CliRunner().invoke(app, {asked}).exit_code == 0\n"
                "print([m for m in sys.modules if m.startswith('halluc_plugin.tasks.') and m.count('.') > 2 "
                "or m.split('.')[-1] in ('countdown', 'chain') or m == 'torch'])"
            )
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
            assert done.stdout.strip() == "[]"


class TestRefusals:
    """Declarations that contradict themselves, and tasks without what is asked."""

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ("data_sources = SOURCES", 'data_sources = ("acme/x",)', r"its verifier's are \('acme/x',\)"),
            ("highest: int", "workers: int", "two options are called workers"),
            (
                "highest: int = option(9",
                "highest: tuple = option((9,)",
                "of type tuple, which no command line can read: options are bool, int",
            ),
            ("StepData(Reversals())", "Reversals()", "its data are a Reversals, no DataSet"),
            ('name="reversal",', 'name="reversal", old_options={"--a": "--b"},', "old options stand for --b"),
        ],
    )
    def test_a_contradiction_is_named(self, install, before, after, message):
        """Before a command line is made of it."""
        assert before in REVERSAL
        code = REVERSAL.replace(before, after).replace("self.highest", "9")
        install("acme", "reversal", code)
        with pytest.raises(TaskError, match=message):
            registry.load("reversal")

    def test_a_broken_task_fails_its_own_command(self, install, tmp_path):
        """One line, and the commands of others go on."""
        install("acme", "reversal", "import no_such_module")
        assert re.search(r"reversal +A task of acme\.", halluc("data", "--help").output)
        done = halluc("data", "reversal", "--out", tmp_path)
        assert isinstance(done.exception, TaskError)
        assert halluc("data", "chain", "--train", 5, "--test", 2, "--out", tmp_path).exit_code == 0

    def test_an_error_that_is_right_is_refused(self, install, tmp_path):
        """What `wrong` gives differs from the step."""
        install("acme", "reversal", REVERSAL.replace("[step]) + 1", "[step])"))
        done = halluc("data", "reversal", "--train", 20, "--test", 5, "--out", tmp_path)
        assert isinstance(done.exception, TaskError)
        assert "which is right, as an error" in str(done.exception)

    def test_a_task_that_draws_nothing_has_no_command(self):
        """GSM8K comes from elsewhere."""
        done = halluc("data", "gsm8k", "--out", "x")
        assert done.exit_code == 2 or isinstance(done.exception, TaskError)

"""The contract of tasks: all of ours keep it, and each of its checks finds what it is for."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc_plugin.errors import TaskError
from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.step_files import StepData
from halluc_plugin.problem_sets.steps import Problem, ProblemSet, Sizes
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import EvaluatedSplit, Evaluation, Task, names
from halluc_plugin.tasks.contract import Answered, ContractError, checks, checks_of
from halluc_plugin.tokens import EDIT_TOKENS
from halluc_plugin.verifiers import Outcome

GIVEN = {"gsm8k": [Answered("72", "So it is\n#### 72"), Answered("-1072", "#### 5\n#### -1,072")]}


@pytest.mark.parametrize("name", names())
@settings(max_examples=2)
@given(seed=st.integers(0, 2**31))
def test_every_task_keeps_its_contract(name, seed):
    """Whatever a seed draws: verdicts, problems, rows, traces and evaluation fit together."""
    for check in checks(name, GIVEN.get(name, ())):
        check(seed)


def test_what_is_asked_follows_from_what_is_declared():
    """A task that only judges is held to its verdicts, and to right answers if it is given some."""
    asked = {name: [str(check) for check in checks(name)] for name in ("gsm8k", "chain")}
    assert asked["gsm8k"] == ["sources_lead_to_the_task", "any_text_is_judged"]
    assert [str(check) for check in checks("gsm8k", GIVEN["gsm8k"])] == [*asked["gsm8k"], "answers_are_right"]
    assert len(asked["chain"]) == len(set(asked["chain"])) == 11


class Counting:
    """Judges counting: one numeral a line, from the first to the last; any line may have blanks behind it."""

    data_sources = ("test/counting", "test/counting-long")

    def verify(self, problem, answer):
        """Whether the lines are the numerals."""
        if not answer:
            return Outcome.NO_ANSWER
        lines = [line.rstrip(" ") for line in answer.removesuffix("\n").split("\n")]
        return Outcome.CORRECT if lines == numerals(problem) else Outcome.WRONG

    def prefix_ok(self, problem, prefix):
        """Whether the lines are those of a right answer, the last one as far as it goes."""
        *lines, last = prefix.split("\n")
        right, done = [*numerals(problem), ""], [line.rstrip(" ") for line in lines]
        if len(lines) >= len(right) or done != right[: len(lines)]:
            return False
        now = right[len(lines)]
        return now.startswith(last) or (now != "" and last.rstrip(" ") == now)


def numerals(problem):
    """What is counted."""
    return [str(number) for number in range(problem["from"], problem["to"] + 1)]


@dataclass(frozen=True)
class Numbers(ProblemSet):
    """Counting from one number to another; the size is how many."""

    name, sources = "counting", Counting.data_sources
    sizes: Sizes = parts(Sizes(3, 5, 7))
    seed: int = option(0, "Seed.")

    def draw(self, size, rng):
        """From any number below 900."""
        first = int(rng.integers(900))
        truth = {"from": first, "to": first + size - 1}
        return Problem(f"{truth['from']} to {truth['to']}\n", truth, tuple(f"{n}\n" for n in numerals(truth)))

    def wrong(self, kind, problem, step, rng):
        """A number that is left out."""
        return f"{problem.truth['from'] + step + 1}\n"


SPLIT = EvaluatedSplit(name="counting_backtrack", split="test", what="numbers")
TASK = Task(
    name="counting",
    verifier=Counting(),
    data=StepData(Numbers()),
    eval=Evaluation(version="1.0", splits=(SPLIT,), max_tokens=64),
)


def broken_by(name, task, given=()):
    """What one check says of a task."""
    (check,) = (each for each in checks_of(task, given) if str(each) == name)
    with pytest.raises(ContractError) as raised:
        check(5)
    said = str(raised.value)
    assert said.startswith(f"The task '{task.name}', seed 5")
    return said


def test_the_example_keeps_it():
    """All but that it is not registered: each check below fails for what it changes alone."""
    for check in checks_of(TASK):
        if str(check) != "sources_lead_to_the_task":
            check(5)
    assert "'test/counting' are not its" in broken_by("sources_lead_to_the_task", TASK)


def judged(**methods):
    """The task with another verifier."""
    return replace(TASK, verifier=type("Changed", (Counting,), methods)())


def is_right(problem, answer):
    """Whether the verifier as it should be finds an answer right."""
    return Counting().verify(problem, answer) is Outcome.CORRECT


def is_ok(problem, prefix):
    """Whether the verifier as it should be finds a prefix ok."""
    return Counting().prefix_ok(problem, prefix)


VERDICTS = {
    "a verdict that is no outcome": (
        "any_text_is_judged",
        {"verify": lambda self, problem, answer: is_right(problem, answer)},
        "is False, no Outcome",
    ),
    "an error": (
        "any_text_is_judged",
        {"verify": lambda self, problem, answer: Outcome.CORRECT if answer[0] == "1" else Outcome.WRONG},
        r"its verifier fails at '' \(IndexError\)",
    ),
    "a canonical form that is judged otherwise": (
        "any_text_is_judged",
        {"canonical": lambda self, answer: "1"},
        "canonical form is not",
    ),
    "a reference that is wrong": (
        "answers_are_right",
        {"verify": lambda self, problem, answer: Outcome.WRONG},
        "problem {'from': .*the reference answer '.*' is not right",
    ),
    "an empty text that is right": (
        "answers_are_right",
        {"verify": lambda self, problem, answer: Outcome.CORRECT},
        "the empty text is right",
    ),
    "one text that is always right": (
        "answers_are_right",
        {"verify": lambda self, problem, answer: Outcome.CORRECT if answer else Outcome.WRONG},
        "is right for every problem",
    ),
    "an end that is not found": (
        "answers_are_right",
        {"final_answer": lambda self, answer: None, "verify_final": Counting.verify},
        "comes to, None, is not right",
    ),
    "a prefix of the reference that is not ok": (
        "prefixes_of_right_answers_are_ok",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) and "\n" not in prefix[:-1]},
        "is right, but its prefix .* is not ok",
    ),
    "a prefix of another right answer that is not ok": (
        "spoiled_answers_are_wrong",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) and prefix[-1:] != " "},
        "is right, and not ok|not ok, but a longer one is",
    ),
    "a prefix from which no answer is in reach": (
        "prefixes_of_right_answers_are_ok",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) or prefix == "t"},
        "the prefix 't' is ok, but no right answer begins with it",
    ),
    "a prefix that is ok again": (
        "spoiled_answers_are_wrong",
        {"prefix_ok": lambda self, problem, prefix: is_ok(problem, prefix) or len(prefix) == 9},
        "is not ok, but a longer one is",
    ),
    "prefixes that are all ok": (
        "spoiled_answers_are_wrong",
        {"prefix_ok": lambda self, problem, prefix: True},
        "whatever is changed in an answer, every prefix is still ok",
    ),
    "an answer that is right and not ok": (
        "spoiled_answers_are_wrong",
        {"verify": lambda self, problem, answer: Outcome.CORRECT if answer else Outcome.WRONG},
        "is right, and not ok",
    ),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdicts_that_contradict_one_another(case):
    """Whatever a verifier says that does not fit, one check names with the problem."""
    check, methods, said = VERDICTS[case]
    assert re.search(said, broken_by(check, judged(**methods)))


class Tampered(StepData):
    """A data set that is changed when it is written."""

    def tamper(self, files):
        """Change the files."""

    def write(self, *where, **how):
        """Write it, and change it."""
        files = super().write(*where, **how)
        self.tamper(files)
        return files


def rewrite(path, change):
    """Change the rows of a file."""
    pq.write_table(pa.Table.from_pylist(change(pq.read_table(path).to_pylist())), path)


def drawn(problems=None, tamper=None):
    """The task with other problems, or with files that are tampered with."""
    kind = type("Changed", (Tampered,), {"tamper": tamper or Tampered.tamper})
    return replace(TASK, data=kind(problems or Numbers()))


def other(**methods):
    """Other problems."""
    return dataclass(frozen=True)(type("Changed", (Numbers,), methods))()


def in_train(change):
    """Changes the rows of training."""
    return lambda self, files: rewrite(files.problems("train"), change)


def in_traces(change):
    """Changes the traces."""
    return lambda self, files: rewrite(files.traces, change)


def every_row(**changes):
    """Changes values of all rows."""
    return lambda rows: [{**row, **changes} for row in rows]


def copied_split(self, files):
    """Tests on what was trained on."""
    files.problems("test").write_bytes(files.problems("train").read_bytes())


DATA = {
    "a problem that is drawn twice": (
        "problems_are_distinct",
        drawn(tamper=in_train(lambda rows: [*rows, rows[3]])),
        "the split train asks '.* to .*' twice",
    ),
    "a split that was trained on": (
        "problems_are_distinct",
        drawn(tamper=copied_split),
        "the splits train and test both ask",
    ),
    "a seed that decides nothing": (
        "the_seed_decides",
        drawn(other(seed=property(lambda self: 3, lambda self, value: None))),
        "the next seed draws the same problems of the split train",
    ),
    "something else than the seed that decides": (
        "the_seed_decides",
        drawn(other(draw=lambda self, size, rng: Numbers.draw(self, size, np.random.default_rng()))),
        "the same seed draws something else the second time",
    ),
    "a source of somebody else": (
        "rows_can_be_asked_and_judged",
        drawn(tamper=in_train(every_row(data_source="elsewhere"))),
        "a row's data_source is 'elsewhere'",
    ),
    "two messages": (
        "rows_can_be_asked_and_judged",
        drawn(tamper=in_train(every_row(prompt=[{"role": "user", "content": "1 to 2"}] * 2))),
        "a prompt is .* not one message with text",
    ),
    "an agent loop": (
        "rows_can_be_asked_and_judged",
        drawn(tamper=in_train(every_row(agent_name="backtrack"))),
        "a row has agent_name",
    ),
    "an answer that is no text": (
        "rows_can_be_asked_and_judged",
        drawn(tamper=in_train(every_row(extra_info={"answer": 7}))),
        "no text in extra_info.answer",
    ),
    "a trace that comes to something wrong": (
        "traces_resolve_to_right_answers",
        drawn(tamper=in_traces(lambda rows: [{**r, "response_ids": r["response_ids"][:-3]} for r in rows])),
        "a trace comes to '.*', which is not right",
    ),
    "a mistake that is none": (
        "mistakes_are_wrong",
        drawn(other(wrong=lambda self, kind, problem, step, rng: f"{problem.steps[step].strip()} \n")),
        "a trace takes back from '.*', which is ok",
    ),
    "a mistake that is only half taken back": (
        "mistakes_are_wrong",
        drawn(tamper=in_traces(lambda rows: [{**r, "response_ids": without_an_edit(r)} for r in rows])),
        "a trace goes on from '.*', which is not ok",
    ),
    "a mistake that is never made": (
        "mistakes_are_wrong",
        drawn(other(wrong=lambda self, kind, problem, step, rng: None)),
        "no trace has a mistake of the kind 'wrong'",
    ),
}


def without_an_edit(row):
    """The ids of a trace, without the last of its edits."""
    ids = row["response_ids"]
    edit = number_tokenizer(edit_tokens=EDIT_TOKENS).convert_tokens_to_ids(EDIT_TOKENS[0])
    last = max((at for at, token in enumerate(ids) if token == edit), default=len(ids))
    return [*ids[:last], *ids[last + 1 :]]


@pytest.mark.parametrize("case", DATA)
def test_data_that_cannot_be_used(case):
    """Whatever is written that nothing can be learned from, one check names."""
    check, task, said = DATA[case]
    assert re.search(said, broken_by(check, task))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"splits": (replace(SPLIT, split="test_new"),)}, "evaluates the split test_new, which is not drawn"),
        ({"extract": "[0-9]+;"}, "its evaluation finds '', which is not right"),
    ],
)
def test_an_evaluation_that_finds_nothing(change, said):
    """Splits that are not drawn, and patterns that no right answer matches, are named."""
    assert said in broken_by("the_evaluation_finds_answers", replace(TASK, eval=replace(TASK.eval, **change)))


@dataclass(frozen=True)
class Fixed(Tampered):
    """A data set whose seed is nobody's to choose."""

    def options(self):
        """All but the seed."""
        return [each for each in super().options() if each.name != "seed"]


def test_a_data_set_without_a_seed_is_refused():
    """It could not be said which problems broke the contract."""
    check = checks_of(replace(TASK, data=Fixed(Numbers())))[0]
    with pytest.raises(TaskError, match="Fixed has no option 'seed'"):
        check()

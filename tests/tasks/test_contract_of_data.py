"""The contract notices data that cannot be used."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halluc_plugin.errors import TaskError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.contract import checks_of
from halluc_plugin.tokens import EDIT_TOKENS
from tests.tasks.counting import (
    SPLIT,
    TASK,
    Numbers,
    Tampered,
    broken_by,
)


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

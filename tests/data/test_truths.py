"""Ground truths of rows that people bring: one judge, and none that it cannot read."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.parquet import checked_rows
from halluc_plugin.data.rows import extra_info, ground_truth, messages
from halluc_plugin.errors import DataError
from halluc_plugin.tasks import truth_fault
from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.verifiers import Outcome
from tests.data.conftest import JUDGING, ROW, lines, refused, run


@pytest.mark.parametrize(
    "truth", [72, 72.0, True, ["72"], {"answer": "72"}, "1,072", " 72", "72 ", "72$", ""]
)
def test_gsm8k_rows_that_no_answer_matches_are_refused(model, tmp_path, truth):
    """By whoever judges: to verl's scorer the number 72 is not the text 72, and no answer would be right."""
    gsm8k = ROW | {"data_source": "openai/gsm8k", "reward_model": {"ground_truth": truth}}
    rows = lines(tmp_path / "rows.jsonl", gsm8k)
    for command in JUDGING:
        message = refused(command, model, rows, tmp_path)
        assert f"row 0: reward_model.ground_truth is {truth!r}" in message
    assert run("inject", model, rows, tmp_path).exit_code == 0  # where nothing is judged
    function = tmp_path / "judge.py"
    function.write_text("def score(**_):\n    return 1.0\n")
    options = ("--reward-function", f"{function}:score")
    assert run("search", model, rows, tmp_path, *options).exit_code == 0


GROUND_TRUTHS = st.one_of(
    st.sampled_from(["72", "1,072", "1072", " 72", "-3.5", "72.", ".", "", "1072."]),
    st.integers(-99, 99), st.floats(allow_nan=True), st.none(), st.booleans(),
    st.integers(0, 99).map(np.int64),
    st.lists(st.text(), max_size=1), st.dictionaries(st.text(), st.text(), max_size=1),
)  # fmt: skip


@given(
    truth=GROUND_TRUTHS,
    said=st.sampled_from(["72", "1,072", "-3.5", ".", "True", "7", "72.0"]),
    mark=st.booleans(),
)
def test_gsm8k_has_one_judge(truth, said, mark):
    """On every ground truth and answer the verdict is verl's."""
    verl = pytest.importorskip("verl.utils.reward_score")
    answer = f"so it is {'#### ' if mark else ''}{said}"
    right = verl.default_compute_score("openai/gsm8k", answer, truth) == 1
    assert (Gsm8kVerifier().verify(truth, answer) is Outcome.CORRECT) == right


@pytest.mark.parametrize(
    ("source", "truth"),
    [
        ("halluc/countdown", "24"),
        ("halluc/countdown", json.dumps({"numbers": [1, 2], "target": 3})),
        ("halluc/countdown", {"numbers": [1, 2]}),
        ("halluc/countdown", {"numbers": None, "target": 3}),
        ("halluc/chain", {"modulus": 0, "start": 1, "operations": ["+1"], "form": "steps"}),
        ("halluc/addition", {"base": 10, "operation": "+", "a": [1], "b": [2, 3], "form": "steps"}),
        ("halluc/dag", {"modulus": 23, "definitions": ["a=b+b", "b=a+a"], "query": "a"}),
        ("halluc/dag", None),
        ("lighteval/MATH", 12),
        ("aime2025", 12),
    ],
)
def test_truths_that_a_judge_cannot_read_are_refused(tmp_path, source, truth):
    """Before a worker meets the first of them."""
    path = lines(
        tmp_path / "rows.jsonl", ROW, ROW | {"data_source": source, "reward_model": {"ground_truth": truth}}
    )
    with pytest.raises(DataError, match=r"rows.jsonl, row 1: reward_model"):
        checked_rows(path, truth_fault=truth_fault)
    if truth is not None:
        assert len(checked_rows(path, truth_fault=None)) == 2


WORD = {"word": "a", "starts": "AB", "goal": "B", "maps": ["BCA"], "check": "written", "answers": "one"}


@pytest.mark.parametrize(
    ("source", "truth", "said"),
    [
        ("word", WORD | {"starts": "BC"}, "has no answer"),
        ("word", WORD | {"word": "?", "maps": ["BCA", "BCA"]}, "has 2 answers, and one is promised"),
        ("word", WORD | {"maps": ["BBB"]}, "leads from all states to one"),
        (
            "sat",
            {"clauses": [a + b + c for a in "aA" for b in "bB" for c in "cC"], "variables": 3},
            "all be true",
        ),
        ("sudoku", {"grid": ["1 1 . .", *[". . . ."] * 3]}, "has a wrong given"),
    ],
)
def test_problems_that_cannot_be_searched_are_refused(tmp_path, source, truth, said):
    """Their row, what is wrong with the problem, and one thing to do about it."""
    row = ROW | {"data_source": f"halluc/{source}", "reward_model": {"ground_truth": truth}}
    with pytest.raises(DataError, match=f"row 0: reward_model.ground_truth is refused.*{said}") as refusal:
        checked_rows(lines(tmp_path / "rows.jsonl", row), truth_fault=truth_fault)
    assert str(refusal.value).count("Fix:") == 1


@pytest.mark.parametrize(
    "truth",
    [
        {"numbers": np.array([3, 5, 7]), "target": np.int64(22)},
        {"numbers": (3, 5, 7), "target": 22.0},
        {"numbers": [np.int32(3), 5, 7], "target": 22, "modulus": None},
    ],
)
def test_numpy_in_a_row_changes_nothing(truth):
    """A row out of pandas, or of verl's workers, is the row that JSON would hold."""
    prompt = np.array(
        [{"role": "user", "content": np.array([{"type": "text", "text": "3 5"}])}], dtype=object
    )
    row = {"prompt": prompt, "reward_model": {"ground_truth": truth}, "extra_info": np.array([1, 2])}
    assert messages(row) == [{"role": "user", "content": [{"type": "text", "text": "3 5"}]}]
    assert ground_truth(row)["numbers"] == [3, 5, 7]
    assert ground_truth(row)["target"] == 22
    assert extra_info(row) == {}
    json.dumps([messages(row), ground_truth(row)])

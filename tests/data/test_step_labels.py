"""Published labels of steps, in the shapes in which they are published, made by hand and real ones."""

import json
import os
from pathlib import Path

import pytest

from halluc_plugin.data.step_labels import read_step_labels
from halluc_plugin.data.value_files import fault
from halluc_plugin.errors import DataError, EditVocabError, TokenizerError
from halluc_plugin.scratch.tokenizer import number_tokenizer

TOKENIZER = number_tokenizer()
DATA = Path(os.environ.get("HALLUC_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


def completion(text, rating):
    """A rated step, as PRM800K has it."""
    return {"text": text, "rating": rating, "flagged": False}


def prm800k(*steps, finish="solution", problem="1+1+1?"):
    """A row of PRM800K; a step is its completions, the chosen one's index, and a human's text."""
    labelled = [
        {
            "completions": [completion(*each) for each in completions],
            "human_completion": None if human is None else completion(human, None),
            "chosen_completion": chosen,
        }
        for completions, chosen, human in steps
    ]
    return {
        "labeler": "a", "timestamp": "2022-07-17T16:56:51", "generation": 9,
        "is_quality_control_question": False, "is_initial_screening_question": False,
        "question": {"problem": problem, "ground_truth_answer": "3"},
        "label": {"steps": labelled, "total_time": 100, "finish_reason": finish},
    }  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """Reads rows from a file of JSON lines; each as source, texts, values, and whether it is right."""

    def rows_of(*rows):
        path = tmp_path / "labels.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found = read_step_labels(path, TOKENIZER, step_delimiter="\n")
        ends = {TOKENIZER.encode("\n")[0], TOKENIZER.eos_token_id}
        assert not any(fault(row, ends) for row in found)
        return [
            (
                TOKENIZER.decode(row.prompt_ids),
                [TOKENIZER.decode(step).replace(TOKENIZER.eos_token, "$") for step in row.step_ids],
                row.values,
                row.correct,
            )
            for row in found
        ]

    return rows_of


def test_processbench(read):
    """1 before the first wrong step, 0 from it on; the response ends with EOS, and its answer is judged."""
    row = {"id": "gsm8k-0", "problem": "1+1?", "steps": ["a", "b", "c"], "final_answer_correct": False}
    texts = ["a\n", "b\n", "c$"]
    assert read(row | {"label": 1}) == [("1+1?", texts, [None, 1.0, 0.0, 0.0], False)]
    assert read(row | {"label": 0}) == [("1+1?", texts, [None, 0.0, 0.0, 0.0], False)]
    whole = row | {"label": -1, "final_answer_correct": True}
    assert read(whole) == [("1+1?", texts, [None, 1.0, 1.0, 1.0], True)]


@pytest.mark.data
@pytest.mark.parametrize("subset", ["gsm8k", "math"])
def test_processbench_as_published(subset):
    """Every row is read, and its label is found again in its values."""
    path = DATA / "processbench" / f"{subset}.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    raw = json.loads(path.read_text())
    rows = read_step_labels(path, TOKENIZER, step_delimiter="\n")
    assert len(rows) == len(raw)
    for row, given in zip(rows, raw, strict=True):
        first = row.values.index(0.0) - 1 if 0.0 in row.values else -1
        assert (first, len(row.step_ids), row.correct) == (
            given["label"], len(given["steps"]), given["final_answer_correct"],
        )  # fmt: skip
        assert row.data_source == f"processbench/{subset}"


def test_prm800k_phase_two(read):
    """One completion a step: up to the first wrong one, or to the solution; neutral counts as right."""
    right = prm800k(([("a", 1)], 0, None), ([("b", 0)], 0, None), ([("c", 1)], 0, None))
    wrong = prm800k(([("a", 1)], 0, None), ([("b", -1)], None, None), finish="found_error")
    assert read(right, wrong) == [
        ("1+1+1?", ["a\n", "b\n", "c$"], [None, 1.0, 1.0, 1.0], True),
        ("1+1+1?", ["a\n", "b\n"], [None, 1.0, 0.0], False),
    ]


def test_prm800k_phase_one(read):
    """Completions that do not go on end responses of their own; a human's step goes on as a right one."""
    row = prm800k(
        ([("a", 1), ("x", -1), ("y", None)], 0, None),
        ([("z", -1)], None, "h"),
        ([("c", None)], 0, None),
        finish="give_up",
    )
    assert read(row) == [
        ("1+1+1?", ["x\n"], [None, 0.0], False),
        ("1+1+1?", ["a\n", "z\n"], [None, 1.0, 0.0], False),
        ("1+1+1?", ["a\n", "h\n", "c\n"], [None, 1.0, 1.0, None], True),
    ]


def test_prm800k_where_little_is_known(read):
    """Nothing is right behind a wrong step that goes on; bad problems and unrated ends give no row."""
    lost = prm800k(([("a", -1)], 0, None), ([("b", 1)], 0, None))
    bad = prm800k(([("a", 1)], 0, None), finish="bad_problem")
    unrated = prm800k(([("a", 1)], 0, None), ([("b", None)], None, None), finish="give_up")
    assert read(lost, bad, unrated) == [
        ("1+1+1?", ["a\n", "b$"], [None, 0.0, 0.0], False),
        ("1+1+1?", ["a\n"], [None, 1.0], True),
    ]


GOOD = {"problem": "1+1?", "steps": ["a"], "label": -1}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"text": "a"}], "rows of text: neither ProcessBench's nor PRM800K's"),
        ([["a"]], "rows of nothing"),
        ([GOOD, GOOD | {"label": 1}], "row 1: The label is 1, of 1 steps"),
        ([GOOD, GOOD | {"label": None}], "row 1: The label is None"),
        ([GOOD, GOOD | {"steps": [], "label": -1}], "row 1: There is no step"),
        ([GOOD, GOOD | {"steps": ["a", " "]}], "row 1: Step 2 has no text"),
        ([GOOD, {"problem": "1+1?", "label": 0}], "row 1 lacks a part .*steps"),
        ([prm800k(([("a", 2)], 0, None))], "row 0: A rating is 2"),
        ([prm800k(([("a", 1)], 0, None), finish="bad_problem")], "has no rows"),
    ],
)
def test_what_is_neither_is_refused_by_its_row(read, rows, told):
    """Other shapes, labels that are none, steps without text; one line each."""
    with pytest.raises(DataError, match=told) as raised:
        read(*rows)
    assert "\n" not in str(raised.value)


def test_steps_that_cannot_be_told_apart_are_refused(tmp_path):
    """Some token ends with the delimiter, but not the one that is written here; or none does."""
    tokenizer = number_tokenizer()
    tokenizer.add_tokens(["a!!"])
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([GOOD | {"steps": ["a", "b", "c"]}]))
    with pytest.raises(TokenizerError, match="'b!!' is no token of its own"):
        read_step_labels(path, tokenizer, step_delimiter="!!")
    with pytest.raises(EditVocabError, match="No token"):
        read_step_labels(path, TOKENIZER, step_delimiter="!!")

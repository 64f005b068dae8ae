"""The traces of the forms of answer, and how answers of each form are read."""

from dataclasses import replace

import numpy as np
import pytest

from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.steps import Problem
from halluc_plugin.recipes.when_it_pays.specs import Form, Judge, Spec
from halluc_plugin.recipes.when_it_pays.writers import MARK, live_ids, write_form
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens import STEP_TOKEN

TOKENIZER = editing_tokenizer("step")
WORDS = WordProblems(states=3, letters=2, length=2, starts=2)
# a: A->B, B->C, C->A; b: A->C, B->B, C->A. From A by "ab" over B to B, from C by "ab" over A to C.
TRUTH = {
    "word": "ab", "starts": "CA", "goal": "B", "maps": ["BCA", "CBA"], "check": "written", "answers": "one",
}  # fmt: skip
PROBLEM = Problem("ab:CA -> B\n", TRUTH, ("ABBB\n",), "ab")


def written(form, tmp_path, **more):
    """The text of the trace of the one problem, its end left out."""
    path = tmp_path / "traces.parquet"
    write_form(path, Spec(WORDS, form, 1, **more), [PROBLEM], TOKENIZER)
    (row,) = read_traces(path, TOKENIZER)
    assert TOKENIZER.decode(row.prompt_ids) == PROBLEM.prompt
    assert row.response_ids[-1] == TOKENIZER.eos_token_id
    return TOKENIZER.decode(row.response_ids[:-1]), row


@pytest.mark.parametrize(
    ("form", "text"),
    [(Form.CLEAN, "ABBB\n"), (Form.BACKWARD, "BBA\nABBB\n"), (Form.SCRATCHPAD, "CAC\nABB\nABBB\n")],
)
def test_forms_that_reject_nothing(form, text, tmp_path):
    """The answer; behind its path from the goal back; behind the paths of all starts in their order."""
    assert written(form, tmp_path)[0] == text


def test_twin_is_soft_with_a_mark(tmp_path):
    """Where soft has the edit, its twin has the mark, and the lines before it count as erased."""
    for seed in range(5):
        words = replace(WORDS, seed=seed)
        soft, twin = (tmp_path / f"{form}-{seed}.parquet" for form in (Form.SOFT, Form.TWIN))
        for form, path in ((Form.SOFT, soft), (Form.TWIN, twin)):
            write_form(path, Spec(words, form, 1), [PROBLEM] * 3, TOKENIZER)
        for one, other in zip(read_traces(soft, TOKENIZER), read_traces(twin, TOKENIZER), strict=True):
            text = TOKENIZER.decode(one.response_ids)
            rejected = text.count("CACB\n")
            assert text.startswith(f"CACB\n{STEP_TOKEN}" * rejected + "ABBB\n")
            assert TOKENIZER.decode(other.response_ids) == text.replace(STEP_TOKEN, MARK)
            assert sum(other.erased) == rejected * 5


def test_a_stream_rejects_in_words(tmp_path):
    """Behind each dead line stands "no.", and the rejected lines count as erased, the words do not."""
    for seed in range(5):
        path = tmp_path / f"{seed}.parquet"
        write_form(path, Spec(replace(WORDS, seed=seed), Form.STREAM, 1), [PROBLEM] * 3, TOKENIZER)
        for row in read_traces(path, TOKENIZER):
            text = TOKENIZER.decode(row.response_ids[:-1])
            rejected = text.count("no.")
            assert text == "CACB\nno.\n" * rejected + "ABBB\n"
            assert sum(row.erased) == 5 * rejected
            assert live_ids(row.response_ids, Spec(WORDS, Form.STREAM, 1), TOKENIZER) == row.response_ids


def test_hard_has_the_traces_of_soft(tmp_path):
    """They differ in what an action sees, and in nothing that is written."""
    assert written(Form.HARD, tmp_path)[0] == written(Form.SOFT, tmp_path)[0]


@pytest.mark.parametrize(
    ("form", "text", "live"),
    [
        (Form.CLEAN, "ABBB\n", "ABBB\n"),
        (Form.SOFT, f"CACB\n{STEP_TOKEN}ABBB\n", "ABBB\n"),
        (Form.TWIN, f"CACB\n{MARK}ABBB\n", "ABBB\n"),
        (Form.TWIN, f"A\nB\n{MARK}C\n", "A\nC\n"),
        (Form.BACKWARD, "BBA\nABBB\n", "ABBB\n"),
        (Form.SCRATCHPAD, "CAC\nABB\nABBB\n", "ABBB\n"),
        (Form.SCRATCHPAD, "CAC\nABB", "CAC\n"),
        (Form.SCRATCHPAD, "CAC", "CAC"),
        (Form.SCRATCHPAD, "", ""),
    ],
)
def test_what_counts_of_an_answer(form, text, live):
    """Edits apply, marks delete as edits do, and after a scratchpad the last whole line counts."""
    ids = TOKENIZER.encode(text, add_special_tokens=False)
    assert TOKENIZER.decode(live_ids(ids, Spec(WORDS, form, 1), TOKENIZER)) == live


def test_an_erring_judge_ends_at_wrong_answers(tmp_path):
    """One who misses nearly all dead ends writes answers that end in them."""
    spec = Spec(WORDS, Form.HARD, 1, judge=Judge(missed=0.99))
    path = tmp_path / "traces.parquet"
    write_form(path, spec, [PROBLEM] * 40, TOKENIZER)
    texts = [TOKENIZER.decode(row.response_ids[:-1]) for row in read_traces(path, TOKENIZER)]
    assert 5 < texts.count("CACB\n") < 35


def test_forms_of_single_lines_refuse_blanks(tmp_path):
    """A backward chain or a scratchpad is of words without blanks."""
    problems = replace(WORDS, states=10, length=3, blanks=1)
    problem = problems.draw(0, np.random.default_rng(0))
    with pytest.raises(SettingsError, match="words with blanks"):
        write_form(tmp_path / "x.parquet", Spec(problems, Form.SCRATCHPAD, 1), [problem], TOKENIZER)

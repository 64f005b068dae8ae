"""Courses: which problems a step asks, and with what of a right trace, by hand; and runs of them."""

from dataclasses import replace

import pytest
import torch

from halluc_plugin.errors import SettingsError
from halluc_plugin.rl.courses import ByDifficulty, Reverse, stage_of
from halluc_plugin.rl.grpo import train_policy
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.settings import load
from halluc_plugin.verifiers import Outcome
from tests.rl.conftest import RUN, weights

SIX = [PosedProblem((number,), {"number": number}, verifier=None) for number in range(6)]
DIFFICULTY = (0.5, 0.1, 0.9, 0.2, 0.8, 0.2)
NINE = GrpoSettings(steps=9, prompts=2, group=2)


class Echo:
    """Takes one text for right."""

    data_sources = ("mine",)

    def verify(self, problem, answer):
        """Whether it is the text of the problem."""
        return Outcome.CORRECT if answer == problem["text"] else Outcome.WRONG


def test_stages_have_equal_lengths():
    """Nine steps in three stages; of ten the last stage has two, and what comes later is in it."""
    assert [stage_of(step, 9, 3) for step in (1, 3, 4, 9)] == [(0, 1), (0, 3), (1, 1), (2, 3)]
    assert [stage_of(step, 10, 3) for step in (4, 5, 9, 10, 30)] == [(0, 4), (1, 1), (2, 1), (2, 2), (2, 22)]


@pytest.mark.parametrize(
    ("hardest", "pools"),
    [(False, [{1, 3}, {1, 3, 5, 0}, set(range(6))]), (True, [{2, 4}, {2, 4, 0, 3}, set(range(6))])],
)
def test_the_easiest_or_the_hardest_come_first(hardest, pools):
    """A third of the problems, two thirds, all; equally difficult ones in their order."""
    course = ByDifficulty(DIFFICULTY, hardest)
    asked = [[p.truth["number"] for p in course.at(SIX, NINE, step)] for step in range(1, 10)]
    for stage, pool in enumerate(pools):
        seen = {number for step in asked[3 * stage : 3 * stage + 3] for number in step}
        assert seen <= pool
        assert len(seen) > 1
    assert {number for step in asked[6:] for number in step} == pools[2]
    assert asked == [[p.truth["number"] for p in course.at(SIX, NINE, step)] for step in range(1, 10)]


def test_answers_begin_with_less_and_less_of_a_right_trace():
    """Of four steps the first stage gives two, the second one, the last none; all are judged as a whole."""
    steps = ((1, 2), (3,), (4,), (5,))
    problems = [PosedProblem((9,), {"text": "12345"}, Echo())] * 2
    course = Reverse((steps, steps), lambda ids: "".join(map(str, ids)))
    given = [course.at(problems, NINE, step)[0] for step in (1, 4, 7)]
    assert [problem.prompt for problem in given] == [(9, 1, 2, 3), (9, 1, 2), (9,)]
    for problem, answer in zip(given, ("45", "345", "12345"), strict=True):
        assert problem.verifier.verify(problem.truth, answer) is Outcome.CORRECT
        assert problem.verifier.verify(problem.truth, "5") is Outcome.WRONG
    assert list(course.prompts(problems)) == [(9, 1, 2, 3)] * 2


@pytest.mark.parametrize(
    ("course", "run", "said"),
    [
        (ByDifficulty(DIFFICULTY[:5]), NINE, "5 difficulties of 6 problems"),
        (
            ByDifficulty(DIFFICULTY),
            replace(NINE, prompts=3),
            "first stage has 2 problems, and a step takes 3",
        ),
        (ByDifficulty(DIFFICULTY, stages=1), NINE, "1 stages in 9 steps"),
        (Reverse(((),) * 6, str, stages=10), NINE, "10 stages in 9 steps"),
        (Reverse(((),) * 5, str), NINE, "5 traces of 6 problems"),
    ],
)
def test_what_does_not_fit_is_refused(course, run, said):
    """Before anything is sampled."""
    with pytest.raises(SettingsError, match=said):
        course.check(SIX, run)


def test_runs_follow_their_course(tokenizer, problems, tmp_path):
    """Each has weights of its own, and is the same again; a run is continued by its own course alone."""
    steps = (tuple(tokenizer.encode("1+2=3\n")), tuple(tokenizer.encode("3+4=7\n")))
    courses = {
        "none": None,
        "easy": ByDifficulty((0.1, 0.2, 0.3, 0.4), stages=2),
        "hard": ByDifficulty((0.1, 0.2, 0.3, 0.4), hardest_first=True, stages=2),
        "reverse": Reverse((steps,) * 4, tokenizer.decode, stages=2),
        "again": Reverse((steps,) * 4, tokenizer.decode, stages=2),
    }
    found = {
        name: weights(
            train_policy(
                new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, load({}), RUN,
                out=tmp_path / name, progress=lambda steps, what, total: steps, course=course,
            )
        )
        for name, course in courses.items()
    }  # fmt: skip
    assert torch.equal(found["reverse"], found["again"])
    names = ["none", "easy", "hard", "reverse"]
    assert not any(torch.equal(found[a], found[b]) for a in names for b in names if a < b)


def test_what_is_given_must_fit_in_the_positions(tokenizer, problems, tmp_path):
    """The first stage's prompts are the longest."""
    steps = (tuple(tokenizer.encode("1") * 1020), tuple(tokenizer.encode("1")))
    course = Reverse((steps,) * 4, tokenizer.decode, stages=2)
    with pytest.raises(SettingsError, match="does not fit in the model's 1024 positions"):
        train_policy(
            new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, load({}), RUN, out=tmp_path,
            progress=lambda steps, what, total: steps, course=course,
        )  # fmt: skip

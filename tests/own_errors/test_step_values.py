"""Values of a model's own steps: which prefixes are continued, and what the rows say, on a known policy."""

from dataclasses import replace

import pytest

from halluc_plugin.data.value_files import ValueRow, fault
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.own_errors.step_values import Labels, StepValues, ValueSettings
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scorers.monte_carlo import Probing

BINARY = Probing.BINARY


@pytest.fixture
def made(chains):
    """Makes the rows of problems of eight steps."""

    def make(p, *, problems=1, seed=0, space=chains.space, steps=8, part=3, **settings):
        posed = [chains.problem(steps, number) for number in range(problems)]
        policy = chains.policy(posed, p)
        maker = StepValues(policy, space, chains.tokenizer, ValueSettings(**settings), seed)
        rows, counts = maker(part, posed)
        rows = [ValueRow(**row) for row in rows]
        assert not any(fault(row, {chains.eos, chains.new_line}) for row in rows)
        return rows, counts, policy

    return make


def first_error(chains, row):
    """The number of the first wrong step, None for none."""
    problem = next(
        p for p in (chains.problem(8, number) for number in range(9)) if list(p.prompt) == row.prompt_ids
    )
    right = chains.answer(problem)
    pairs = enumerate(zip(row.step_ids, right, strict=True), 1)
    return next((number for number, (step, good) in pairs if tuple(step) != good), None)


def test_soft_labels_are_shares_and_hard_labels_say_whether_any(chains, made):
    """All of an answer's prefixes, behind the first error 0; the last value is the verifier's."""
    for labels in Labels:
        rows, counts, policy = made(0.85, problems=6, continuations=32, labels=labels)
        assert {row.correct for row in rows} == {True, False}
        for row in rows:
            wrong = first_error(chains, row)
            assert (wrong is None) == row.correct
            alive = 9 if wrong is None else wrong
            assert all(value > 0 for value in row.values[1:alive])
            assert row.values[alive:] == [0.0] * (9 - alive)
            assert row.values[-1] == float(row.correct)
            if labels is Labels.HARD:
                assert set(row.values) <= {0.0, 1.0}
        assert counts["answers"] == 6 * 4 == counts["right"] + counts["wrong"]
        assert sum(map(len, policy.calls)) == counts["answers"] + counts["continuations"]
        assert counts["continuations"] == 32 * counts["prefixes"]
        assert len(policy.calls) == 2  # the answers of all problems, then their prefixes


def test_the_bare_prompt_is_worth_the_share_of_right_answers(made):
    """It is known from the answers themselves, and equal answers give one row."""
    rows, counts, _ = made(0.9, answers=16, continuations=1)
    assert {row.values[0] for row in rows} == {counts["right"] / 16}
    assert len({tuple(map(tuple, row.step_ids)) for row in rows}) == len(rows) < 16


def test_a_share_of_the_partial_solutions(made):
    """About a fifth of the prefixes are continued; what was not is unknown, but behind a lost one."""
    rows, counts, _ = made(0.9, problems=30, partials=0.2, continuations=32)
    _, all_, _ = made(0.9, problems=30, continuations=1)
    assert 0.1 < counts["prefixes"] / all_["prefixes"] < 0.3
    inner = [value for row in rows for value in row.values[1:-1]]
    assert 0.4 < inner.count(None) / len(inner) < 0.9
    for row in rows:
        values = row.values[1:]  # of few answers to a bare prompt by chance none may be right
        lost = values.index(0.0) if 0.0 in values else len(values)
        assert row.correct == (lost == len(values))
        assert set(values[lost:]) <= {0.0}
    assert any(0.0 in row.values[1:-1] for row in rows)


def test_binary_searches_label_the_first_error(chains, made):
    """Each searched answer is known to its end: right before the error, 0 from it on; and costs log2 S."""
    rows, counts, _ = made(
        0.85, problems=6, answers=8, continuations=32, probing=BINARY, labels=Labels.HARD, searches=5
    )
    wrong = [row for row in rows if not row.correct]
    assert len(wrong) == 5 * 6
    assert any(row.correct for row in rows)
    for row in rows:
        at = first_error(chains, row)
        assert row.values == [1.0] * 9 if at is None else [1.0] * at + [0.0] * (9 - at)
    assert counts["continuations"] == 32 * counts["prefixes"] <= 32 * 3 * len(wrong)


def test_soft_labels_of_a_search_leave_unknown_what_it_did_not_look_at(made):
    """Between two prefixes that were continued nothing is known; a right answer is known at both its ends."""
    rows, _, _ = made(0.85, problems=4, answers=8, continuations=32, probing=BINARY, searches=1)
    for row in rows:
        if row.correct:
            assert row.values[-1] == 1.0
        else:
            last = max(i for i, value in enumerate(row.values) if value)
            assert row.values[last + 1 :] == [0.0] * (8 - last)
        assert None not in (row.values[0], row.values[-1])
    assert any(None in row.values for row in rows)


@pytest.mark.parametrize(("p", "value"), [(0.0, 0.0), (1.0, 1.0)])
def test_hopeless_and_easy_problems_are_rows_without_a_search(made, p, value):
    """Never right: all is lost from the prompt on. Always right: the prompt and the answer are known."""
    rows, counts, _ = made(p, probing=BINARY, labels=Labels.HARD)
    assert [row.values for row in rows] == [[value] * 9]
    assert counts["continuations"] == 0


def test_the_same_seed_draws_the_same(made):
    """Rows are a function of the part's number and the seed."""
    asked = {"p": 0.9, "problems": 3, "partials": 0.5}
    assert made(**asked)[0] == made(**asked)[0] != made(**asked, seed=1)[0]


def test_answers_without_an_end_or_without_steps_are_told_at_once(chains, made, monkeypatch):
    """In the first part, with the option to change; later on one such part may be chance."""
    assert made(0.9, steps=1, continuations=1)[0]
    with pytest.raises(DataError, match=r"no step to value.*--step-delimiter"):
        made(0.9, steps=1, part=0)
    monkeypatch.setattr(type(chains.policy([], 0)), "_one", lambda *_: Sample((7,), (-1.0,), End.LENGTH))
    assert made(0.9)[1]["unfinished"] == 4
    with pytest.raises(DataError, match="None of the first 4 answers ends within 200 tokens"):
        made(0.9, part=0)


@pytest.mark.parametrize(
    "bad",
    [
        {"answers": 0},
        {"partials": 0.0},
        {"partials": 1.5},
        {"searches": 0, "probing": BINARY},
        {"searches": 3},
        {"partials": 0.2, "probing": BINARY},
    ],
)
def test_settings_without_a_meaning_are_refused(bad):
    """Nothing sampled, a share outside (0, 1], what belongs to the other way."""
    with pytest.raises(SettingsError):
        ValueSettings(**bad)


def test_continuations_that_say_nothing_are_refused(chains, made):
    """None at all, or all the same; before anything is sampled."""
    with pytest.raises(SettingsError, match="0 continuations"):
        made(0.9, continuations=0)
    with pytest.raises(SettingsError, match="temperature 0"):
        made(0.9, space=replace(chains.space, temperature=0))

"""A function of the user's as the judge: what it may return, and what it cannot do."""

import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.verifiers import FunctionVerifier, Outcome, load_score, read_score


def test_a_function_that_would_end_the_command_is_an_error(tmp_path):
    """A status of 0 would say that all is well: so when it is called, and when its file is read."""
    (tmp_path / "judge.py").write_text("def score(**_): raise SystemExit(0)")
    verifier = FunctionVerifier(load_score(f"{tmp_path / 'judge.py'}:score"), "mine")
    with pytest.raises(DataError, match="raised SystemExit: 0 at an answer"):
        verifier.verify("5", "5")
    (tmp_path / "script.py").write_text("raise SystemExit(0)")
    with pytest.raises(SettingsError, match="cannot be loaded: SystemExit: 0"):
        load_score(f"{tmp_path / 'script.py'}:score")


@pytest.mark.parametrize("result", [None, (1.0, 0.0), {"reward": 1.0}, {"score": 1.0, "acc": None}, "right"])
def test_what_a_function_may_not_return(result):
    """Anything but a number or a dict with a score is named; True is a number."""
    assert read_score({"score": True}) == (1.0, 1.0)
    with pytest.raises(DataError, match="The reward function returned"):
        FunctionVerifier(lambda **_: result, "any").verify("1", "1")


@pytest.mark.parametrize(
    ("result", "read", "outcome"),
    [
        (-1.0, (-1.0, 0.0), Outcome.WRONG),
        (1, (1.0, 1.0), Outcome.CORRECT),
        (0.5, (0.5, 0.5), Outcome.WRONG),
        (10.0, (10.0, 1.0), Outcome.CORRECT),
        ({"score": -1.0, "acc": False, "pred": "7"}, (-1.0, 0.0), Outcome.WRONG),
        ({"score": -0.5, "acc": True}, (-0.5, 1.0), Outcome.CORRECT),
        ({"score": 1.0, "acc": -1.0}, (1.0, 0.0), Outcome.WRONG),
    ],
)
def test_scores_on_any_scale(result, read, outcome):
    """An accuracy is a share: -1 for a wrong answer, as of DAPO's rewards, is the accuracy 0."""
    assert read_score(result) == read
    assert FunctionVerifier(lambda **_: result, "any").verify("1", "1") is outcome


def test_verls_own_function_judges():
    """What verl scores in training can be searched and corrected: MATH by its last boxed answer."""
    pytest.importorskip("verl")
    score = load_score("verl.utils.reward_score:default_compute_score")
    verifier = FunctionVerifier(score, "lighteval/MATH")
    assert verifier.verify("12", "so it is \\boxed{12}") is Outcome.CORRECT
    assert verifier.verify("12", "so it is \\boxed{13}") is Outcome.WRONG
    assert verifier.verify("12", " ") is Outcome.NO_ANSWER

"""A judge that errs: how often, in which answers, and that it keeps to what it said."""

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.metrics import Proportion
from halluc_plugin.verifiers import ErringVerifier, Outcome


class Twice:
    """Right is twice the number; blanks do not count."""

    data_sources = ("twice",)

    def verify(self, problem, answer):
        """A text without digits is no answer."""
        if not answer.strip().isdigit():
            return Outcome.NO_ANSWER
        return Outcome.CORRECT if int(answer) == 2 * problem["n"] else Outcome.WRONG

    def canonical(self, answer):
        """Without blanks."""
        return answer.strip()


def passed(judge, n=2000):
    """The wrong answers to n problems that are taken for right ones."""
    return {i for i in range(n) if judge.verify({"n": i}, str(2 * i + 1)) is Outcome.CORRECT}


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 1.0])
def test_it_errs_in_its_share_of_wrong_answers_alone(share):
    """Right answers stay right, and a text without an answer stays none."""
    judge = ErringVerifier(Twice(), share)
    found = Proportion.of(len(passed(judge)), 2000)
    assert found.low <= share <= found.high or share in {0.0, 1.0}
    assert len(passed(judge)) == round(2000 * share) or 0 < share < 1
    assert all(judge.verify({"n": i}, str(2 * i)) is Outcome.CORRECT for i in range(50))
    assert all(judge.verify({"n": i}, "none") is Outcome.NO_ANSWER for i in range(50))
    assert judge.data_sources == ("twice",)


def test_it_keeps_to_what_it_said():
    """Asked again, about another spelling, or at a higher rate; another seed errs elsewhere."""
    few, many = (passed(ErringVerifier(Twice(), share)) for share in (0.05, 0.2))
    assert few < many
    assert passed(ErringVerifier(Twice(), 0.05)) == few
    judge = ErringVerifier(Twice(), 0.05)
    assert all(judge.verify({"n": i}, f"  {2 * i + 1} ") is Outcome.CORRECT for i in few)
    assert passed(ErringVerifier(Twice(), 0.05, seed=1)) != few


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(share):
    """With what would do."""
    with pytest.raises(SettingsError, match="Give one"):
        ErringVerifier(Twice(), share)

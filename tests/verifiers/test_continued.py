"""Answers whose beginning is given are judged with it."""

import pytest

from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome, PrefixVerifier
from halluc_plugin.verifiers.continued import continued

PROBLEM = {"numbers": [3, 5, 7], "target": 22}


class OnlyAnswers:
    """Judges no prefixes."""

    data_sources = ("mine",)

    def verify(self, problem, answer):
        """Whether it is the whole."""
        return Outcome.CORRECT if answer == "whole" else Outcome.WRONG


def test_what_is_written_is_judged_behind_the_beginning():
    """Right if both together are; a prefix is dead where the beginning is."""
    made = continued(CountdownVerifier(), "3*5=15\n")
    assert made.verify(PROBLEM, "15+7=22\n") is Outcome.CORRECT
    assert made.verify(PROBLEM, "15-7=8\n") is Outcome.WRONG
    assert made.data_sources == CountdownVerifier().data_sources
    assert made.prefix_ok(PROBLEM, "")
    assert not continued(CountdownVerifier(), "7-5=2\n").prefix_ok(PROBLEM, "")


@pytest.mark.parametrize("beginning", ["", "wh"])
def test_prefixes_are_judged_where_they_were(beginning):
    """A verifier of whole answers alone stays one."""
    assert not isinstance(continued(OnlyAnswers(), beginning), PrefixVerifier)
    assert isinstance(continued(CountdownVerifier(), beginning), PrefixVerifier)
    assert continued(OnlyAnswers(), beginning).verify({}, "whole"[len(beginning) :]) is Outcome.CORRECT

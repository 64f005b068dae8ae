"""What is told of an answer from its record and its verdicts."""

from dataclasses import replace

import pytest

from halluc_plugin.errors import DataError
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import Flip, ShownAnswer, pieces, require_one_vocabulary
from halluc_plugin.viewer.sources.run import of_log

RIGHT, WRONG = Outcome.CORRECT, Outcome.WRONG


def test_a_logged_answer_by_hand(logged):
    """``3 + 8 ⌫ 3 ↵``: one edit, one token deep, wrong before and right after; its group is its uid."""
    shown = of_log(logged)
    assert shown.is_edit == [False, False, False, True, False, False]
    assert (shown.edits, shown.deepest, shown.raw_length) == (1, 1, 6)
    assert (shown.flip, shown.group, shown.left) == (Flip.TO_CORRECT, "u", "3+3\n")
    assert replace(shown, text=None).left == "3+3\n"


def test_what_a_log_knows_of_each_action_is_shown(logged):
    """Log-probs, entropies, P(edit), values, verdicts and the data source; None where the log has none."""
    known = {
        "data_source": "mine", "log_probs": [-1.0] * 6, "entropies": [0.5] * 6, "edit_probs": [0.25] * 6,
        "event_values": [[0.0, 1.0]], "verdicts": [True] * 7,
    }  # fmt: skip
    shown = of_log(replace(logged, **known))
    assert {name: getattr(shown, name) for name in known} == known | {"event_values": [(0.0, 1.0)]}
    assert all(getattr(of_log(logged), name) is None for name in known)


@pytest.mark.parametrize(
    ("scores", "fine", "flip"),
    [
        ({"acc": 1.0, "acc_raw": 0.0}, True, Flip.UNNECESSARY),
        ({"acc": 0.0, "acc_raw": 0.0}, True, Flip.TO_INCORRECT),
        ({"acc": 1.0, "acc_raw": 0.0}, False, Flip.TO_CORRECT),
        ({"acc": 1.0, "acc_raw": 1.0}, False, Flip.TO_CORRECT),
        ({"acc": 1.0, "acc_without_edits": 0.0}, True, Flip.TO_CORRECT),
    ],
)
def test_an_edit_of_fine_text_is_a_false_alarm(logged, scores, fine, flip):
    """Text before the first edit counts where it was judged, unless an answer without edits was sampled."""
    verdicts = [True, True, True, fine, True, True, True]
    assert of_log(replace(logged, scores=scores, verdicts=verdicts)).flip is flip


@pytest.mark.parametrize(
    ("first", "last", "flip"),
    [
        (WRONG, RIGHT, Flip.TO_CORRECT),
        (Outcome.NO_ANSWER, RIGHT, Flip.TO_CORRECT),
        (RIGHT, WRONG, Flip.TO_INCORRECT),
        (RIGHT, RIGHT, Flip.UNNECESSARY),
        (WRONG, WRONG, Flip.NONE),
        (None, RIGHT, Flip.NONE),
        (RIGHT, None, Flip.NONE),
    ],
)
def test_flips(logged, first, last, flip):
    """By the verdicts without and with edits; an answer without edits has none."""
    shown = replace(of_log(logged), first_outcome=first, outcome=last)
    assert shown.flip is flip
    assert replace(shown, record=None, tokens=["3"]).flip is Flip.NONE


def test_pieces_of_a_text():
    """Edit tokens stand alone; what is left of an answer without ids is the rest."""
    assert pieces("4<|BACKTRACK|><|RESTART|>5") == ["4", "<|BACKTRACK|>", "<|RESTART|>", "5"]
    shown = ShownAnswer(answer="a", prompt="", tokens=pieces("4<|BACKTRACK|>5"))
    assert (shown.edits, shown.deepest, shown.left) == (1, None, "45")


def test_a_mix_of_vocabularies(logged, tmp_path):
    """Ids that mean different things in two answers are refused with the ids."""
    shown = of_log(logged)
    require_one_vocabulary(tmp_path, [shown, shown])
    moved = replace(shown, record=replace(shown.record, ids=(0, 1, 2, 9, 0, 3)))
    with pytest.raises(DataError, match=r"mixes vocabularies: <\|BACKTRACK\|> has the ids 4 and 9"):
        require_one_vocabulary(tmp_path, [shown, moved])
    named = replace(shown, tokens=["3", "+", "8", "<|RESTART|>", "3", "\n"])
    with pytest.raises(DataError, match=r"the id 4 is <\|BACKTRACK\|> and <\|RESTART\|>"):
        require_one_vocabulary(tmp_path, [shown, named])

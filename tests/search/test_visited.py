"""What a search wrote on the way, by hand: 0 is EOS, 1 ends a step, 2 takes back, the prompt is (9,)."""

from dataclasses import replace

import pytest

from halluc_plugin.edits import read_record
from halluc_plugin.search import (
    Cost,
    End,
    Found,
    Request,
    Response,
    Sample,
    breadth_first,
    run,
    self_backtracking,
)
from halluc_plugin.search import visited as module
from halluc_plugin.search.visited import visited

PROMPT = (9,)


class Digits:
    """A tokenizer whose texts are the ids."""

    def decode(self, ids):
        """The ids, joined."""
        return "".join(map(str, ids))


@pytest.fixture
def backtracked(space, script):
    """Two samples, of which the first is rolled back by a step, and two more from where that led."""
    model = script({
        PROMPT: [((3, 1, 4, 1, 2), -1.0), ((5, 0), -2.0)],
        (9, 3, 1): [((6, 0), -0.5), ((7, 1, 2), -1.0)],
    })  # fmt: skip
    (found,) = run([self_backtracking(PROMPT, space, n=2, rounds=1)], [PROMPT], model)
    return found


def test_samples_and_states_of_self_backtracking(backtracked, space):
    """Each sample follows its state; an edit erases the last step of its branch, the end all others."""
    told = visited(PROMPT, backtracked, Response((3, 1, 6, 0)), space, Digits())
    record = read_record(told["trace"])
    assert record.ids == (3, 1, 4, 1, 2, 5, 0, 6, 0, 7, 1, 2)
    assert record.parent == (-1, 0, 1, 2, 3, -1, 5, 1, 7, 1, 9, 10)
    assert told["starts"] == [0, 5, 7, 9]
    assert [at for at, live in enumerate(record.live) if live] == [0, 1, 7, 8]
    assert record.erased_at == (None, None, 4, 4, None, 11, 11, None, None, 11, 11, None)
    events = [(e.start, e.stop, e.erased, e.depth_before, e.depth_after) for e in record.events]
    assert events == [(4, 5, (2, 3), 4, 2), (11, 12, (9, 10), 4, 2)]
    assert record.resolved == (3, 1, 6, 0)
    assert told["tokens"] == list("314125060712")
    assert told["log_probs"] == [-1.0] * 5 + [-2.0] * 2 + [-0.5] * 2 + [-1.0] * 3
    assert (told["entropies"], told["edit_probs"], told["left_out"]) == (None, None, 0)


def test_where_nothing_was_selected_nothing_is_live(backtracked, space):
    """All that was written was given up, and edits are still told from it."""
    record = read_record(visited(PROMPT, backtracked, None, space, Digits())["trace"])
    assert not any(record.live)
    assert [at for at, end in enumerate(record.erased_at) if end is None] == [4, 11]


def test_equal_states_are_one(space, script):
    """Two samples write the same step; what follows from it follows the first that wrote it."""
    model = script({
        PROMPT: [((3, 1), -1.0), ((3, 1), -1.0)], (9, 3, 1): [((4, 0), -1.0), ((5, 1), -1.0)],
        (9, 3, 1, 5, 1): [((6, 0), -1.0), ((6, 0), -1.0)],
    })  # fmt: skip
    (found,) = run([breadth_first(PROMPT, space, 2, 2)], [PROMPT], model)
    record = read_record(visited(PROMPT, found, found.responses[-1], space, Digits())["trace"])
    assert record.ids == (3, 1, 3, 1, 4, 0, 5, 1, 6, 0, 6, 0)
    assert record.parent == (-1, 0, -1, 2, 1, 4, 1, 6, 7, 8, 7, 10)
    assert record.resolved == (3, 1, 5, 1, 6, 0)
    assert record.events == ()


def test_an_edit_at_the_end_of_a_step_takes_back_the_whole_step(space):
    """Though another sample wrote it, and though the answer is made of it."""
    steps = ((PROMPT, (3, 1)), ((9, 3, 1), (2,)), ((9, 3, 1), (4, 0)))
    samples = [
        (Request(prefix, 12, 1.0, frozenset()), Sample(ids, (-1.0,) * len(ids), space.end(ids[-1])))
        for prefix, ids in steps
    ]
    told = visited(PROMPT, Found([], Cost(1), samples), Response((3, 1, 4, 0)), space, Digits())
    record = read_record(told["trace"])
    assert (record.events[0].erased, record.events[0].depth_after) == ((0, 1), 0)
    assert record.live == (True, True, False, True, True)
    assert record.erased_at == (None,) * 5


def test_what_is_left_out_is_counted(backtracked, space, monkeypatch):
    """Samples behind another prompt, or beyond the most that is kept; of the answer nothing is missing."""
    asked = Sample((8, 8, 0), (-1.0,) * 3, End.EOS)
    other = replace(
        backtracked, samples=[*backtracked.samples, (Request((7, 7), 9, 1.0, frozenset()), asked)]
    )
    assert visited(PROMPT, other, None, space, Digits())["left_out"] == 3
    monkeypatch.setattr(module, "MOST", 5)
    answer = Response((3, 1, 6, 0), (-1.0, -1.0, -0.5, -0.5))
    told = visited(PROMPT, backtracked, answer, space, Digits())
    assert told["left_out"] == 7
    assert told["trace"]["ids"] == [3, 1, 4, 1, 2, 6, 0]
    assert told["trace"]["resolved"] == [3, 1, 6, 0]
    assert told["log_probs"][5:] == [-0.5, -0.5]


def test_beams_are_the_samples_of_a_search_that_tells_none(space):
    """Each of them is there, beginnings that they share once."""
    beams = [Response((3, 1, 0), (-1.0,) * 3), Response((3, 4, 0), (-1.0,) * 3)]
    told = visited(PROMPT, Found(beams, Cost(1)), beams[0], space, Digits())
    assert told["trace"]["ids"] == [3, 1, 0, 4, 0]
    assert told["trace"]["parent"] == [-1, 0, 1, 0, 3]
    assert told["starts"] == [0, 3]

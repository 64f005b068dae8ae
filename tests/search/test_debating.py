"""Debates, by hand: 0 is EOS, 1 ends a step, 2 takes back, (9,) is asked, (8,) asks for another answer."""

from dataclasses import replace

import pytest

from halluc_plugin.edits import read_record
from halluc_plugin.errors import SettingsError
from halluc_plugin.search import End, Response, Sample, debating, run
from halluc_plugin.search.debating import resolved
from halluc_plugin.search.visited import visited

PROMPT, REQUEST = (9,), (8,)


class Digits:
    """A tokenizer whose texts are the ids."""

    def decode(self, ids):
        """The ids, joined."""
        return "".join(map(str, ids))


def searched(space, script, table, copies, rounds):
    """What was found, and the prefixes of each round."""
    sampler = script({prefix: [(ids, -1.0) for ids in samples] for prefix, samples in table.items()})
    (found,) = run([debating(PROMPT, space, copies, rounds, REQUEST)], [PROMPT], sampler)
    return found, sampler.calls


TABLE = {
    PROMPT: [(5, 0), (6, 2, 7, 0), (4, 4)],
    (9, 5, 0, 7, 0, 8): [(7, 0)],
    (9, 7, 0, 5, 0, 8): [(7, 0)],
}


def test_each_reads_its_own_answer_and_then_those_of_the_others(space, script):
    """What an edit took back is not shown, nor an answer without an end; the last ones are found."""
    table = TABLE | {(9, 5, 0, 7, 0, 8): [(7, 0), (3, 0)]}
    found, calls = searched(space, script, table, 3, 1)
    assert calls == [[PROMPT] * 3, [(9, 5, 0, 7, 0, 8), (9, 7, 0, 5, 0, 8), (9, 5, 0, 7, 0, 8)]]
    assert [response.ids for response in found.responses] == [(7, 0), (7, 0), (3, 0)]
    assert found.cost.tokens == 2 + 4 + 2 + 2 + 2 + 2


def test_a_copy_that_does_not_end_keeps_its_answer(space, script):
    """The second round reads what the first one left."""
    table = {
        PROMPT: [(5, 0), (7, 0)],
        (9, 5, 0, 7, 0, 8): [(3, 3)],
        (9, 7, 0, 5, 0, 8): [(6, 0)],
        (9, 5, 0, 6, 0, 8): [(3, 0)],
        (9, 6, 0, 5, 0, 8): [(3, 3)],
    }
    assert [r.ids for r in searched(space, script, table, 2, 1)[0].responses] == [(5, 0), (6, 0)]
    assert [r.ids for r in searched(space, script, table, 2, 2)[0].responses] == [(3, 0), (6, 0)]


def test_nothing_to_read_is_the_bare_prompt(space, script):
    """Without an answer that ended there is no request, either."""
    found, calls = searched(space, script, {PROMPT: [(3, 3), (4, 4), (5, 0), (6, 6)]}, 2, 1)
    assert calls == [[PROMPT] * 2] * 2
    assert [r.ids for r in found.responses] == [(5, 0)]


def test_what_is_left_of_a_trace_keeps_what_is_known_of_it(space):
    """6 is taken back, with its log-prob; an engine may report no entropies."""
    sample = Sample((6, 2, 7, 0), (-1.0, -2.0, -3.0, -4.0), End.EOS, edit_probs=(0.1, 0.2, 0.3, 0.4))
    left = resolved(sample, space)
    assert (left.ids, left.logprobs, left.edit_probs) == ((7, 0), (-3.0, -4.0), (0.3, 0.4))
    assert left.entropies == ()
    assert resolved(replace(sample, end=End.LENGTH), space) is None


def test_all_that_was_written_is_kept_behind_the_prompt(space, script):
    """Each answer is a branch of its own, in which an edit takes back one token."""
    table = {PROMPT: TABLE[PROMPT][:2], (9, 5, 0, 7, 0, 8): [(7, 0)], (9, 7, 0, 5, 0, 8): [(7, 0)]}
    found, _ = searched(space, script, table, 2, 1)
    told = visited(PROMPT, found, Response((7, 0)), space, Digits())
    record = read_record(told["trace"])
    assert (record.ids, told["left_out"]) == ((5, 0, 6, 2, 7, 0, 7, 0, 7, 0), 0)
    assert record.parent == (-1, 0, -1, 2, -1, 4, -1, 6, -1, 8)
    assert [(e.start, e.erased, e.depth_after) for e in record.events] == [(3, (2,), 0)]
    assert [at for at, live in enumerate(record.live) if live] == [4, 5]


@pytest.mark.parametrize(
    ("copies", "rounds", "request_ids", "said"),
    [(1, 1, (8,), "1 copies"), (2, 0, (8,), "0 rounds"), (2, 1, (), "request of a debate is empty")],
)
def test_bad_settings_are_refused(space, copies, rounds, request_ids, said):
    """No other answer, no round in which it is read, nothing that asks for another."""
    with pytest.raises(SettingsError, match=said):
        debating(PROMPT, space, copies, rounds, request_ids)

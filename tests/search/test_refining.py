"""Refining finished answers, by hand: 0 is EOS, 1 ends a step, 2 takes back, 3 restarts, (9,) is asked."""

from dataclasses import replace

import pytest

from halluc_plugin.edits import EditVocab, read_record
from halluc_plugin.errors import EditVocabError, SettingsError
from halluc_plugin.search import End, Response, Rule, Sample, refining, run, select
from halluc_plugin.search.visited import visited

PROMPT, RESTART = (9,), 3


class Digits:
    """A tokenizer whose texts are the ids."""

    def decode(self, ids):
        """The ids, joined."""
        return "".join(map(str, ids))


class Script:
    """Answers requests from a table, prefix to the samples drawn from there, and keeps the requests."""

    def __init__(self, space, table):
        self.space, self.left, self.asked = space, {k: list(v) for k, v in table.items()}, []

    def sample(self, requests):
        """The next sample of each prefix; the last action was an edit with probability 0.25."""
        self.asked += requests
        samples = []
        for request in requests:
            ids = self.left[request.prefix].pop(0)
            end = self.space.end(ids[-1]) or End.LENGTH
            told = (0.0,) * (len(ids) - 1) + (0.25,)
            samples.append(Sample(ids, (-1.0,) * len(ids), end, told, told))
        return samples


@pytest.fixture
def restarting(space):
    """The space of the other tests, with a restart."""
    return replace(space, vocab=EditVocab(backtrack=2, restart=RESTART))


def searched(space, table, n, rounds):
    """What was found, and what was asked."""
    script = Script(space, table)
    (found,) = run([refining(PROMPT, space, n, rounds)], [PROMPT], script)
    return found, script.asked


TABLE = {
    PROMPT: [(5, 0), (6, 7, 3), (8, 2)],
    (9, 6, 7, 3): [(4, 3)],
    (9, 6, 7, 3, 4, 3): [(5, 0)],
}


def test_a_restarted_answer_goes_on_behind_all_that_was_written(restarting):
    """The model sees its attempts; the response is the last one; another edit is dropped."""
    found, asked = searched(restarting, TABLE, 3, 2)
    assert [response.ids for response in found.responses] == [(5, 0), (5, 0)]
    assert [request.prefix for request in asked] == [PROMPT] * 3 + [(9, 6, 7, 3), (9, 6, 7, 3, 4, 3)]
    assert [request.max_tokens for request in asked] == [12, 12, 12, 9, 7]
    assert found.cost.tokens == 2 + 3 + 2 + 2 + 2
    assert found.responses[1].confidence == 0.75


def test_rounds_limit_refinements(restarting):
    """What would be refined once more is dropped; no round, no refinement."""
    assert [r.ids for r in searched(restarting, TABLE, 3, 1)[0].responses] == [(5, 0)]
    assert len(searched(restarting, TABLE, 3, 0)[1]) == 3


def test_room_is_that_of_all_attempts(restarting):
    """An attempt that fills it cannot be refined."""
    tight = replace(restarting, max_tokens=3)
    assert len(searched(tight, TABLE, 3, 2)[1]) == 3


def test_all_that_was_written_is_kept(restarting):
    """A restart erases its attempt; the next one begins at the prompt again."""
    found, _ = searched(restarting, TABLE, 2, 2)
    told = visited(PROMPT, found, found.responses[1], restarting, Digits())
    record = read_record(told["trace"])
    assert (record.ids, told["left_out"]) == ((5, 0, 6, 7, 3, 4, 3, 5, 0), 0)
    assert record.parent == (-1, 0, -1, 2, 3, -1, 5, -1, 7)
    assert [(e.start, e.erased, e.depth_after) for e in record.events] == [(4, (2, 3), 0), (6, (5,), 0)]
    assert record.resolved == (5, 0)


def test_confidence_outvotes_numbers():
    """Two answers that would be taken back count less than one that stands: 0.1 + 0.2 against 0.9."""
    doubted = [Response((5, 0), (-1.0,) * 2, (), (0.0, p)) for p in (0.9, 0.8)]
    stands = Response((6, 0), (-2.0,) * 2, (), (0.5, 0.1))
    found = [*doubted, stands]
    assert select(found, Rule.CONFIDENCE, lambda r: r.ids[0]) is stands
    assert select(found, Rule.MAJORITY, lambda r: r.ids[0]) is doubted[0]


def test_what_an_engine_does_not_report_is_refused():
    """Without the probability of an edit there is no confidence."""
    with pytest.raises(SettingsError, match="its engine does not report"):
        select([Response((5, 0), (-1.0,) * 2)], Rule.CONFIDENCE, lambda r: r.ids[0])


def test_bad_settings_are_refused(space, restarting):
    """A vocabulary without a restart, no sample, fewer rounds than none."""
    with pytest.raises(EditVocabError, match="no restart token"):
        refining(PROMPT, space, 1, 1)
    for n, rounds in ((0, 1), (1, -1)):
        with pytest.raises(SettingsError, match=f"n is {n} and rounds {rounds}"):
            refining(PROMPT, restarting, n, rounds)

"""Universal self-consistency: what is read, what a response scores, and what that costs."""

from types import SimpleNamespace

import pytest
import torch

from halluc_plugin.errors import SettingsError
from halluc_plugin.scorers.consistency import ConsistencyScorer
from halluc_plugin.search import Response, Rule, select

PROMPT, REQUEST = (9,), (8,)
RESPONSES = [Response((5, 0), (-1.0,) * 2), Response((6, 0), (-9.0,) * 2), Response((6, 0), (-9.0,) * 2)]


class Counting:
    """A model for which the next token is as likely as it is frequent in the text so far."""

    device = torch.device("cpu")
    config = SimpleNamespace(get_text_config=lambda: None)

    def __call__(self, ids, attention_mask):
        """Log-probs of a count, plus one for each of ten ids."""
        seen = torch.nn.functional.one_hot(ids, 10).cumsum(1) + 1.0
        return SimpleNamespace(logits=(seen / seen.sum(-1, keepdim=True)).log())


@pytest.fixture
def scorer(monkeypatch):
    """Of the counting model, which has no sizes."""
    monkeypatch.setattr("halluc_plugin.scorers.consistency.decoder_shape", lambda config: config)
    return ConsistencyScorer(Counting(), REQUEST)


def test_all_answers_are_read_before_each(scorer):
    """Behind 9 5 0 6 0 6 0 8, of ten ids: 5 has 2 of 18, 6 has 3 of 18, then 0 has 4 of 19."""
    five, six = ((torch.tensor([n / 18, 4 / 19]).log().mean().item()) for n in (2, 3))
    assert scorer.score(PROMPT, RESPONSES) == pytest.approx([five, six, six])
    assert scorer.score(PROMPT, RESPONSES[:1]) != pytest.approx([five])


def test_the_answer_that_it_would_write_is_chosen(scorer):
    """Not the one that was likelier when it was sampled."""

    def score(found):
        return scorer.score(PROMPT, found)

    assert select(RESPONSES, Rule.UNIVERSAL, lambda r: r.ids, score).ids == (6, 0)
    assert select(RESPONSES, Rule.MEAN_LOGPROB, lambda r: r.ids).ids == (5, 0)


def test_reading_and_scoring_are_paid_for(scorer):
    """The eight ids that are read, and two distinct responses of two; nothing is sampled."""
    cost = scorer.cost(PROMPT, RESPONSES)
    assert (cost.tokens, cost.slots) == (0, 8 + 2 + 2)
    assert cost.context == 8 * 9 // 2 + 2 * (9 + 10)


def test_an_empty_request_is_refused():
    """Nothing would tell shown answers from the one that is scored."""
    with pytest.raises(SettingsError, match="request behind shown answers is empty"):
        ConsistencyScorer(Counting(), ())

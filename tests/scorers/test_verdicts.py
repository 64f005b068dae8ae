"""A learned verifier: what it is trained on, and how it scores."""

import pytest
import torch

from halluc_plugin.errors import TokenizerError
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.scorers import verdicts
from halluc_plugin.scorers.verdicts import VerdictScorer, verdict_example, verdict_id
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Response

TOKENIZER = number_tokenizer()
PROMPT = tuple(TOKENIZER.encode("3 5 -> 8\n"))
RESPONSES = [
    Response((*TOKENIZER.encode(text), TOKENIZER.eos_token_id))
    for text in ("3+5=8\n", "5\n", "3+5=8\n", "3*5\n")
]


@pytest.mark.parametrize("rows", [2, 64])
def test_scores_are_log_odds_of_the_verdict(monkeypatch, rows):
    """Of right against wrong behind each response, however many share a forward pass.

    Equal responses score alike, and are paid for once.
    """
    monkeypatch.setattr(verdicts, "ROWS", rows)
    model = new_model(TOKENIZER, Size.TINY, seed=0).eval()
    scorer = VerdictScorer(model, TOKENIZER)
    scores = scorer.score(PROMPT, RESPONSES)
    right, wrong = TOKENIZER.encode("1")[0], TOKENIZER.encode("0")[0]
    for response, score in zip(RESPONSES, scores, strict=True):
        with torch.no_grad():
            last = model(torch.tensor([[*PROMPT, *response.ids]])).logits[0, -1]
        assert score == pytest.approx(float(last[right] - last[wrong]), abs=1e-4)
    assert scores[0] == scores[2]
    lengths = [len(PROMPT), *(len(RESPONSES[i].ids) for i in (0, 1, 3))]
    context = len(PROMPT) * (len(PROMPT) + 1) // 2
    context += sum(n * len(PROMPT) + n * (n + 1) // 2 for n in lengths[1:])
    assert scorer.flops(PROMPT, RESPONSES) == decoder_shape(model.config).flops(sum(lengths), context)
    assert scorer.score(PROMPT, []) == []


def test_examples_end_in_the_verdict():
    """Prompt and response are read, the verdict is written."""
    for correct, text in ((True, "1"), (False, "0")):
        row = verdict_example(PROMPT, RESPONSES[1].ids, correct=correct, tokenizer=TOKENIZER)
        assert row.prompt_ids == [*PROMPT, *RESPONSES[1].ids]
        assert row.response_ids == TOKENIZER.encode(text)


def test_a_verdict_of_several_tokens_is_refused():
    """The odds would be those of its beginning."""
    with pytest.raises(TokenizerError, match="is 3 tokens"):
        verdict_id(TOKENIZER, "yes")

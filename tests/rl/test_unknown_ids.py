"""The small trainer on a model with more rows than its tokenizer has tokens."""

import pytest
import torch

from halluc_plugin.decoding import Context, Decoding, decode
from halluc_plugin.edits import EditVocab, resolve_rows
from halluc_plugin.hard import without_unknown
from halluc_plugin.rl.policy import score_policy
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import load
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab


@pytest.mark.parametrize("context", list(Context))
def test_the_actor_s_log_probs_are_those_of_the_sampler(context):
    """Rows that are no token are out of both softmaxes, and take no gradient."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    size, vocab = len(tokenizer), edit_vocab(tokenizer)
    torch.manual_seed(0)
    model.resize_token_embeddings(2 * size, mean_resizing=False)
    with torch.no_grad():
        model.get_output_embeddings().weight.normal_(0, 0.5)
    decoding = Decoding(vocab, 16, context, temperature=0.8)
    prompts = [[1, 2, 3], [4], [5, 6]] * 4
    traces = decode(model, prompts, decoding, generator=torch.Generator().manual_seed(0))
    assert max(token for trace in traces for token in trace.ids) < size
    resolution = resolve_rows([trace.ids for trace in traces], vocab)
    settings = load({"context": context.value})
    scores = score_policy(model, prompts, resolution, settings, temperature=0.8)
    want = torch.tensor([trace.logprobs for trace in traces])
    torch.testing.assert_close(scores.log_probs.detach(), want, atol=1e-4, rtol=0)
    assert torch.isfinite(scores.entropy).all()
    (scores.log_probs.sum() + scores.entropy.sum()).backward()
    gradient = model.get_output_embeddings().weight.grad
    assert torch.isfinite(gradient).all()
    assert gradient[:size].abs().sum() > 0
    if not model.config.tie_word_embeddings:
        assert gradient[size:].abs().sum() == 0


def test_gaps_and_rows_beyond_are_unknown():
    """By hand: 7 and 9 are gaps, the tokenizer ends before 12, the model has 14 rows."""
    vocab = EditVocab(backtrack=3, size=12, gaps=frozenset({7, 9}))
    assert vocab.unknown_ids(14) == [7, 9, 12, 13]
    assert vocab.unknown_ids(8) == [7]
    assert EditVocab(backtrack=3).unknown_ids(14) == []
    logits = without_unknown(torch.zeros(2, 14), vocab)
    assert logits.isneginf().nonzero()[:, 1].tolist() == [7, 9, 12, 13] * 2


def test_a_vocabulary_knows_the_extent_of_a_tokenizer_with_gaps():
    """``len`` counts tokens; ids may go further, and leave some out."""

    class Gaps:
        """Five tokens, ids up to 9."""

        def get_vocab(self):
            """Text to id."""
            return {"a": 0, "b": 1, "c": 5, "d": 8, "e": 9}

    from halluc_plugin.tokens import vocab_of
    from halluc_plugin.tokens.vocabulary import extent

    assert extent(Gaps()) == (10, {2, 3, 4, 6, 7})
    assert vocab_of(Gaps()).backtrack == 10

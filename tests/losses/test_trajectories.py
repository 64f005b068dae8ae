"""Q- and V-values of a model's own forward, against a forward of each collapsed prefix by itself."""

import pytest
import torch

from halluc_plugin.edits import collapse, resolve
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses import score_trajectories
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of


@pytest.mark.parametrize("erased", [ErasedTokens.MASK, ErasedTokens.KEEP])
def test_values_are_those_of_the_collapsed_prefix(erased):
    """Before each action and behind the last, edits and nested errors included; ends and masks by hand."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    vocab, eos, b = vocab_of(tokenizer), tokenizer.eos_token_id, vocab_of(tokenizer).backtrack
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    prompts = [[300, 301, 302], [300, 305, 306]]
    responses = [[310, 311, b, 312, b, b, 313, eos], [b, 320, 321, b]]
    width = max(map(len, responses))
    ids = torch.tensor([row + [7] * (width - len(row)) for row in responses])
    valid = torch.arange(width) < torch.tensor([len(row) for row in responses])[:, None]
    found = score_trajectories(
        model, torch.tensor(prompts), torch.ones(2, 3, dtype=torch.bool), resolve(ids, valid, vocab),
        eos_ids={eos}, erased=erased,
    )  # fmt: skip
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        for at in range(len(response) + 1):
            with torch.no_grad():
                live = collapse(response[:at], vocab)
                logits = model(torch.tensor([prompt + live])).logits[0, -1]
            assert float(found.v[row, at]) == pytest.approx(float(logits.logsumexp(0)), abs=1e-4)
            if at < len(response):
                assert float(found.q[row, at]) == pytest.approx(float(logits[response[at]]), abs=1e-4)
    assert found.ended.tolist() == [True, False]
    kept = erased is ErasedTokens.KEEP
    assert found.imitated[0].tolist() == [kept, kept, True, kept, True, True, True, True]
    assert found.imitated[1].tolist() == [True, True, kept, True, False, False, False, False]

"""A real vLLM engine in soft context obeys budgets, and its log-probs are those of the restricted policy."""

import pytest
import torch

from halluc_plugin.edits import resolve_row
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.vllm_engine.equivalence import VOCAB, VOCAB_SIZE
from halluc_plugin.vllm_engine.request import EditRequest

pytest.importorskip("vllm")


@pytest.mark.e2e
def test_budgets_are_obeyed_and_log_probs_are_exact(model, results):
    """In one mixed batch every trace keeps its limits, and each log-prob equals HF's under the same ban."""
    spent = 0
    is_edit = torch.isin(torch.arange(VOCAB_SIZE), torch.tensor(sorted(VOCAB.edit_ids)))
    for answer in results["soft"]["answers"]:
        request = EditRequest.from_extra_args(answer["extra_args"])
        resolution = resolve_row(answer["ids"], VOCAB)
        # Raises if an edit stands where it was banned.
        banned = budget_mask(resolution, request.budget, request.boundary)[0]
        spent += request.budget is not None and int(resolution.num_effective[0]) == request.budget
        whole = torch.tensor([answer["prompt"] + answer["ids"]])
        with torch.no_grad():
            logits = model(whole).logits[0, len(answer["prompt"]) - 1 : -1]
        for token, bias in answer["sampling"]["logit_bias"].items():
            logits[:, int(token)] += bias
        log_p = (logits / 0.8).masked_fill(banned[:, None] & is_edit, -torch.inf).log_softmax(-1)
        want = log_p.gather(-1, torch.tensor(answer["ids"])[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(answer["logprobs"]), want, atol=1e-4, rtol=0)
    assert spent >= 8, "the test's traces should reach their budgets"

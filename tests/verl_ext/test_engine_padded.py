"""The actor's updates on packed rows are those of the path before: padded rows, dense masks, all logits."""

import pytest
import torch
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import agg_loss, get_policy_loss_fn
from verl.utils import tensordict_utils as tu
from verl.workers.config import ActorConfig
from verl.workers.utils.padding import no_padding_2_padding

from halluc_plugin.acceptance.padded import padded_scores
from halluc_plugin.edits import Boundary, budget_mask, pad_rows, resolve_rows
from halluc_plugin.settings import load
from tests.verl_ext.test_engine import VOCAB, B, R, make_engine, make_model, outputs

PROMPTS = [[1, 2, 3], [4], [5, 6], [3, 8, 9, 1], [2], [9, 9]]
RESPONSES = [
    [7, B, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8],
    [7, 7],
    [7, B, 8, B, 9],  # fills the budget of 2
    [],  # an empty answer
    [R, B, R],  # edits alone, where the boundary may be tried
    [7, 8, R, 9, 10, 11],
]
MICRO_BATCHES = [[0, 1], [2], [3, 4], [5]]
UPDATES, TEMPERATURE, ENTROPY_COEFFICIENT = 4, 0.7, 0.01


def nested(rows):
    """As verl keeps rows: without padding."""
    return torch.nested.as_nested_tensor(
        [torch.tensor(row, dtype=torch.long) for row in rows], layout=torch.jagged
    )


def micro_batch(rows) -> TensorDict:
    """Some of the recorded rows as they reach the engine."""
    prompts, responses = [PROMPTS[row] for row in rows], [RESPONSES[row] for row in rows]
    whole = [p + r for p, r in zip(prompts, responses, strict=True)]
    columns = {
        "prompts": nested(prompts),
        "responses": nested(responses),
        "input_ids": nested(whole),
        "position_ids": nested([list(range(len(row))) for row in whole]),
    }
    options = {"use_remove_padding": True, "calculate_entropy": True, "temperature": TEMPERATURE}
    return tu.get_tensordict(columns, options)


def by_the_engine(model, block):
    """Log-probs and entropies (Float[B, T] each) of some rows, as the actor reads them."""
    engine = make_engine(model, load(block))

    def score(rows):
        batch = micro_batch(rows)
        found = outputs(engine, batch)
        return tuple(no_padding_2_padding(found[name], batch) for name in ("log_probs", "entropy"))

    return score


def by_padded_rows(model, block):
    """The same by the path before."""
    budget, boundary = block.get("max_backtracks"), Boundary(block.get("boundary", "noop"))

    def score(rows):
        resolution = resolve_rows([RESPONSES[row] for row in rows], VOCAB)
        banned = budget_mask(resolution, budget, boundary) if budget is not None else None
        prompts = pad_rows([PROMPTS[row] for row in rows])
        return padded_scores(model, *prompts, resolution, temperature=TEMPERATURE, banned=banned)[:2]

    return score


def updates(way, block):
    """What each of some updates with verl's loss read and did: log-probs, losses, and gradients by name."""
    model = make_model(rows=20)
    model.train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    score, config = way(model, block), ActorConfig(strategy="fsdp2", rollout_n=1, use_dynamic_bsz=True)
    policy_loss = get_policy_loss_fn("vanilla")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(2)
    advantages = torch.randn(len(PROMPTS), 1, generator=generator)
    with torch.no_grad():
        old = [score(rows)[0] for rows in MICRO_BATCHES]
    found = []
    for _ in range(UPDATES):
        optimizer.zero_grad()
        log_probs, losses = [], []
        for rows, before in zip(MICRO_BATCHES, old, strict=True):
            now, entropy = score(rows)
            lengths = torch.tensor([[len(RESPONSES[row])] for row in rows])
            valid = torch.arange(now.shape[1]) < lengths
            loss, _ = policy_loss(
                before, now, advantages[rows].expand(now.shape), valid, "token-mean", config
            )
            loss = loss - ENTROPY_COEFFICIENT * agg_loss(entropy, valid, "token-mean")
            loss.backward()
            log_probs.append(now.detach()[valid])
            losses.append(loss.detach())
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        found.append((torch.cat(log_probs), torch.stack(losses), gradients))
        optimizer.step()
    return found


@pytest.mark.parametrize(
    "block",
    [{}, {"max_backtracks": 2}, {"max_backtracks": 2, "boundary": "mask"}],
    ids=["free", "budget", "budget and boundary"],
)
def test_updates_are_those_of_padded_rows(block, monkeypatch):
    """One recorded batch, update by update: log-probs, losses and gradients of the actor are as before."""
    if "boundary" in block:
        monkeypatch.setattr(f"{__name__}.RESPONSES", [*RESPONSES[:4], [7, R], RESPONSES[5]])
    packed = updates(by_the_engine, {"context": "hard", **block})
    padded = updates(by_padded_rows, block)
    for number, ((log_probs, losses, gradients), want) in enumerate(zip(packed, padded, strict=True)):
        near = {"atol": 1e-5 if number == 0 else 1e-4, "rtol": 1e-5}
        assert torch.equal(log_probs.isfinite(), want[0].isfinite())
        torch.testing.assert_close(log_probs, want[0], **near)
        torch.testing.assert_close(losses, want[1], **near)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, want[2][name], **near)
    assert not torch.allclose(packed[0][0], packed[-1][0], atol=1e-2)  # it did learn something

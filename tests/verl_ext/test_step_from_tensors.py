"""A step of GRPO driven from plain tensors is the step that verl's trainer and our adapter make of it."""

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from halluc_plugin.credit import group_relative, spread
from halluc_plugin.rewards.influence import unchanged_groups
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.rl.drift import compare
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.step_metrics import ProblemRow, drawn, event_metrics, rollout_metrics, stage_metrics
from halluc_plugin.settings import load
from halluc_plugin.tasks import find_verifier
from halluc_plugin.trace_log import logged_steps, logged_trace, read_step
from tests.verl_ext.step_queue import PROBLEM, info, nested, queue

__all__ = ["queue"]  # a fixture

TEXTS = ["12<|BACKTRACK|>3", "12", "1+2=3\n<|BACKTRACK|><|BACKTRACK|>3", "2+1=3\n"]
KEYS = ["u_0_0", "u_1_0", "v_0_0", "v_1_0"]
SCORES = [1.0, 0.0, 0.25, 1.0]
MOVES = ["[[0.0, 1.0]]", "[]", "[[1.0, 0.5]]", "[]"]
BLOCK = {
    "erased_tokens": "negative",
    "credit": {"alpha": 0.25},
    "curriculum": [{"steps": 5, "max_backtracks": 3}, {}],
}


@pytest.fixture
def by_verl(queue, tokenizer, monkeypatch, tmp_path):
    """Advantages, metrics and the logged answers of a step that verl's trainer carries."""
    ids = [tokenizer.encode(text) for text in TEXTS]
    masks = [[1.0] * len(row) for row in ids]
    table = {
        "rewards": [[0.0] * (len(row) - 1) + [s] for row, s in zip(ids, SCORES, strict=True)],
        "masks": masks,
    }
    padded = {name: nested(rows).to_padded_tensor(0.0) for name, rows in table.items()}
    whole, _ = get_adv_estimator_fn("backtrack_grpo")(
        token_level_rewards=padded["rewards"], response_mask=padded["masks"],
        index=np.array([key.split("_")[0] for key in KEYS], dtype=object),
    )  # fmt: skip
    batch = queue.fill(
        keys=[*KEYS, "fill"], responses=[*TEXTS, "0"], masks=[*masks, [0.0]],
        advantages=[*([*row[: len(own)].tolist()] for row, own in zip(whole, ids, strict=True)), [0.0]],
        scores=[*SCORES, 0.0], infos=[*(info(moves=moves) for moves in MOVES), info(moves="null")],
    )  # fmt: skip
    trainer = queue.trainer(**BLOCK)
    metrics = {}
    trainer._compute_advantage(batch, metrics)
    trainer._compute_metrics(batch, metrics, {}, global_steps=3, epoch=0)
    return queue.put, metrics, read_step(logged_steps(tmp_path)[3])


def test_a_step_from_plain_tensors(by_verl, tokenizer):
    """Advantages, credit, metrics and the log are the same numbers, without trainer, queue or config."""
    put, metrics, logged = by_verl
    settings = load(BLOCK)
    reader = RolloutReader.of(tokenizer, settings, ())
    ids = [torch.tensor(tokenizer.encode(text)) for text in TEXTS]
    masks = [torch.ones(len(row)) for row in ids]
    rewards, groups = torch.tensor(SCORES), torch.tensor([0, 0, 1, 1])
    whole = spread(group_relative(rewards, groups), torch.nn.utils.rnn.pad_sequence(masks, batch_first=True))
    answers = Answers(
        KEYS, ["u", "u", "v", "v"], ids, masks,
        [row[: len(own)] for row, own in zip(whole, ids, strict=True)], SCORES,
        [info(moves=moves) for moves in MOVES],
    )  # fmt: skip
    shaped, found = shape(answers, reader.vocab, settings.at(3))
    assert put == {key: row.tolist() for key, row in zip(KEYS, shaped, strict=True)}

    verifier = find_verifier("halluc/countdown")
    chosen = drawn(KEYS, settings.metrics.judged_per_step, 3)
    rows = []
    for key in chosen:
        row = ids[KEYS.index(key)].tolist()
        # The queue holds no probability of an edit.
        rows.append(ProblemRow(row, verifier, PROBLEM["ground_truth"], [0.0] * len(row)))
    shares = unchanged_groups(answers.infos, answers.prompts, settings.at(3).reward, normalize_by_std=True)
    found |= rollout_metrics(answers.infos, masks)
    found |= {f"backtrack/degenerate/{name}": share for name, share in shares.items()}
    found |= event_metrics(rows, reader, budget=settings.at(3).max_backtracks)
    found |= stage_metrics(settings, 3)
    assert metrics == found

    assert {record.answer for record in logged} == set(KEYS)
    for record in logged:
        row = KEYS.index(record.answer)
        own = logged_trace(
            step=3, answer=record.answer, prompt=[5], response=ids[row].tolist(),
            response_mask=masks[row].tolist(), advantages=record.advantages, reward=SCORES[row],
            scores=record.scores, tokenizer=tokenizer, vocab=reader.vocab,
        )  # fmt: skip
        assert (own.trace, own.tokens, own.text, own.reward) == (
            record.trace,
            record.tokens,
            record.text,
            record.reward,
        )


def test_drift_from_plain_tensors(queue, fp32_config, monkeypatch):
    """What the trainer reports of engine and actor is what is computed of their log-probs."""
    from verl_ext import trainer as trainer_module

    torch.manual_seed(0)
    columns = {name: -torch.rand(4, 300) for name in ("rollout_log_probs", "old_log_probs")}
    columns["old_log_probs"] = columns["rollout_log_probs"] + 1e-7
    columns["response_mask"] = (torch.rand(4, 300) < 0.7).float()
    jagged = {
        name: torch.nested.as_nested_tensor(list(rows), layout=torch.jagged) for name, rows in columns.items()
    }
    monkeypatch.setattr(trainer_module, "_fetch", lambda *_: TensorDict(jagged, batch_size=4))
    monkeypatch.setattr(
        PPOTrainerSync, "_compute_old_log_prob", lambda self, batch, metrics: batch, raising=False
    )
    metrics = {}
    queue.trainer()._compute_old_log_prob(None, metrics)
    agreement = compare(*columns.values())
    assert metrics["backtrack/engine_drift"] == agreement.drift
    assert metrics["backtrack/engine_drift_max"] == agreement.largest
    assert metrics["backtrack/engine_correlation"] == agreement.correlation

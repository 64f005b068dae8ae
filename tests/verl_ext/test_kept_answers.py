"""Answers read from verl's queue: what is known of each action, and what a verifier says of each state."""

import json

import pytest
import torch

from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.settings import load
from verl_ext import kept_answers
from verl_ext.kept_answers import logged_traces, problem_rows

TEXT = "1+2=3\n<|BACKTRACK|>"
PROMPT = [5, 5]


@pytest.fixture
def read(fp32_config, tokenizer, monkeypatch):
    """Reads one answer to ``1, 2 -> 3`` of which the queue has these columns; others are missing from it."""
    ids = tokenizer.encode(TEXT)
    t = len(ids)
    columns = {
        "prompts": [PROMPT],
        "responses": [ids],
        "response_mask": [[1.0] * t],
        "advantages": [[0.5] * t],
        "rm_scores": [[0.0] * (t - 1) + [1.0]],
        "old_log_probs": [[-0.125 * at for at in range(t)]],
        "entropy": [[0.25 * at for at in range(t)]],
        # Verl's layout: one position before each action, over prompt and response.
        "backtrack_edit_probs": [[9.0, *(at / 16 for at in range(t)), 9.0]],
        "extra_fields": [{"reward_extra_info": {"acc": 1.0, "moves": "[[1.0, 1.0]]", "why": "x"}}],
        "data_source": ["halluc/countdown"],
        "reward_model": [{"ground_truth": {"numbers": [1, 2], "target": 3}}],
    }

    def fetch(keys, partition_id, select_fields):
        assert (keys, partition_id) == (["u_0_0"], "train")
        found = {name: columns[name] for name in select_fields}
        return {
            name: torch.nested.as_nested_tensor([torch.tensor(row) for row in rows], layout=torch.jagged)
            if isinstance(rows[0], list)
            else rows
            for name, rows in found.items()
        }

    monkeypatch.setattr(kept_answers.tq, "kv_batch_get", fetch)
    reader = RolloutReader.of(tokenizer, load({}))

    def read(*missing, judges=True, **config):
        for name in missing:
            del columns[name]
        for key, value in config.items():
            fp32_config.merge_with({key: value})
        (trace,) = logged_traces(
            fp32_config, "train", ["u_0_0"], step=3, reader=reader, tokenizer=tokenizer, judges=judges
        )
        return trace

    read.config, read.columns = fp32_config, columns
    return read


OWN = {"actor_rollout_ref": {"actor": {"strategy": "backtrack_fsdp2"}}}
BYPASS = {"algorithm": {"rollout_correction": {"bypass_mode": True}}}


def test_what_our_engine_tells_of_each_action(read):
    """Log-probs and entropies of the actor's pass, and P(edit), taken from where verl's layout has it."""
    trace = read(**OWN)
    assert trace.log_probs == [-0.125 * at for at in range(7)]
    assert trace.entropies == [0.25 * at for at in range(7)]
    assert trace.edit_probs == [at / 16 for at in range(7)]
    assert trace.data_source == "halluc/countdown"
    assert (trace.event_values, trace.scores, trace.reward) == ([[1.0, 1.0]], {"acc": 1.0}, 1.0)


def test_verls_own_engine_knows_no_edits(read):
    """The column is not asked for, and the record has a blank."""
    trace = read("backtrack_edit_probs")
    assert trace.edit_probs is None
    assert trace.entropies is not None


def test_without_a_pass_of_the_actor_there_are_blanks(read):
    """Then the log-probs are the engine's, and nothing else is known."""
    trace = read("entropy", "backtrack_edit_probs", **OWN, **BYPASS)
    assert trace.entropies is trace.edit_probs is None
    assert trace.log_probs is not None


def test_every_state_has_a_verdict(read):
    """Before each action and at the end; a prefix that is no step yet is fine as long as one can follow."""
    assert read().verdicts == [True] * 8
    read.columns["reward_model"] = [{"ground_truth": {"numbers": [1, 2], "target": 7}}]
    assert read().verdicts[-1] is read().verdicts[-2] is False
    assert read(judges=False).verdicts is None


def test_where_another_judges_there_are_no_verdicts(read):
    """A function of the user's, for example; nor values of events where nobody values states."""
    read.columns["extra_fields"] = [{"reward_extra_info": {"moves": json.dumps(None)}}]
    trace = read(reward={"custom_reward_function": {"path": "mine.py"}})
    assert trace.verdicts is trace.event_values is None


def test_discrimination_takes_the_actors_probabilities(read):
    """Judged answers bring P(edit) before each action where our engine told it; else none is known."""
    assert problem_rows(read.config, "train", ["u_0_0"])[0].edit_masses is None
    read.config.merge_with(OWN)
    assert problem_rows(read.config, "train", ["u_0_0"])[0].edit_masses == [at / 16 for at in range(7)]
    assert problem_rows(read.config, "train", []) == []

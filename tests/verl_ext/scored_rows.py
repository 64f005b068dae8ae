"""Rows as verl's reward worker sends them, and what they score."""

import asyncio

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl import DataProto
from verl.utils.reward_score import default_compute_score

from verl_ext.reward_manager import BacktrackRewardManager

COUNTDOWN = {"numbers": [3, 5, 7], "target": 22}


@pytest.fixture
def row(tokenizer):
    """A data row as the agent loop worker sends it; in its text '!' is the edit token and '$' is EOS."""
    table = tokenizer.get_vocab()

    def make(text, *, data_source="halluc/countdown", ground_truth=COUNTDOWN, padding=0):
        ids = [table["<|BACKTRACK|>" if c == "!" else "<|im_end|>" if c == "$" else c] for c in text]
        prompt, response = torch.tensor([[1, 2, 3]]), torch.tensor([ids + [0] * padding])
        mask = torch.tensor([[1] * (3 + len(ids)) + [0] * padding])
        non_tensor = {
            "data_source": data_source,
            "reward_model": {"style": "rule", "ground_truth": ground_truth},
            "extra_info": {"index": 0},
            "tool_extra_fields": {"backtrack": {}},
            "__num_turns__": 2,
            "global_steps": 1,
        }
        return DataProto(
            batch=TensorDict(
                {"prompts": prompt, "responses": response, "attention_mask": mask, "input_ids": mask},
                batch_size=1,
            ),
            non_tensor_batch={key: np.array([value], dtype=object) for key, value in non_tensor.items()},
        )

    return make


def score(config, tokenizer, data, compute_score=default_compute_score):
    """One call, as verl's reward worker makes it."""

    async def call():
        return await BacktrackRewardManager(config, tokenizer, compute_score).run_single(data)

    return asyncio.run(call())

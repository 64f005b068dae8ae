"""What our plumbing costs beside verl's: CPU seconds per 1000 sampled tokens, same rollouts, one run.

Ours: agent loop ``backtrack``, reward manager ``backtrack``, estimator ``backtrack_grpo``. The baseline:
``single_turn_agent``, ``naive`` with the same verifier, ``grpo``. Both sides are the real classes, built as
verl's workers build them; only the rollout server is canned. Run: ``pytest benchmarks/bench_plumbing.py -s``.
"""

import asyncio
import math
import statistics
import time

import hydra.utils
import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict
from tensordict import TensorDict
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap, _agent_loop_registry
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.experimental.reward_loop.reward_manager.registry import get_reward_manager_cls
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
from verl.utils.reward_score import default_compute_score
from verl.utils.tensordict_utils import list_of_dict_to_tensordict
from verl.workers.rollout.replica import TokenOutput

from halluc_plugin.tasks.countdown.verifier import CountdownVerifier

BACKTRACK, PROMPTS, GROUP, REPETITIONS = "<|BACKTRACK|>", 16, 8, 15
PROBLEM = {"numbers": [3, 5, 7], "target": 22}
ANSWERS = [
    "3+5=9\n!!!!!!3*5=15\n15+7=22\n$",
    "3*5=15\n15+7=22\n$",
    "3*7=21\n!!!!!!!3+5=8\n8+7=15\n$",
    "3*5!!7=21\n$",
]
MESSAGES = [{"role": "user", "content": "3 5 7 = 22\n"}]


def _tokenizer():
    alphabet = ["<|im_end|>", *"0123456789+-*/=\n abcdefgh#><"]
    inner = Tokenizer(models.WordLevel({c: i for i, c in enumerate(alphabet)}, unk_token="<|im_end|>"))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template="{% for message in messages %}{{ message['content'] }}{% endfor %}",
    )
    tokenizer.add_tokens([AddedToken(BACKTRACK, special=False, normalized=False)])
    return tokenizer


def _config():
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer")
    with open_dict(config):
        config.halluc = {}
        config.actor_rollout_ref.rollout.name = "vllm"
        config.actor_rollout_ref.rollout.response_length = 48
        config.actor_rollout_ref.rollout.agent.default_agent_loop = "backtrack"
        config.reward.reward_manager.name = "backtrack"  # else our agent loop refuses to run
    return OmegaConf.create(OmegaConf.to_container(config))


def _verify(solution_str, ground_truth, **_):
    return float(CountdownVerifier().verify(ground_truth, solution_str) == "correct")


class _Server:
    """Hands out the canned answers in turn."""

    def __init__(self, tokenizer):
        table = {**tokenizer.get_vocab(), "!": tokenizer.get_vocab()[BACKTRACK], "$": tokenizer.eos_token_id}
        self.answers = [[table[c] for c in text] for text in ANSWERS]
        self.turn = 0

    async def generate(self, **_):
        ids = self.answers[self.turn % len(self.answers)]
        self.turn += 1
        extra = {"global_steps": 0, "min_global_steps": 0, "max_global_steps": 0}
        return TokenOutput(
            token_ids=list(ids), log_probs=[-0.5] * len(ids), stop_reason="completed", extra_fields=extra
        )


def _scored_row(output, source, truth):
    """What the agent loop worker sends to the reward worker."""
    prompt, response = torch.tensor([output.prompt_ids]), torch.tensor([output.response_ids])
    whole = torch.cat([prompt, response], 1)
    fields = {
        "data_source": source,
        "reward_model": {"ground_truth": truth},
        "extra_info": {"index": 0},
        "tool_extra_fields": output.extra_fields,
    }
    batch = {
        "prompts": prompt,
        "responses": response,
        "input_ids": whole,
        "attention_mask": torch.ones_like(whole),
    }
    return DataProto(
        batch=TensorDict(batch, batch_size=1),
        non_tensor_batch={key: np.array([value], dtype=object) for key, value in fields.items()},
    )


async def _step(config, tokenizer, side, row):
    """Rollouts, rewards and advantages of one training step; returns the number of sampled tokens."""
    loop_name, manager, estimator = side
    server, rows = _Server(tokenizer), []
    for _ in range(PROMPTS * GROUP):
        loop = hydra.utils.instantiate(
            config=_agent_loop_registry[loop_name],
            trainer_config=DictConfigWrap(config=config),
            server_manager=server,
            tokenizer=tokenizer,
            processor=None,
            hf_model_type="qwen2",
            dataset_cls=object,
            data_config=DictConfigWrap(config.data),
            tools=ToolListWrap([]),
        )
        output = await loop.run({"temperature": 1.0, "logprobs": True}, raw_prompt=MESSAGES)
        result = await manager.run_single(_scored_row(output, *row))
        output.reward_score = result["reward_score"]
        output.extra_fields["reward_extra_info"] = result["reward_extra_info"]
        rows.append(output.as_dict())
    table = list_of_dict_to_tensordict(rows)
    padded = table.select("rm_scores", "response_mask").to_padded_tensor()
    estimator(
        token_level_rewards=padded["rm_scores"],
        response_mask=padded["response_mask"],
        index=np.repeat(np.arange(PROMPTS), GROUP).astype(object),
        config=config.algorithm,
    )
    return sum(len(row["responses"]) for row in rows)


def _interval(values):
    """Mean and 95 % half-width (normal) of a list."""
    return statistics.fmean(values), 1.96 * statistics.stdev(values) / math.sqrt(len(values))


@pytest.mark.parametrize(
    ("source", "truth", "verify"),
    [("halluc/countdown", PROBLEM, _verify), ("openai/gsm8k", "22", default_compute_score)],
)
def test_plumbing(source, truth, verify):
    """Interleaved repetitions of the same step on both sides; prints both costs and their paired ratio."""
    torch.set_num_threads(1)
    config, tokenizer = _config(), _tokenizer()

    async def measure():
        ours = get_reward_manager_cls("backtrack")(config, tokenizer, default_compute_score)
        naive = NaiveRewardManager(config, tokenizer, verify)
        sides = {
            "ours": ("backtrack", ours, get_adv_estimator_fn("backtrack_grpo")),
            "verl": ("single_turn_agent", naive, get_adv_estimator_fn("grpo")),
        }
        costs = {name: [] for name in sides}
        for repetition in range(REPETITIONS + 1):
            for name, side in sides.items():
                start = time.process_time()
                tokens = await _step(config, tokenizer, side, (source, truth))
                if repetition:  # the first compiles and fills caches
                    costs[name].append(1000 * (time.process_time() - start) / tokens)
        return costs

    costs = asyncio.run(measure())
    for side, values in costs.items():
        mean, half = _interval(values)
        print(f"\n{source} {side}: {1000 * mean:.1f} ± {1000 * half:.1f} CPU-ms per 1000 tokens", end="")
    ours, verl = costs["ours"], costs["verl"]
    ratio, half = _interval([a / b for a, b in zip(ours, verl, strict=True)])
    extra, extra_half = _interval([1000 * (a - b) for a, b in zip(ours, verl, strict=True)])
    print(f"\n{source} ratio {ratio:.3f} ± {half:.3f}; difference {extra:.1f} ± {extra_half:.1f} CPU-ms")

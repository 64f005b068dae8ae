"""Run by test_engine_e2e.py in a process of its own: our engine with real FSDP2 sharding on a CPU.

Writes the largest differences to plain forwards of the same weights, from the contexts and under the bans
that each action was sampled with.
"""

import json
import sys

import torch
import torch.distributed
import verl  # noqa: F401 (registers the plugin)
from tensordict import TensorDict
from transformers import AutoModelForCausalLM
from verl.trainer.config import CheckpointConfig
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry
from verl.workers.utils.padding import no_padding_2_padding

from halluc_plugin.edits import Context, EditState, resolve_row
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.settings import load
from halluc_plugin.tokens import edit_vocab
from verl_ext.engine_config import BacktrackEngineConfig

BANS = {"max_backtracks": 1, "boundary": "mask"}
BLOCKS = {"soft_banned": BANS, "hard": {"context": "hard"}, "hard_banned": {"context": "hard", **BANS}}
PROMPTS = [[1, 2, 3], [4], [5, 6]]


def main(path: str) -> None:
    """Build the engine by its name, compare log-probs, entropy and one gradient with a plain model."""
    torch.manual_seed(0)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    model_config = HFModelConfig(
        path=path,
        use_remove_padding=False,
        enable_gradient_checkpointing=True,
        override_config={"attn_implementation": "sdpa"},
    )
    results = {name: compare(path, model_config, block) for name, block in BLOCKS.items()}
    sys.stdout.write(f"RESULT {json.dumps(results)}\n")
    torch.distributed.destroy_process_group()


def compare(path, model_config, block):
    """Largest differences with these settings."""
    vocab = edit_vocab(model_config.tokenizer)
    b = vocab.backtrack
    responses = [[7, b, 8, 9], [7, 7], [7, 8, b, 9, 10]]
    engine = build_engine(model_config, block)
    plain = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    want_log_probs, want_entropy = reference(plain, vocab, responses, load(block))
    have_log_probs, have_entropy = forward(engine, responses)
    torch.cat(want_log_probs).sum().backward()
    return {
        "log_probs": gap(have_log_probs, want_log_probs),
        "entropy": gap(have_entropy, want_entropy),
        "gradient": float(abs(step(engine, responses) - norm(plain))),
        "norm": float(norm(plain)),
    }


def build_engine(model_config, block):
    """The engine as a training worker builds it."""
    fp32 = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    engine_config = BacktrackEngineConfig(use_torch_compile=False, mixed_precision=fp32, halluc=block)
    object.__setattr__(engine_config, "strategy", "backtrack_fsdp2")  # as verl's actor config does
    engine = EngineRegistry.new(
        model_type="language_model",
        backend=engine_config.strategy,
        model_config=model_config,
        engine_config=engine_config,
        optimizer_config=FSDPOptimizerConfig(lr=1e-3, total_training_steps=1),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine


def batch(responses) -> TensorDict:
    """The batch as it reaches the engine."""

    def nested(rows):
        return torch.nested.as_nested_tensor([torch.tensor(r) for r in rows], layout=torch.jagged)

    whole = [p + r for p, r in zip(PROMPTS, responses, strict=True)]
    mask = nested([[1] * len(r) for r in responses])
    tensors = {
        "prompts": nested(PROMPTS),
        "responses": nested(responses),
        "input_ids": nested(whole),
        "position_ids": nested([list(range(len(row))) for row in whole]),
        "response_mask": mask,
        "loss_mask": mask,
    }
    options = {
        "use_remove_padding": False,
        "use_dynamic_bsz": True,
        "max_token_len_per_gpu": 12,  # of 19 tokens: two micro-batches
        "calculate_entropy": True,
        "temperature": 0.7,
    }
    return tu.get_tensordict(tensors, options)


def actions(nested):
    """Response part of a nested output."""
    return [row[len(p) - 1 : -1] for row, p in zip(nested.unbind(), PROMPTS, strict=True)]


def forward(engine, responses):
    """Log-probs and entropies without a loss, as for old and reference log-probs."""
    with engine.eval_mode():
        output = engine.infer_batch(batch(responses))["model_output"]
    return actions(output["log_probs"]), actions(output["entropy"])


def step(engine, responses):
    """Gradient norm of the summed log-probs, after a training forward and backward."""

    def loss_function(model_output, data, dp_group=None):
        del dp_group
        return no_padding_2_padding(model_output["log_probs"], data).sum(), {}  # as verl's losses read it

    with engine.train_mode():
        engine.optimizer_zero_grad()
        engine.forward_backward_batch(batch(responses), loss_function)
        grads = [p.grad.full_tensor() for p in engine.module.parameters() if p.grad is not None]
    return torch.stack([g.norm() for g in grads]).norm()


def norm(model):
    """Gradient norm of a plain model."""
    return torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()


def reference(model, vocab, responses, settings):
    """A forward for each action, edits at -inf where banned."""
    log_probs, entropies = [], []
    for prompt, response in zip(PROMPTS, responses, strict=True):
        state, rows = EditState(vocab), []
        for t, action in enumerate(response):
            seen = state.live_ids if settings.context is Context.HARD else response[:t]
            rows.append(model(torch.tensor([prompt + list(seen)])).logits[0, -1] / 0.7)
            state.push(action)
        logits = torch.stack(rows)
        banned = budget_mask(resolve_row(response, vocab), settings.max_backtracks, settings.boundary)[0]
        where = banned[:, None] & (torch.arange(logits.shape[-1]) == vocab.backtrack)
        log_p = logits.masked_fill(where, -torch.inf).log_softmax(-1)
        log_probs.append(log_p.gather(-1, torch.tensor(response)[:, None])[:, 0])
        entropies.append(-(log_p.exp() * log_p).masked_fill(where, 0).sum(-1))
    return log_probs, entropies


def gap(have, want):
    """Largest absolute difference."""
    return max(float((h - w).detach().abs().max()) for h, w in zip(have, want, strict=True))


if __name__ == "__main__":
    main(sys.argv[1])

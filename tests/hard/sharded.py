"""Run by test_sharded.py on two processes: weights that FSDP2 has sharded, on a CPU.

Writes the largest differences to a whole model: log-probs, and the gradients of the processes' own weights.
"""

import sys

import torch.distributed as dist
from conftest import batch, model_of  # this folder is the script's own
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from halluc_plugin.hard import score_actions


def main(family: str, *, checkpointing: bool) -> None:
    """Score as a whole and sharded, with a loss of each process's own."""
    dist.init_process_group("gloo")
    dist.device_mesh.init_device_mesh("cpu", (dist.get_world_size(),))
    whole, sharded = model_of(family), model_of(family)
    if checkpointing:
        sharded.train()
        sharded.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for layer in sharded.model.layers:
        fully_shard(layer)
    fully_shard(sharded)
    want = score_actions(whole, *batch()).log_probs
    want.sum().backward()
    worst, weights = 0.0, dict(whole.named_parameters())
    for chunk in (None, 4):
        sharded.zero_grad()
        found = score_actions(sharded, *batch(), chunk=chunk).log_probs
        found.sum().backward()
        worst = max(worst, float((found - want).detach().abs().max()))
        for name, weight in sharded.named_parameters():
            assert isinstance(weight, DTensor)
            worst = max(worst, float((weight.grad.full_tensor() - weights[name].grad).abs().max()))
    sys.stdout.write(f"WORST {worst}\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], checkpointing=sys.argv[2] == "True")

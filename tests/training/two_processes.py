"""Fine-tunes a small model in each context, and writes the loss and gradient norm of each step.

``python two_processes.py TRACES FOLDER``
"""

import json
import sys
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM, TrainerCallback

from halluc_plugin.edits import Context
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.training import TrainSettings, fine_tune


class Logged(TrainerCallback):
    """Keeps what is logged."""

    def __init__(self):
        self.seen = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Loss and gradient norm of a step."""
        if "loss" in logs:
            self.seen.append([logs["loss"], logs["grad_norm"]])


def main(traces, folder):
    """Train, and write ``logged.json``."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    found = {}
    for micro in (None, 1):
        for context in Context:
            torch.manual_seed(0)
            model = Qwen3ForCausalLM(
                Qwen3Config(
                    vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                    head_dim=8, num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=True,
                )
            )  # fmt: skip
            settings = TrainSettings(
                steps=3, batch_size=4, micro_batch_size=micro, log_steps=1, warmup_steps=1,
                learning_rate=1e-3, context=context, bf16=False,
            )  # fmt: skip
            logged, out = Logged(), folder / f"{context}-{micro}"
            fine_tune(model, tokenizer, [traces], settings, out, show_progress=False, callbacks=[logged])
            found[f"{context}-{micro}"] = logged.seen
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        (folder / "logged.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))

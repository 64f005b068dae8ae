"""The arm of rewound positions without a mask: nothing is hidden, but positions count live tokens only.

This is N-MARS's variant. Its training and decoding agree with each other; erased tokens stay visible, at the
same positions as the tokens that replaced them.
"""

from collections.abc import Sequence
from typing import Any

import torch

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.training.dataset import TraceCollator


class RewoundCollator(TraceCollator):
    """Makes causal batches with rewound positions."""

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, torch.Tensor]:
        """Return the base class's batch with ``position_ids`` (Long[N, L])."""
        batch = super().__call__(rows)
        depth = self.resolved(rows).depth
        positions = torch.zeros_like(batch["input_ids"])
        for row, trace in enumerate(rows):
            prompt, actions = len(trace.prompt_ids), len(trace.response_ids)
            positions[row, :prompt] = torch.arange(prompt)
            positions[row, prompt : prompt + actions] = prompt + depth[row, :actions]
        return batch | {"position_ids": positions}


@torch.no_grad()
def decode_rewound(
    model: Any,
    prompts: Sequence[Sequence[int]],
    vocab: EditVocab,
    *,
    max_actions: int,
    temperature: float,
    eos_id: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """Sample one raw trace for each prompt, recomputed from the whole trace for each action.

    Args:
        model: A causal language model in eval mode.
        prompts: Token ids of the prompts.
        vocab: The edit vocabulary of the ids.
        max_actions: Largest number of actions of a trace.
        temperature: Sampling temperature; 0 is greedy.
        eos_id: The id that ends a trace.
        generator: Source of randomness, on the model's device.
    """
    traces: list[list[int]] = [[] for _ in prompts]
    states = [EditState(vocab) for _ in prompts]
    positions = [list(range(len(prompt))) for prompt in prompts]
    going = list(range(len(prompts)))
    for _ in range(max_actions):
        rows = [[*prompts[i], *traces[i]] for i in going]
        width = max(map(len, rows))
        pads = [width - len(row) for row in rows]
        inputs = (
            [[0] * pad + row for pad, row in zip(pads, rows, strict=True)],
            [[0] * pad + [1] * len(row) for pad, row in zip(pads, rows, strict=True)],
            [[0] * pad + positions[i] for pad, i in zip(pads, going, strict=True)],
        )
        ids, seen, places = (torch.tensor(rows, device=model.device) for rows in inputs)
        logits = model(input_ids=ids, attention_mask=seen, position_ids=places, logits_to_keep=1).logits[
            :, -1
        ]
        if temperature:
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
        else:
            chosen = logits.argmax(-1)
        for i, action in zip(going, chosen.tolist(), strict=True):
            positions[i].append(len(prompts[i]) + states[i].depth)
            traces[i].append(action)
            states[i].push(action)
        going = [i for i in going if traces[i][-1] != eos_id]
        if not going:
            break
    return traces

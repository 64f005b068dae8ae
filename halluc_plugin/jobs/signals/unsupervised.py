"""Make labels of hidden states without supervision, as MIND does, and fit a head on them.

W. Su et al., "Unsupervised Real-Time Hallucination Detection based on the Internal States of Large Language
Models" (arXiv 2403.06448): a text known to be true is cut, the model goes on greedily, and what it writes
counts as hallucinated if it differs from the text. The paper cuts before entities of an encyclopedia and
fits a deeper network on the last token's state; here a text is cut before each of its steps, and the head
has two layers. Written from summaries of the paper and from memory.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import collapse
from halluc_plugin.errors import MetricError
from halluc_plugin.jobs.assess.steps import Cutter
from halluc_plugin.probes.token_signals import token_signals
from halluc_plugin.probes.two_layer import TwoLayerProbe
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.states import Response, wanted


def labelled_steps(
    sampler: Sampler, rows: Sequence[TraceRow], cutter: Cutter
) -> list[tuple[tuple[int, ...], tuple[int, ...], bool]]:
    """Return a model's own steps behind beginnings of right answers, with labels.

    Args:
        sampler: The model.
        rows: Right answers, of which what was taken back is left out.
        cutter: Cuts them into steps.

    Returns:
        For each step the prompt, the text up to its end, and whether it differs from the right answer's.
    """
    space = replace(cutter.space, temperature=0.0)
    asked, right = [], []
    for row in rows:
        text = tuple(collapse(row.response_ids, space.vocab))
        for start, end in cutter.spans(text, ended=True):
            asked.append((tuple(row.prompt_ids), Response(text[:start])))
            right.append(text[start:end])
    samples = sampler.sample([wanted(prompt, state, space, steps=True) for prompt, state in asked])
    found = []
    for (prompt, state), sample, step in zip(asked, samples, right, strict=True):
        written = tuple(token for token in sample.ids if token not in space.eos_ids)
        # A step may end with the answer: what ends it is then the same text.
        ids = written or sample.ids
        found.append((prompt, (*state.ids, *ids), written != step))
    return found


def mind_head(
    model: Any, sampler: Sampler, rows: Sequence[TraceRow], cutter: Cutter, *, layer: int, seed: int
) -> TwoLayerProbe:
    """Return a head that was fitted on labels made without supervision.

    Args:
        model: A transformers causal language model in eval mode.
        sampler: The same model, to be sampled.
        rows: Right answers.
        cutter: Cuts them into steps.
        layer: Number of the layer whose state at a step's last token is read.
        seed: Seed of the head.

    Raises:
        MetricError: All labels are alike.
    """
    steps = labelled_steps(sampler, rows, cutter)
    wrong = [label for _, _, label in steps]
    if len(set(wrong)) < 2:
        how = "like" if wrong and not wrong[0] else "unlike"
        raise MetricError(
            f"The model goes on {how} the right answer at all {len(steps)} places: the labels of mind are of "
            "one kind.",
            "Give --references of harder, or of easier problems.",
        )
    last = [((*prompt, *text[:-1]), text[-1:]) for prompt, text, _ in steps]
    read = token_signals(model, last, cutter.space.vocab, layer=layer)
    return TwoLayerProbe(torch.cat([signals.hidden for signals in read]), wrong, seed=seed)

"""Same state, other history: does a policy decide alike where the live text is the same?

What is done in a state may not depend on how it was reached; in hard context it cannot, in soft context it is
to be learned (arXiv 2605.22221 finds that the same decision is taken in 71 % of cases there, and in 100 %
where earlier blocks are masked). Asked where something was just taken back, and where a step was just
finished behind something that was: the raw trace up to there is a history, its collapsed twin the same live
text without one. The control is the same history with its tries in another order: the same was tried then.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from halluc_plugin.data.resumable import Progress
from halluc_plugin.edits import (
    Context,
    EditState,
    EditVocab,
    collapse,
    logit_index,
    position_ids,
    resolve,
    tree_attention_mask,
)
from halluc_plugin.errors import TraceError
from halluc_plugin.hard import require_tree_attention, without_unknown
from halluc_plugin.metrics import Proportion
from halluc_plugin.probes.next_logits import logits_behind
from halluc_plugin.progress_bar import pass_on

BATCH = 64

Asked = tuple[Sequence[int], Sequence[int]]
"""A prompt and a raw trace."""


@dataclass(frozen=True)
class Ways:
    """Ways to one live text, in which a policy decides.

    Attributes:
        trace: Number of the trace that they come from.
        prompt: Ids of the prompt, not empty.
        history: The raw trace up to there.
        permuted: The same with its tries in another order; None where there is no other order.
        live: The live text.
        tries: How often something was taken back.
    """

    trace: int
    prompt: tuple[int, ...]
    history: tuple[int, ...]
    permuted: tuple[int, ...] | None
    live: tuple[int, ...]
    tries: int


def require_one_text(histories: Sequence[Sequence[int]], vocab: EditVocab) -> tuple[int, ...]:
    """The live text that all histories end in.

    Raises:
        TraceError: They end in several, or there is none.
    """
    texts = list(dict.fromkeys(tuple(collapse(history, vocab)) for history in histories))
    if len(texts) != 1:
        raise TraceError(
            f"{len(histories)} histories end in {len(texts)} live texts.",
            "Pass raw traces that collapse to the same ids.",
        )
    return texts[0]


def ways_of(
    number: int,
    prompt: Sequence[int],
    trace: Sequence[int],
    vocab: EditVocab,
    *,
    delimiters: Collection[int],
    rng: np.random.Generator,
) -> Iterator[Ways]:
    """The places of one trace at which an action follows on something that was taken back.

    Args:
        number: Of the trace.
        prompt: Its prompt.
        trace: The raw trace.
        vocab: Which ids edit.
        delimiters: Ids that end a step.
        rng: Draws the other order of tries.
    """
    state, tries, behind_edit = EditState(vocab), 0, False
    for place, token in enumerate(trace):
        edit = token in vocab.edit_ids
        asked = (behind_edit and not edit) or (place > 0 and trace[place - 1] in delimiters)
        if tries and asked:
            history = tuple(trace[:place])
            permuted = permuted_tries(history, vocab, rng)
            live = require_one_text([history] if permuted is None else [history, permuted], vocab)
            yield Ways(number, tuple(prompt), history, permuted, live, tries)
        erased = state.push(token)
        # A run of edits takes back once.
        tries += bool(erased) and not behind_edit
        behind_edit = edit


def permuted_tries(
    history: Sequence[int], vocab: EditVocab, rng: np.random.Generator
) -> tuple[int, ...] | None:
    """A history with tries from one state in another order; None where no state has two that differ.

    A try is what is written behind a state and taken back to it. Tries from one state follow one another, and
    each leads back to it, so that any order collapses to the same text.
    """
    depths, state = [0], EditState(vocab)
    for token in history:
        state.push(token)
        depths.append(state.depth)
    pieces = _tries(depths)
    runs: list[list[tuple[int, int]]] = []
    for piece in pieces:
        if runs and runs[-1][-1][1] == piece[0] and depths[piece[0]] == depths[runs[-1][0][0]]:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    found = list(history)
    for run in runs:
        texts = [tuple(history[start:end]) for start, end in run]
        if len(set(texts)) < 2:
            continue
        order = texts
        while order == texts:
            order = [texts[i] for i in rng.permutation(len(texts))]
        found[run[0][0] : run[-1][1]] = [token for text in order for token in text]
    return tuple(found) if found != list(history) else None


def _tries(depths: Sequence[int]) -> list[tuple[int, int]]:
    """First and last (exclusive) action of each try that is part of no other, by live lengths."""
    pieces, start = [], 0
    while start < len(depths) - 1:
        here = depths[start]
        # The soonest way back to this length over longer texts alone.
        end = next((n for n in range(start + 1, len(depths)) if depths[n] <= here), None)
        if end is not None and depths[end] == here and end > start + 1:
            pieces.append((start, end))
            start = end
        else:
            start += 1
    return pieces


@dataclass(frozen=True)
class Agreement:
    """How alike two ways to one text are decided.

    Attributes:
        same: Share of places at which the likeliest action is the same.
        variation: Mean total variation of the two distributions, in [0, 1].
    """

    same: Proportion
    variation: Proportion


@dataclass(frozen=True)
class HistoryProbe:
    """What was found in one context.

    Attributes:
        context: What the policy sees.
        by_tries: By how often something was taken back: with that history against without.
        permuted: The same of the history against itself in another order.
    """

    context: Context
    by_tries: dict[int, Agreement]
    permuted: dict[int, Agreement]


def probe_history(
    model: Any,
    ways: Sequence[Ways],
    vocab: EditVocab,
    context: Context,
    progress: Progress = pass_on,
) -> HistoryProbe:
    """Compare decisions at the same live text.

    Args:
        model: A transformers causal language model in eval mode.
        ways: At least one.
        vocab: Which ids edit.
        context: What the policy sees of a history.
        progress: How to show progress.

    Raises:
        TraceError: There are no ways.
    """
    if not ways:
        raise TraceError(
            "No trace takes anything back before another action.",
            "Probe traces that take back, or more of them.",
        )

    def decided(asked: list[Asked], seen: Context, what: str) -> torch.Tensor:
        shown = progress(next_policies(model, asked, vocab, seen), f"{context} context, {what}", len(asked))
        rows = list(shown)
        return torch.stack(rows) if rows else torch.zeros(0, 1)

    bare = decided([(way.prompt, way.live) for way in ways], Context.SOFT, "no history")
    told = decided([(way.prompt, way.history) for way in ways], context, "histories")
    mixed = [number for number, way in enumerate(ways) if way.permuted is not None]
    other = decided([(ways[n].prompt, ways[n].permuted or ()) for n in mixed], context, "permuted")
    return HistoryProbe(
        context,
        _by_tries(ways, told, bare),
        _by_tries([ways[n] for n in mixed], told[mixed], other) if mixed else {},
    )


def _by_tries(ways: Sequence[Ways], one: torch.Tensor, other: torch.Tensor) -> dict[int, Agreement]:
    same = (one.argmax(-1) == other.argmax(-1)).tolist()
    # Rounding can leave a sum a hair above 1.
    variation = ((one - other).abs().sum(-1) / 2).clamp(max=1.0).tolist()
    found = {}
    for tries in sorted({way.tries for way in ways}):
        clusters: dict[int, list[int]] = {}
        for number, way in enumerate(ways):
            if way.tries == tries:
                clusters.setdefault(way.trace, []).append(number)
        sizes = [len(each) for each in clusters.values()]
        shares = (
            Proportion.clustered([sum(values[n] for n in each) for each in clusters.values()], sizes)
            for values in (same, variation)
        )
        found[tries] = Agreement(*shares)
    return found


@torch.no_grad()
def next_policies(
    model: Any, asked: Sequence[Asked], vocab: EditVocab, context: Context
) -> Iterator[torch.Tensor]:
    """What a policy would do next, as probabilities.

    Args:
        model: A transformers causal language model in eval mode.
        asked: N pairs of a prompt, not empty, and a raw trace.
        vocab: Which ids edit.
        context: What it sees of the traces.

    Yields:
        Float[V] for each pair in order, on the CPU; ids that are no token have probability 0.
    """
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        if context is Context.SOFT:
            logits = logits_behind(model, [[*prompt, *trace] for prompt, trace in part])
            yield from without_unknown(logits, vocab).softmax(-1).cpu()
        else:
            yield from (_hard(model, prompt, trace, vocab) for prompt, trace in part)


def _hard(model: Any, prompt: Sequence[int], trace: Sequence[int], vocab: EditVocab) -> torch.Tensor:
    """By the tree of the whole raw trace, so that what is erased is really there and out of sight."""
    device = next(model.parameters()).device
    # Some action must follow to have its distribution read; which one changes nothing before it.
    ids = torch.tensor([[*trace, prompt[0]]], device=device)
    resolution = resolve(ids, torch.ones_like(ids, dtype=torch.bool), vocab)
    prompts = torch.tensor([list(prompt)], device=device)
    known = torch.ones_like(prompts, dtype=torch.bool)
    require_tree_attention(model.config)
    visible = tree_attention_mask(resolution, known)[:, None]
    dtype = model.dtype
    mask = torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
    logits = model(
        input_ids=torch.cat([prompts, ids], 1),
        attention_mask=mask,
        position_ids=position_ids(resolution, known),
        use_cache=False,
    ).logits[0, logit_index(resolution, known)[0, -1]]
    return without_unknown(logits.float(), vocab).softmax(-1).cpu()

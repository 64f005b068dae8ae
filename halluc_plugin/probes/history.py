"""Probe whether a policy decides alike at the same live text, whatever its history.

A decision should not depend on how its state was reached. In hard context it cannot; in soft context this
must be learned (arXiv 2605.22221 finds that the same decision is taken in 71 % of cases there, and in 100 %
if earlier blocks are masked). The probe looks at places where something was just taken back, and where a step
was finished after that. The raw trace up to a place is a history; its collapsed twin is the same live text
without one. The control is the same history with its tries in another order.
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
    """Several ways to reach one live text, at which a policy decides.

    Attributes:
        trace: Number of the trace that the ways come from.
        prompt: Token ids of the prompt, not empty.
        history: The raw trace up to the place.
        permuted: The history with its tries in another order; None if there is no other order.
        live: Token ids of the live text.
        tries: Number of times that something was taken back.
    """

    trace: int
    prompt: tuple[int, ...]
    history: tuple[int, ...]
    permuted: tuple[int, ...] | None
    live: tuple[int, ...]
    tries: int


def require_one_text(histories: Sequence[Sequence[int]], vocab: EditVocab) -> tuple[int, ...]:
    """Return the live text in which all histories end.

    Args:
        histories: Raw traces.
        vocab: The edit vocabulary of the ids.

    Raises:
        TraceError: The histories end in different texts, or there are none.
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
    """Yield the ways to each place of one trace at which an action follows something that was taken back.

    Args:
        number: Number of the trace.
        prompt: Token ids of the prompt.
        trace: Token ids of the raw trace.
        vocab: The edit vocabulary of the ids.
        delimiters: Ids that end a step.
        rng: Source of randomness for the other order of tries.
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
    """Return a history with the tries from one state in another order, None if there is no other order.

    A try is what is written after a state and taken back to it. Tries from one state follow one another, and
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
    """How alike a policy decides after two ways to one text.

    Attributes:
        same: Share of places at which the likeliest action is the same.
        variation: Mean total variation of the two distributions, in [0, 1].
    """

    same: Proportion
    variation: Proportion


@dataclass(frozen=True)
class HistoryProbe:
    """The agreement that was found in one context.

    Attributes:
        context: What the policy sees, soft or hard.
        by_tries: Agreement with and without the history, by the number of times that something was taken
            back.
        permuted: Agreement between the history and itself with its tries in another order, by the same
            number.
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
    """Compare a policy's decisions at the same live text.

    Args:
        model: A transformers causal language model in eval mode.
        ways: The ways to each place, at least one.
        vocab: The edit vocabulary of the ids.
        context: What the policy sees of a history, soft or hard.
        progress: Shows the progress.

    Returns:
        The agreement in this context.

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
    """Yield a policy's distribution of the next action for each pair.

    Args:
        model: A transformers causal language model in eval mode.
        asked: N pairs of a prompt, not empty, and a raw trace.
        vocab: The edit vocabulary of the ids.
        context: What the policy sees of the traces, soft or hard.

    Yields:
        The probabilities, Float[V], on the CPU, for each pair in order; ids that are not tokens have
        probability 0.
    """
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        if context is Context.SOFT:
            logits = logits_behind(model, [[*prompt, *trace] for prompt, trace in part])
            yield from without_unknown(logits, vocab).softmax(-1).cpu()
        else:
            yield from (_hard(model, prompt, trace, vocab) for prompt, trace in part)


def _hard(model: Any, prompt: Sequence[int], trace: Sequence[int], vocab: EditVocab) -> torch.Tensor:
    """Compute by the tree of the whole raw trace, in which erased tokens are present but not seen."""
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

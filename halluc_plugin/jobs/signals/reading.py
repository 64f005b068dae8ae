"""Read the values of signals at places, by heads that were fitted on other places where a signal has one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from halluc_plugin.errors import MetricError
from halluc_plugin.jobs.signals.asked import FITTED, HEADS, Signal
from halluc_plugin.jobs.signals.continued import Continued
from halluc_plugin.jobs.signals.places import SignalPlace
from halluc_plugin.probes.linear import LinearProbe
from halluc_plugin.probes.token_signals import TokenSignals
from halluc_plugin.probes.two_layer import Head, TwoLayerProbe


@dataclass(frozen=True)
class Value:
    """The value of a signal at a place.

    Attributes:
        step: The value of the last step.
        highest: The largest value at a token of the last step; None if the signal is read at ends of steps
            alone.
    """

    step: float
    highest: float | None


def at_tokens(signal: Signal, read: TokenSignals, heads: Mapping[Signal, Head]) -> list[float]:
    """Return the values of a signal at each token that was read.

    Args:
        signal: A signal that is read at each token.
        read: What the model tells at the tokens.
        heads: The fitted heads.
    """
    if signal in HEADS:
        return heads[signal].dead(read.hidden)
    values: list[float] = getattr(read, signal.value.replace("-", "_")).tolist()
    return values


def in_states(signal: Signal, read: TokenSignals, heads: Mapping[Signal, Head]) -> list[float]:
    """Return the values of a signal in the order in which they are known; the last is that behind the text.

    Entropy and margin are known one state earlier than other signals, before the token is written, and so
    there is one value more than tokens.

    Args:
        signal: A signal that is read at each token.
        read: What the model tells at the tokens.
        heads: The fitted heads.
    """
    values = at_tokens(signal, read, heads)
    if signal is Signal.ENTROPY:
        return [*values, read.next_entropy]
    return [*values, read.next_margin] if signal is Signal.MARGIN else values


def value_at(
    signal: Signal,
    read: TokenSignals,
    heads: Mapping[Signal, Head],
    continued: Continued | None,
) -> Value:
    """Return the value of a signal at a place.

    Args:
        signal: The signal.
        read: What the model tells at the tokens of its last step.
        heads: The fitted heads.
        continued: The signals of its continuations; None if there are none.
    """
    if signal is Signal.EIGENSCORE and continued is not None:
        return Value(continued.eigen_score, None)
    if signal is Signal.SEMANTIC_ENTROPY and continued is not None:
        return Value(continued.semantic_entropy, None)
    values = at_tokens(signal, read, heads)
    if signal in {Signal.ENTROPY, Signal.MARGIN}:
        step = sum(values) / len(values)
    else:
        step = max(values) if signal is Signal.PHASE_SHIFT else values[-1]
    return Value(step, max(values))


def fitted(
    signals: Sequence[Signal], places: Sequence[SignalPlace], read: Sequence[TokenSignals], seed: int
) -> dict[Signal, Head]:
    """Return the supervised heads among some signals, fitted on places.

    Args:
        signals: The signals.
        places: The places.
        read: What the model tells at the tokens of each place's last step.
        seed: Seed of the heads.

    Raises:
        MetricError: The places are all dead, or all live.
    """
    asked = [signal for signal in signals if signal in FITTED]
    if not asked:
        return {}
    dead = [place.dead for place in places]
    if len(set(dead)) < 2:
        raise MetricError(
            f"The problems that heads are fitted on have {len(dead) - sum(dead)} live and {sum(dead)} dead "
            "steps: one kind is missing.",
            "Give more or other problems (--limit, --data), or more --samples of each.",
        )
    features = torch.stack([signals.hidden[-1] for signals in read])
    heads: dict[Signal, Head] = {}
    for signal in asked:
        linear = signal is Signal.LINEAR_HEAD
        heads[signal] = LinearProbe(features, dead) if linear else TwoLayerProbe(features, dead, seed=seed)
    return heads

"""Build the trigger of a search that erases by a signal, from the file of a probe of signals."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from halluc_plugin.decoding.triggers import (
    Scope,
    StateSignal,
    TextSignal,
    Trigger,
    e3rl_like,
    lpsr_like,
    step_edit,
)
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.jobs.signals.asked import HEADS, Signal

TOKENS = 8
"""Number of tokens that are taken back by default, where tokens are."""
ROLLBACKS = 4
"""Largest number of times that a signal takes back in one sample, by default."""


class Erase(StrEnum):
    """The settings of a search that erases by a signal."""

    STEP = "step"
    """A finished step whose value passes the threshold of steps is erased."""
    TOKENS = "tokens"
    """Some tokens are erased where a token's value passes the threshold of tokens."""
    E3RL = "e3rl"
    """Steps are erased by entropy, with a threshold for each number of steps (like arXiv 2606.17735)."""
    LPSR = "lpsr"
    """Tokens are erased at a phase shift of high entropy (like arXiv 2604.18567)."""


@dataclass(frozen=True)
class Erasing:
    """The settings by which a search erases.

    Args:
        calibration: File of ``halluc probe signal --out``, of the same model.
        signal: The signal, None for entropy; ``e3rl`` and ``lpsr`` have their own.
        setting: What is erased, and when.
        tokens: Number of tokens that are erased, None for 8; without meaning where steps are.
        rollbacks: Largest number of erasures in a sample.

    Raises:
        SettingsError: A value is out of range, or has no meaning together with another.
    """

    calibration: Path
    signal: Signal | None = None
    setting: Erase = Erase.STEP
    tokens: int | None = None
    rollbacks: int = ROLLBACKS

    def __post_init__(self) -> None:
        if self.rollbacks < 1 or (self.tokens is not None and self.tokens < 1):
            raise SettingsError(
                f"--rollbacks is {self.rollbacks}, --erased-tokens {self.tokens}.", "Give 1 or more."
            )
        if self.signal is not None and self.setting in {Erase.E3RL, Erase.LPSR}:
            raise SettingsError(
                f"--signal means nothing with --erase {self.setting}, which has its own.", "Leave it out."
            )
        if self.tokens is not None and self.setting in {Erase.STEP, Erase.E3RL}:
            raise SettingsError(
                f"--erased-tokens means nothing with --erase {self.setting}, which erases a step.",
                "Leave it out, or give --erase tokens.",
            )
        if self.signal is not None and self.signal not in {*HEADS, *READ}:
            raise SettingsError(
                f"A search cannot erase by {self.signal}.",
                f"Give one of: {', '.join([*READ, *sorted(HEADS)])}.",
            )

    @property
    def reads_states(self) -> bool:
        """Whether hidden states are read."""
        return self.setting is Erase.LPSR or self.signal in {*HEADS, Signal.PHASE_SHIFT}

    def require_logits_alone(self) -> None:
        """Refuse signals that an engine which shows logits alone cannot read.

        Raises:
            SettingsError: Hidden states are read.
        """
        if self.reads_states:
            what = f"--erase {self.setting}" if self.signal is None else f"--signal {self.signal}"
            raise SettingsError(
                f"{what} reads hidden states, and vLLM's processors see logits alone.",
                "Use --backend hf, or --signal entropy or margin.",
            )

    def trigger(self, model: str, vocab: EditVocab) -> Trigger:
        """Return the trigger.

        Args:
            model: The model that is searched, by the name under which it was probed.
            vocab: Its edit vocabulary.

        Raises:
            DataError: The file is not one of a probe of this model, or lacks the signal.
            SettingsError: The model lacks the edit.
        """
        policy = _policy(self.calibration, model)
        if self.setting is Erase.E3RL:
            by_depth = _signal(policy, Signal.ENTROPY, self.calibration)["steps"]["by_depth"]
            return e3rl_like(vocab, by_depth, self.rollbacks)
        tokens = TOKENS if self.tokens is None else self.tokens
        if self.setting is Erase.LPSR:
            shift = _signal(policy, Signal.PHASE_SHIFT, self.calibration)["tokens"]["threshold"]
            gate = _signal(policy, Signal.ENTROPY, self.calibration)["steps"]["threshold"]
            return lpsr_like(
                vocab, shift, gate=gate, layer=policy["middle"], tokens=tokens, budget=self.rollbacks
            )
        signal = self.signal or Signal.ENTROPY
        found = _signal(policy, signal, self.calibration)
        whole = self.setting is Erase.STEP
        return Trigger(
            READ.get(signal, StateSignal.HEAD),
            (found["steps" if whole else "tokens"]["threshold"],),
            step_edit(vocab) if whole else vocab.backtrack,
            Scope.STEP if whole else Scope.TOKEN,
            1 if whole else tokens,
            self.rollbacks,
            layer=policy["layer" if signal in HEADS else "middle"] if self.reads_states else None,
            head=_head(found["head"]) if signal in HEADS else None,
        )


READ: Mapping[Signal, TextSignal | StateSignal] = {
    Signal.ENTROPY: TextSignal.ENTROPY,
    Signal.MARGIN: TextSignal.MARGIN,
    Signal.PHASE_SHIFT: StateSignal.PHASE_SHIFT,
}


def _policy(path: Path, model: str) -> dict[str, Any]:
    try:
        policies: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        found = {policy["model"]: policy for policy in policies}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not a file of a probe of signals.",
            "Write one by `halluc probe signal NAME --out FILE`.",
        ) from error
    if model not in found:
        raise DataError(
            f"{path} has thresholds of {' and '.join(found)}, not of {model}.",
            "Probe this model, by the same name as here: thresholds of one say nothing of another.",
        )
    return found[model]


def _signal(policy: Mapping[str, Any], signal: Signal, path: Path) -> dict[str, Any]:
    named: dict[str, dict[str, Any]] = {each["signal"]: each for each in policy["signals"]}
    if signal not in named:
        raise DataError(
            f"{path} has no threshold of {signal}, only of {', '.join(named)}.",
            f"Probe it, too: `halluc probe signal {signal} ...`.",
        )
    return named[signal]


def _head(told: Mapping[str, Any]) -> Any:
    import torch

    from halluc_plugin.probes.two_layer import dead_share

    return partial(_read, dead_share, {name: torch.tensor(value) for name, value in told.items()})


def _read(share: Any, state: dict[str, Any], hidden: Any) -> Any:
    if state["mean"].device != hidden.device:
        state.update({name: tensor.to(hidden.device) for name, tensor in state.items()})
    return share(state, hidden)

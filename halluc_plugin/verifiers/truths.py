"""Check that a judge can use a ground truth.

By another ground truth no answer would ever be right, or the judge would fail at the first one: verl's
scorers compare texts, and to them 72 is not "72".
"""

import re
from collections.abc import Mapping
from typing import Any

from halluc_plugin.errors import HallucError
from halluc_plugin.verifiers.base import Verifier

GSM8K = "openai/gsm8k"

_COMPARED_AS_TEXT = frozenset(
    {
        GSM8K,
        "DigitalLearningGmbH/MATH-lighteval",
        "HuggingFaceH4/MATH-500",
        "lighteval/MATH",
        "math",
        "math_dapo",
        "math_dapo_reasoning",
    }
)
"""Sources whose answers verl's own scorer compares with the ground truth as text; and all of ``aime``."""

_GSM8K_NUMBER = re.compile(r"-?[0-9.]+")
# Between them they make each verifier read all of a ground truth.
_PROBES = ("1+1=2", "a=1")


def unreadable(verifier: Verifier, truth: Any) -> str | None:
    """Return why a verifier cannot read a ground truth, None if it can.

    Args:
        verifier: The verifier of the row's source.
        truth: The row's ``reward_model.ground_truth``.
    """
    reason = f"it is no mapping but {type(truth).__name__}"
    if isinstance(truth, Mapping):
        try:
            for probe in _PROBES:
                verifier.verify(truth, probe)
        except HallucError as error:
            return f"reward_model.ground_truth is refused by its verifier. {error.cause}"
        except Exception as error:  # noqa: BLE001 - whatever a user's values lead to
            reason = f"{type(error).__name__}: {error}"
        else:
            return None
    return f"reward_model.ground_truth is {truth!r:.200}, which its verifier cannot read ({reason})."


def never_right(source: str, truth: Any) -> str | None:
    """Return why verl's scorer would find no answer right, None if no reason is known.

    Args:
        source: The row's ``data_source``, one that verl scores itself.
        truth: The row's ``reward_model.ground_truth``.
    """
    if source not in _COMPARED_AS_TEXT and not source.startswith("aime"):
        return None
    shown = f"reward_model.ground_truth is {truth!r:.80}"
    if not isinstance(truth, str):
        return (
            f"{shown} ({type(truth).__name__}), and answers to {source} are compared with it as text: none "
            'would be right. Write it as text, such as "72".'
        )
    if source == GSM8K and not _GSM8K_NUMBER.fullmatch(truth):
        return (
            f"{shown}, which no answer to {source} can be: the commas are taken out of an answer, and the "
            'rest is compared with the whole text. Write the number alone, such as "1072".'
        )
    return None

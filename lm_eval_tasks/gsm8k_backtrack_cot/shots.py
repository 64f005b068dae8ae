"""The worked examples of GSM8K, which lm_eval ships."""

from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.tasks._yaml_loader import load_yaml

from halluc_plugin.errors import HostVersionError


def stock_samples() -> list[dict[str, Any]]:
    """Return the few-shot examples of lm_eval's ``gsm8k_cot``.

    Raises:
        HostVersionError: This lm_eval keeps them in another place.
    """
    file = Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k-cot.yaml"
    try:
        samples: list[dict[str, Any]] = load_yaml(file, resolve_func=False)["fewshot_config"]["samples"]
    except (OSError, KeyError) as error:
        raise HostVersionError(
            f"lm_eval has no worked examples in {file} ({type(error).__name__}).",
            "Install a tested version: lm-eval 0.4.13.",
        ) from error
    return samples

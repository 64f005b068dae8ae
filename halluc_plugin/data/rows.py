"""Read the parts of a verl row in one way, wherever the row comes from.

Rows come from files, where values are JSON's, and from verl's workers, where they may be numpy's. Each part
may have any form that verl accepts; :func:`fault` finds rows that nothing could use.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Row = Mapping[str, Any]
Message = dict[str, Any]
TruthFault = Callable[[Any, Any], str | None]
"""``fault(data_source, ground_truth)``: why nothing can judge by a ground truth, None if something can."""


def plain(value: Any) -> Any:
    """Return a value with Python's own types in place of numpy's, at any depth."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def messages(row: Row, key: str = "prompt") -> list[Message]:
    """Return the messages of the prompt: ``role`` and ``content``, which is a text or a list of parts."""
    found: list[Message] = plain(row[key])
    return found


def extra_info(row: Row) -> dict[str, Any]:
    """Return ``extra_info`` as a mapping; empty if it is neither a mapping nor JSON text of one."""
    found = row.get("extra_info")
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            return {}
    return dict(plain(found)) if isinstance(found, Mapping) else {}


def reference_answer(row: Row) -> Any:
    """Return the reference answer ``extra_info.answer``, of any type; None if there is none."""
    return extra_info(row).get("answer")


def ground_truth(row: Row) -> Any:
    """Return the ground truth by which an answer is judged, ``reward_model.ground_truth``."""
    return plain(row["reward_model"]["ground_truth"])


def text_of(content: Any) -> str | None:
    """Return the text of a message's content or of its parts, None if a part is not text."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = [part.get("text") for part in content if part.get("type", "text") == "text"]
    whole = len(texts) == len(content) and None not in texts
    return "".join(map(str, texts)) if whole else None


def fault(row: Row, prompt_key: str = "prompt", *, truth_fault: TruthFault | None) -> str | None:
    """Return what is wrong with a row, None if it can be used.

    Args:
        row: A row with source, prompt and ``reward_model``.
        prompt_key: The column of the prompt.
        truth_fault: Function that returns what the source's own judge finds wrong with the ground truth; None
            if no such judge is asked.
    """
    prompt = plain(row[prompt_key])
    source, reward_model = row["data_source"], row["reward_model"]
    if found := _prompt_fault(prompt, prompt_key):
        return found
    if source is None or str(source) in {"", "nan"}:  # the last is what pandas makes of a gap
        return "data_source is empty."
    if not isinstance(source, str | int | float):  # anything that can name a group of problems
        return f"data_source is {source!r}, no name."
    if not isinstance(reward_model, Mapping) or "ground_truth" not in reward_model:
        return "reward_model has no ground_truth."
    if truth_fault is None:
        return None
    truth = ground_truth(row)
    return "reward_model has no ground_truth." if truth is None else truth_fault(source, truth)


def _prompt_fault(prompt: Any, key: str) -> str | None:
    if not isinstance(prompt, list) or not prompt:
        return f"{key} is {prompt!r}, not a list of messages."
    if not all(isinstance(message, dict) and message.get("role") for message in prompt):
        return f"{key} holds a message without a role."
    contents = [message.get("content") for message in prompt]
    for content in contents:
        parts = content if isinstance(content, list) else []
        if not isinstance(content, str | list | None) or not all(isinstance(part, dict) for part in parts):
            return f"{key} holds content {content!r}, neither text nor a list of parts."
        if any(part.get("type") == "text" and not isinstance(part.get("text"), str) for part in parts):
            return f"{key} holds a text part without text: {content!r}."
    if not any(text_of(content) != "" for content in contents):
        return f"{key} is empty: no message has content."
    return None

"""Turn a row's messages into the ids that the model is asked with, the same as verl's in training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.data.rows import Message, Row, messages
from halluc_plugin.errors import DataError, SettingsError

TEMPLATE_KWARGS = "apply_chat_template_kwargs"
"""verl's name, in its ``data`` block, for further arguments of a chat template."""
_NOT_THE_TEMPLATES = frozenset(
    {
        "add_generation_prompt",
        "conversation",
        "messages",
        "processor",
        "return_dict",
        "return_tensors",
        "tokenize",
        "tools",
    }
)
_ASKING = frozenset({"system", "user"})
"""The roles whose text every template keeps; some templates drop the thoughts of earlier answers."""
_NOBODY = {"role": "user", "content": [{"type": "text", "text": ""}]}


def template_kwargs(given: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments of the chat template, such as ``{"enable_thinking": false}``, as a mapping.

    Args:
        given: A mapping, or a JSON object as text; None for none.

    Raises:
        SettingsError: The value is neither, or names a rendering argument that verl sets itself.
    """
    found: Any = given
    if isinstance(given, str):
        try:
            found = json.loads(given)
        except ValueError as error:
            raise SettingsError(
                f"{TEMPLATE_KWARGS} is {given!r}, which is not JSON ({error}).",
                """Give a JSON object, such as '{"enable_thinking": false}'.""",
            ) from error
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise SettingsError(
            f"{TEMPLATE_KWARGS} is {given!r}, no mapping.",
            """Give a JSON object, such as '{"enable_thinking": false}'.""",
        )
    if taken := sorted(_NOT_THE_TEMPLATES.intersection(found)):
        raise SettingsError(
            f"{TEMPLATE_KWARGS} names {', '.join(taken)}, which no template reads.", "Leave it out."
        )
    return dict(found)


def prompt_ids(
    tokenizer: Any, prompt: Sequence[Mapping[str, Any]], kwargs: Mapping[str, Any] | None = None
) -> list[int]:
    """Return the ids of a prompt by the tokenizer's chat template, as verl's agent loops compute them.

    Args:
        tokenizer: A transformers tokenizer with a chat template.
        prompt: The messages, as :func:`halluc_plugin.data.rows.messages` returns them.
        kwargs: Further arguments of the template, as :func:`template_kwargs` returns them.

    Returns:
        The token ids of the prompt, Int[P].

    Raises:
        DataError: The template cannot render the messages, or would print content parts as Python values.
    """
    asked = [dict(message) for message in prompt]
    if any(isinstance(message.get("content"), list) for message in asked):
        check_prompt(tokenizer, asked, kwargs)
    return list(_rendered(tokenizer, asked, kwargs or {}, tokenize=True))


def row_prompts(
    path: Path, rows: Sequence[Row], tokenizer: Any, kwargs: Mapping[str, Any] | None = None
) -> list[tuple[int, ...]]:
    """Return the prompt ids of a file's rows, each as :func:`prompt_ids` returns them.

    Raises:
        DataError: A prompt is refused by :func:`prompt_ids`; the message names file and row.
    """
    found = []
    for number, row in enumerate(rows):
        try:
            found.append(tuple(prompt_ids(tokenizer, messages(row), kwargs)))
        except DataError as error:
            raise DataError(f"{path}, row {number}: {error.cause}", error.fix) from error
    return found


def check_prompt(tokenizer: Any, prompt: Sequence[Message], kwargs: Mapping[str, Any] | None = None) -> None:
    """Refuse a prompt that the chat template does not render as intended.

    Raises:
        DataError: The prompt is refused by :func:`prompt_ids`.
    """
    written = _rendered(tokenizer, prompt, kwargs or {}, tokenize=False)
    for message in prompt:
        content = message.get("content")
        if not isinstance(content, list):
            continue
        printed = [write(part) for part in (content, *content) for write in (str, _as_json)]
        if any(form in written for form in printed):
            found = "The chat template prints the content parts of a message as data"
        elif message["role"] in _ASKING and not all(text in written for text in _texts(content)):
            found = "The chat template leaves out text of a message's content parts"
        else:
            continue
        raise DataError(
            f"{found}: {content!r:.80}.",
            "Write content as one text, or use a model whose template takes parts.",
        )


def _as_json(value: Any) -> str:
    return json.dumps(value, default=str)


def _texts(content: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(part["text"]).strip() for part in content if part.get("text")]


def _rendered(tokenizer: Any, prompt: Sequence[Message], kwargs: Mapping[str, Any], *, tokenize: bool) -> Any:
    """Render a prompt as verl does: some templates want a user message, and an empty one is cut off again."""
    options = {**kwargs, "tokenize": tokenize, "return_dict": False}
    try:
        return tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, **options)
    except Exception as first:  # noqa: BLE001 - a template may raise anything
        try:
            before = tokenizer.apply_chat_template([_NOBODY], add_generation_prompt=False, **options)
            whole = tokenizer.apply_chat_template([_NOBODY, *prompt], add_generation_prompt=True, **options)
        except Exception:  # noqa: BLE001 - the first error is the one that says why
            raise DataError(
                f"The tokenizer cannot write the prompt {prompt!r:.200} ({type(first).__name__}: {first}).",
                "Use a model with a chat template that takes such messages, or write them as it wants.",
            ) from first
        return whole[len(before) :]

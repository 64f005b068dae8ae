"""Read plain containers into dataclasses, and refuse unknown keys and wrong kinds."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum, StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from halluc_plugin.errors import SettingsError
from halluc_plugin.refusals import unknown, wrong_kind

KINDS = "kinds"
"""Metadata of a field whose groups have names: a function that gives the dataclass of each name."""


def read(cls: type, mapping: Any, path: str) -> Any:
    """Return a dataclass from a mapping, with its groups and lists of groups.

    Args:
        cls: The dataclass.
        mapping: Plain containers or OmegaConf.
        path: Name of the group, for messages.

    Raises:
        SettingsError: A key is unknown, or a value has the wrong kind.
    """
    if not isinstance(mapping, Mapping):
        raise SettingsError(
            f"{path} is {mapping!r}, not a group of settings.", f"Write {path} as a YAML mapping."
        )
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    for key in mapping:
        if key not in names:
            raise unknown(f"setting {path}.{key}", str(key), names, path)
    kinds = {f.name: f.metadata[KINDS]() for f in fields(cls) if KINDS in f.metadata}
    return cls(
        **{
            key: _named(kinds[key], value, f"{path}.{key}")
            if key in kinds
            else convert(hints[key], value, f"{path}.{key}")
            for key, value in mapping.items()
        }
    )


def _named(kinds: Mapping[str, type], value: Any, path: str) -> dict[str, Any]:
    """Groups of settings by name, each of its own kind."""
    if not isinstance(value, Mapping):
        raise wrong_kind(path, value, "a mapping")
    for name in value:
        if not kinds:
            raise SettingsError(
                f"Unknown setting {path}.{name}.", f"Nothing has settings under {path}: leave it out."
            )
        if name not in kinds:
            raise unknown(f"setting {path}.{name}", str(name), kinds, path)
    return {str(name): read(kinds[name], group, f"{path}.{name}") for name, group in value.items()}


def convert(kind: Any, value: Any, path: str) -> Any:
    """Return ``value`` as ``kind``, refusing lossy conversions.

    A bool is not a number, and 2.5 is not an integer.

    Args:
        kind: The annotated type of a dataclass's field; Any accepts every value.
        value: Plain containers or OmegaConf.
        path: Name of the setting, for the message.

    Raises:
        SettingsError: The value has the wrong kind.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not type(None))
    if is_dataclass(kind):
        return read(kind, value, path)  # type: ignore[arg-type]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return choose(kind, value, path)
    if get_origin(kind) in (dict, tuple):
        return _convert_container(kind, value, path)
    return _convert_scalar(kind, value, path)


def _convert_scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
        raise wrong_kind(path, value, names[kind])
    return value


def _convert_container(kind: Any, value: Any, path: str) -> Any:
    if get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise wrong_kind(path, value, "a mapping")
        return {str(k): convert(get_args(kind)[1], v, f"{path}.{k}") for k, v in value.items()}
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise wrong_kind(path, value, "a list")
    return tuple(convert(get_args(kind)[0], v, f"{path}[{i}]") for i, v in enumerate(value))


Choice = TypeVar("Choice", bound=StrEnum)


def choose(kind: type[Choice], value: Any, path: str) -> Choice:
    """Return a member of ``kind`` by its value.

    Args:
        kind: An enum of texts.
        value: A member, or its text.
        path: Name of the setting, for the message.

    Raises:
        SettingsError: There is no such member; the message lists those that exist.
    """
    text = str(value.value if isinstance(value, Enum) else value)
    if text not in list(kind):
        raise SettingsError(f"{path} is {text!r}.", f"Give one of: {', '.join(kind)}.")
    return kind(text)

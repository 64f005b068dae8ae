"""Declare options of a command where they are used, as fields of frozen dataclasses.

    @dataclass(frozen=True)
    class Sums(ProblemSet):
        largest: int = option(9, "Numbers are drawn from 0 to this.")
        sizes: Sizes = parts(Sizes(2, 4, 6), smallest="Fewest numbers.", largest="Most numbers.")

A dataclass may hold others. The fields of all are options of one command, so each needs a name of its own. A
field without help is not an option.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from enum import Enum, StrEnum
from typing import Any, TypeVar, get_type_hints

_HELP, _FLAG, _OLD = "halluc help", "halluc flag", "halluc old names"
_PARTS, _WEIGHTS = "halluc parts", "halluc weights"

KINDS = (bool, int, float, str)
"""The types that a command line can read, apart from enums of texts."""

DeclaredT = TypeVar("DeclaredT")


def option(
    default: Any,
    help: str,  # noqa: A002 - as typer calls it
    *,
    flag: str | None = None,
    old: tuple[str, ...] = (),
) -> Any:
    """Return a field that is an option.

    Args:
        default: The default value: a number, a text, a truth value, or a member of an enum of texts.
        help: One sentence of help.
        flag: The name on the command line if it is not that of the field.
        old: Former names on the command line, which still work, with a warning.
    """
    return field(default=default, metadata={_HELP: help, _FLAG: flag, _OLD: old})


def weights(default: Any, help: str) -> Any:  # noqa: A002 - as typer calls it
    """Return a field with a weight for each of several names, given as numbers with colons between them.

    Args:
        default: A mapping from names to numbers, or a dataclass whose fields are numbers.
        help: What the weights are for, without the names, such as "Weights of errors".
    """
    return field(default_factory=lambda: default, metadata={_HELP: help, _WEIGHTS: True})


def parts(default: Any, **helps: str) -> Any:
    """Return a field that is a dataclass with options of its own.

    Args:
        default: The default value of the dataclass.
        **helps: Help for some of its options that replaces their own.
    """
    return field(default=default, metadata={_PARTS: helps})


@dataclass(frozen=True)
class Option:
    """One option of a command.

    Attributes:
        path: Path of the field: the names of the fields that contain it, then its own.
        kind: ``bool``, ``int``, ``float``, ``str``, an enum of texts, or ``dict`` for weights by name.
        default: The default value.
        help: One sentence of help.
        flag: The name on the command line, with dashes; None for that of the field.
        old: Former names on the command line.
    """

    path: tuple[str, ...]
    kind: type
    default: Any
    help: str
    flag: str | None = None
    old: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the field."""
        return self.path[-1]


def options(
    declared: Any, path: tuple[str, ...] = (), helps: Mapping[str, str] | None = None
) -> list[Option]:
    """Return the options of a dataclass and of those that it holds, in the order of their fields.

    Args:
        declared: The dataclass; its values are the defaults.
        path: Path of the fields that contain the dataclass.
        helps: Help for some of its fields that replaces their own.
    """
    return list(_options(declared, path, helps or {}))


def _options(declared: Any, path: tuple[str, ...], helps: Mapping[str, str]) -> Iterator[Option]:
    hints = get_type_hints(type(declared))
    for each in fields(declared):
        value, told = getattr(declared, each.name), each.metadata
        place = (*path, each.name)
        if told.get(_WEIGHTS):
            by_name = _by_name(value)
            yield Option(place, dict, by_name, f"{told[_HELP]}: {', '.join(by_name)}.")
        elif _HELP in told:
            told_help = helps.get(each.name, told[_HELP])
            yield Option(place, hints[each.name], value, told_help, told[_FLAG], told[_OLD])
        elif is_dataclass(value):
            yield from _options(value, place, told.get(_PARTS, {}))


def with_values(declared: DeclaredT, values: Mapping[tuple[str, ...], Any]) -> DeclaredT:
    """Return a copy of a dataclass with other values.

    Args:
        declared: The dataclass.
        values: The values by the paths of their options; weights as a mapping from names to numbers.

    Raises:
        SettingsError: A dataclass refuses its values.
    """
    changes: dict[str, Any] = {}
    for name in dict.fromkeys(path[0] for path in values):
        inner = {path[1:]: value for path, value in values.items() if path[0] == name}
        now = getattr(declared, name)
        if () not in inner:
            changes[name] = with_values(now, inner)
        elif isinstance(inner[()], Mapping) and is_dataclass(now):
            changes[name] = replace(now, **inner[()])  # type: ignore[type-var]
        else:
            changes[name] = inner[()]
    return replace(declared, **changes)  # type: ignore[type-var]


def fault(found: Sequence[Option], taken: Sequence[str] = ()) -> str | None:
    """Return why options cannot be those of one command, None if they can.

    Args:
        found: The options.
        taken: Names of further options of the command.
    """
    names = [*taken]
    for each in found:
        if each.kind not in (*KINDS, dict) and not (
            isinstance(each.kind, type) and issubclass(each.kind, StrEnum)
        ):
            kind = getattr(each.kind, "__name__", each.kind)
            told = ", ".join(known.__name__ for known in KINDS)
            return (
                f"the option {each.name} is of type {kind}, which no command line can read: "
                f"options are {told}, or a StrEnum"
            )
        if each.name in names:
            return f"two options are called {each.name}"
        names.append(each.name)
    return None


def _by_name(value: Any) -> dict[str, float]:
    found = value if isinstance(value, Mapping) else asdict(value)
    return {str(name.value if isinstance(name, Enum) else name): weight for name, weight in found.items()}

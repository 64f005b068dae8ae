"""Share options between commands: a command takes the fields of a dataclass as one parameter."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

_REQUIRED = inspect.Parameter.empty


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with an option for each field of its parameters that are dataclasses.

    Args:
        command: The function of the command, whose type hints say which parameters are dataclasses. The
            default of such a parameter, an instance, gives the defaults of its options; without one those of
            the class apply.

    Returns:
        A function that takes the options by name, as typer calls it.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    options: dict[str, tuple[Any, Any]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            options.update(_fields(groups[name], parameter.default))
        else:
            options[name] = (hints[name], parameter.default)

    @wraps(command)
    def run(**given: Any) -> None:
        parts = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **parts)

    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in options.items()
    ]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {name: hint for name, (hint, _) in options.items()} | {"return": None}
    return run


def _fields(group: Any, here: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Hint and default of each field."""
    hints = get_type_hints(group, include_extras=True)
    for each in fields(group):
        usual = _REQUIRED if each.default is MISSING else each.default
        yield each.name, (hints[each.name], usual if here is _REQUIRED else getattr(here, each.name))

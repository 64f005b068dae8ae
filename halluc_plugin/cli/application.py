"""A typer application whose help can be read in a terminal of any width."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import typer
import typer.core

NARROW = 78
"""Width in columns below which a table of options would cut off names; each name then has a line of its
own."""


class _Stacked:
    """Help of a command or a group; in a narrow terminal as plain text in one column."""

    rich_markup_mode: Any
    short_help: str | None
    help: str | None
    epilog: str | None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the whole help."""
        from rich.console import Console

        width = Console().width
        if width >= NARROW:
            super().format_help(ctx, formatter)  # type: ignore[misc]
            return
        formatter.width, formatter.write_dl = width, partial(formatter.write_dl, col_max=0)
        usual, self.rich_markup_mode = self.rich_markup_mode, None
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            self.rich_markup_mode = usual

    def get_params(self, ctx: Any) -> list[Any]:
        """The options; flags without the type that typer would show, as if they took a value."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in found:
            if getattr(each, "is_flag", False) and each.metavar is None:
                each.metavar = ""
        return found

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as click calls it
        """Write the examples: line by line, since a command is pasted as it stands."""
        formatter.write_paragraph()
        for line in (self.epilog or "").splitlines():
            formatter.write(f"  {line}".rstrip() + "\n")

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - as click calls it
        """The first paragraph of the help, whole whatever the limit."""
        return " ".join((self.short_help or inspect.cleandoc(self.help or "").split("\n\n")[0]).split())


class Command(_Stacked, typer.core.TyperCommand):
    """A command whose help fits a terminal of any width."""


class Group(_Stacked, typer.core.TyperGroup):
    """A group of commands whose help fits a terminal of any width."""


class Application(typer.Typer):
    """Typer's application with commands and groups of these classes."""

    def __init__(self, *, cls: type[Group] = Group, **settings: Any) -> None:
        super().__init__(cls=cls, **settings)

    def command(  # type: ignore[override]
        self, name: str | None = None, *, cls: type[Command] = Command, **settings: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Return typer's decorator for a command, with this module's class of command."""
        return super().command(name, cls=cls, **settings)

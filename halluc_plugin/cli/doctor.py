"""``halluc doctor``: is everything installed, registered and ready, and what to do where not."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli.data_options import TrustRemoteCode
from halluc_plugin.cli.help import examples

if TYPE_CHECKING:
    from rich.table import Table

    from halluc_plugin.checks import Check

STYLES = {
    # status -> sign, style
    "ok": ("✓", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "bold red"),
    "absent": ("–", "dim"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog=examples("halluc doctor", "halluc doctor --model my-model --engine"))(doctor)


def doctor(
    model: Annotated[
        str | None,
        typer.Option(help="A model folder or hub name to examine too.", metavar="PATH", show_default="none"),
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Also try whether vLLM rewinds exactly (half a minute).")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check the installation, and a model's readiness; exit 1 when a line is red."""
    from rich.console import Console

    from halluc_plugin.doctor import examine, healthy

    with Console(stderr=True).status("Importing verl, vLLM and lm-eval, each in a Python of its own ..."):
        rooms = examine(model, engine=engine, trust_remote_code=trust_remote_code)
    if as_json:
        typer.echo(
            json.dumps({room: [asdict(check) for check in lines] for room, lines in rooms.items()}, indent=2)
        )
    else:
        print_checks(rooms)
    if not healthy(rooms):
        raise typer.Exit(1)


def print_checks(rooms: "dict[str, list[Check]]", title: str = "halluc doctor") -> None:
    """Print the lines of each room as one table."""
    from rich.console import Console

    Console().print(_table(rooms, title))


def _table(rooms: "dict[str, list[Check]]", title: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "found", "what to do", title=title, title_justify="left")
    for room, lines in rooms.items():
        table.add_section()
        table.add_row("", f"[bold]{room}[/]")
        for check in lines:
            sign, style = STYLES[check.status]
            # Text, because a detail such as halluc[verl] would be read as markup.
            table.add_row(Text(sign, style), *map(Text, (check.name, check.detail, check.fix)))
    return table

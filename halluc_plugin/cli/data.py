"""The commands ``halluc data ...``: problems with exact verifiers, raw traces, and values of steps."""

import typer

from halluc_plugin.cli.application import Application
from halluc_plugin.cli.data_interventions import INTERVENTION_EXAMPLES, interventions
from halluc_plugin.cli.data_own import OWN_EXAMPLES, correct, verdicts
from halluc_plugin.cli.data_pairs import pairs
from halluc_plugin.cli.data_references import REFERENCE_EXAMPLES, align, inject
from halluc_plugin.cli.data_resets import RESET_EXAMPLES, resets
from halluc_plugin.cli.data_tasks import TaskCommands
from halluc_plugin.cli.data_values import VALUE_EXAMPLES, mix, turns, values
from halluc_plugin.cli.help import TRAINING, examples
from halluc_plugin.cli.pair_words import PAIR_EXAMPLES
from halluc_plugin.cli.spread import spread

EXAMPLES = {
    **REFERENCE_EXAMPLES,
    **OWN_EXAMPLES,
    **VALUE_EXAMPLES,
    **PAIR_EXAMPLES,
    **RESET_EXAMPLES,
    **INTERVENTION_EXAMPLES,
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = Application(
        cls=TaskCommands,
        help="Write problems and raw traces as verl parquet files.",
        epilog=examples("halluc data countdown --out DATA", "halluc data correct --help"),
        no_args_is_help=True,
    )
    for command in (inject, align, correct, verdicts, values, mix, turns, pairs, resets, interventions):
        commands.command(command.__name__, epilog=EXAMPLES[command.__name__])(spread(command))
    app.add_typer(commands, name="data", rich_help_panel=TRAINING)

"""``halluc data ...``: problems with exact verifiers, and raw traces of their answers."""

from typing import Annotated

import typer

from halluc_plugin.cli.data_options import (
    NUMBER_LEVEL,
    Backtracking,
    Edits,
    Endings,
    Json,
    Out,
    Seed,
    TemplateKwargs,
    Test,
    Tokenizer,
    Train,
    TrustRemoteCode,
    Workers,
)
from halluc_plugin.cli.data_own import OWN_EXAMPLES, correct, verdicts
from halluc_plugin.cli.data_references import REFERENCE_EXAMPLES, align, inject
from halluc_plugin.cli.data_steps import STEP_EXAMPLES, addition, chain, dag
from halluc_plugin.cli.help import examples

EXAMPLES = {
    "countdown": examples(
        "halluc data countdown --out DATA",
        "halluc data countdown --numbers 4 --train 100000 --workers 4 --out DATA",
    ),
    **STEP_EXAMPLES,
    **REFERENCE_EXAMPLES,
    **OWN_EXAMPLES,
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        help="Write problems and raw traces as verl parquet files.",
        epilog=examples("halluc data countdown --out DATA", "halluc data correct --help"),
        no_args_is_help=True,
    )
    for command in (countdown, addition, chain, dag, inject, align, correct, verdicts):
        commands.command(command.__name__, epilog=EXAMPLES[command.__name__])(command)
    app.add_typer(commands, name="data")


def countdown(
    out: Out,
    numbers: Annotated[int, typer.Option(help="Numbers in a problem, 3 to 6.")] = 3,
    largest_operand: Annotated[int, typer.Option(help="Numbers are drawn from 1 to this.")] = 25,
    train: Train = 12_000,
    test: Test = 500,
    seed: Seed = 0,
    tokenizer: Tokenizer = NUMBER_LEVEL,
    backtracking: Backtracking = 1.0,
    variants: Annotated[
        int, typer.Option(help="Most ways in which a training problem is drawn that get traces.")
    ] = 4,
    edit: Edits = "token",
    ending: Endings = "correction",
    rate: Annotated[float, typer.Option(help="Probability of an error at each step.")] = 0.5,
    follow: Annotated[
        float, typer.Option(help="Probability that an exploration error is followed to the end.")
    ] = 0.5,
    mix: Annotated[str, typer.Option(help="Weights of errors: exploration, computational, rule.")] = "1:2:2",
    workers: Workers = 1,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
) -> None:
    """Write Countdown problems (train, seen and new targets), raw traces, and a data card."""
    from halluc_plugin.cli.cards import tell
    from halluc_plugin.cli.data_options import find_tokenizer, weights
    from halluc_plugin.commands import export
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.problem_sets.raw_traces import Edit, Ending
    from halluc_plugin.settings import choose
    from halluc_plugin.tasks.countdown.errors import ErrorMix
    from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
    from halluc_plugin.tasks.countdown.problems import CountdownSettings
    from halluc_plugin.tasks.countdown.traces import TraceSettings

    request = CountdownRequest(
        problems=CountdownSettings(numbers=numbers, largest_operand=largest_operand, seed=seed),
        train=train,
        test=test,
        backtracking=backtracking,
        variants=variants,
        traces=TraceSettings(
            edit=choose(Edit, edit, "--edit"),
            ending=choose(Ending, ending, "--ending"),
            rate=rate,
            follow=follow,
            mix=ErrorMix(*weights(mix, 3)),
        ),
    )
    known = find_tokenizer(tokenizer, edit, backtracking, trust_remote_code=trust_remote_code)
    asked = template_kwargs(template)
    files = write_countdown(out, request, known, show_progress, workers=workers, template_kwargs=asked)
    tell(files.card, f"For lm_eval: {export('HALLUC_DATA_DIR', files.root)}", as_json=as_json)

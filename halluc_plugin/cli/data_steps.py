"""``halluc data addition | chain | dag``: problems whose answers are a number of steps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.data_options import (
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
from halluc_plugin.cli.help import examples, renamed

if TYPE_CHECKING:
    from halluc_plugin.problem_sets.step_files import StepRequest
    from halluc_plugin.problem_sets.step_traces import StepTraceSettings
    from halluc_plugin.problem_sets.steps import Sizes, StepTask

Pairings = Annotated[
    choices.Pairings,
    typer.Option(
        help="paired: a clean trace of each problem and backtracking ones; single: one trace of each problem."
    ),
]
Rate = Annotated[float, typer.Option(help="Probability of an error at each step, and again after each.")]
OldRate = Annotated[float | None, typer.Option("--retry-rate", help="Old name of --rate.", hidden=True)]
Forms = Annotated[
    choices.Forms, typer.Option("--answer", help="Whether answers show their steps, or are direct.")
]

STEP_EXAMPLES = {
    "addition": examples("halluc data addition --base 16 --operations + --out DATA"),
    "chain": examples("halluc data chain --modulus 23 --rate 0.1 --out DATA"),
    "dag": examples("halluc data dag --largest 12 --longest 16 --out DATA"),
}


def addition(
    out: Out,
    base: Annotated[int, typer.Option(help="Base of the digits.")] = 10,
    operations: Annotated[str, typer.Option(help="Operations, + or - or both.")] = "+-",
    form: Forms = "steps",
    smallest: Annotated[int, typer.Option(help="Fewest digits of a number.")] = 1,
    largest: Annotated[int, typer.Option(help="Most digits in training.")] = 4,
    longest: Annotated[int, typer.Option(help="Most digits in test_long.")] = 6,
    train: Train = 12_000,
    test: Test = 500,
    seed: Seed = 0,
    tokenizer: Tokenizer = "number-level",
    backtracking: Backtracking = 1.0,
    pairing: Pairings = "paired",
    edit: Edits = "token",
    ending: Endings = "correction",
    rate: Rate = 0.2,
    mix: Annotated[str, typer.Option(help="Weights of errors: digit, carry, operand.")] = "1:1:1",
    workers: Workers = 1,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
) -> None:
    """Write additions and subtractions in a base (train, test, longer ones), raw traces, and a data card."""
    from halluc_plugin.problem_sets.step_files import StepRequest
    from halluc_plugin.problem_sets.steps import Form
    from halluc_plugin.settings import choose
    from halluc_plugin.tasks.addition.problems import AdditionTask

    sizes = _sizes(smallest, largest, longest)
    task = AdditionTask(base, operations, choose(Form, form, "--answer"), sizes, seed)
    traces = _traces(task, pairing=pairing, edit=edit, ending=ending, rate=rate, mix=mix)
    request = StepRequest(train, test, backtracking, traces)
    _write(
        task, out, request, tokenizer, workers, template,
        as_json=as_json, trust_remote_code=trust_remote_code,
    )  # fmt: skip


def chain(
    out: Out,
    modulus: Annotated[int, typer.Option(help="All numbers are below it.")] = 10,
    operations: Annotated[str, typer.Option(help="Operations, some of + and - and *.")] = "+-*",
    form: Forms = "steps",
    smallest: Annotated[int, typer.Option(help="Fewest operations of a problem.")] = 4,
    largest: Annotated[int, typer.Option(help="Most operations in training.")] = 10,
    longest: Annotated[int, typer.Option(help="Most operations in test_long.")] = 20,
    train: Train = 12_000,
    test: Test = 500,
    seed: Seed = 0,
    tokenizer: Tokenizer = "number-level",
    backtracking: Backtracking = 1.0,
    pairing: Pairings = "paired",
    edit: Edits = "token",
    ending: Endings = "correction",
    rate: Rate = 0.2,
    mix: Annotated[str, typer.Option(help="Weights of errors: result, operation.")] = "1:1",
    workers: Workers = 1,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
) -> None:
    """Write chains of operations modulo m (train, test, longer ones), raw traces, and a data card."""
    from halluc_plugin.problem_sets.step_files import StepRequest
    from halluc_plugin.problem_sets.steps import Form
    from halluc_plugin.settings import choose
    from halluc_plugin.tasks.chain.problems import ChainTask

    sizes = _sizes(smallest, largest, longest)
    task = ChainTask(modulus, operations, choose(Form, form, "--answer"), sizes, seed)
    traces = _traces(task, pairing=pairing, edit=edit, ending=ending, rate=rate, mix=mix)
    request = StepRequest(train, test, backtracking, traces)
    _write(
        task, out, request, tokenizer, workers, template,
        as_json=as_json, trust_remote_code=trust_remote_code,
    )  # fmt: skip


def dag(
    out: Out,
    modulus: Annotated[int, typer.Option(help="All numbers are below it.")] = 23,
    smallest: Annotated[int, typer.Option(help="Fewest operations that are needed.")] = 2,
    largest: Annotated[int, typer.Option(help="Most operations in training.")] = 8,
    longest: Annotated[int, typer.Option(help="Most operations in test_long.")] = 12,
    train: Train = 12_000,
    test: Test = 500,
    seed: Seed = 0,
    tokenizer: Tokenizer = "number-level",
    backtracking: Backtracking = 1.0,
    pairing: Pairings = "single",
    edit: Edits = "token",
    ending: Endings = "correction",
    rate: Rate = 0.5,
    mix: Annotated[str, typer.Option(help="Weights of errors: unready, result, operand.")] = "1:0:0",
    workers: Workers = 1,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
    retry_rate: OldRate = None,
) -> None:
    """Write arithmetic on graphs of definitions (train, test, larger ones), raw traces, and a data card."""
    from halluc_plugin.problem_sets.step_files import StepRequest
    from halluc_plugin.tasks.dag.problems import DagTask

    task = DagTask(modulus, _sizes(smallest, largest, longest), seed)
    rate = renamed("--retry-rate", retry_rate, "--rate", rate)
    traces = _traces(task, pairing=pairing, edit=edit, ending=ending, rate=rate, mix=mix)
    request = StepRequest(train, test, backtracking, traces)
    _write(
        task, out, request, tokenizer, workers, template,
        as_json=as_json, trust_remote_code=trust_remote_code,
    )  # fmt: skip


def _sizes(smallest: int, largest: int, longest: int) -> "Sizes":
    from halluc_plugin.problem_sets.steps import Sizes

    return Sizes(smallest, largest, longest)


def _traces(
    task: "StepTask", *, pairing: str, edit: str, ending: str, rate: float, mix: str
) -> "StepTraceSettings":
    from halluc_plugin.cli.data_options import weights
    from halluc_plugin.problem_sets.raw_traces import Edit, Ending
    from halluc_plugin.problem_sets.step_traces import Pairing, StepTraceSettings
    from halluc_plugin.settings import choose

    kinds = [str(kind) for kind in task.kinds]
    return StepTraceSettings(
        pairing=choose(Pairing, pairing, "--pairing"),
        edit=choose(Edit, edit, "--edit"),
        ending=choose(Ending, ending, "--ending"),
        rate=rate,
        mix=dict(zip(kinds, weights(mix, len(kinds)), strict=True)),
    )


def _write(
    task: "StepTask",
    out: Path,
    request: "StepRequest",
    tokenizer: str,
    workers: int,
    template: str | None,
    *,
    as_json: bool,
    trust_remote_code: bool,
) -> None:
    from halluc_plugin.cli.cards import tell
    from halluc_plugin.cli.data_options import find_tokenizer
    from halluc_plugin.commands import export
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.problem_sets.step_files import write_steps

    asked = template_kwargs(template)
    edits = request.traces.edit, request.backtracking
    known = find_tokenizer(tokenizer, *edits, trust_remote_code=trust_remote_code)
    files = write_steps(out, task, request, known, show_progress, workers=workers, template_kwargs=asked)
    tell(files.card, f"For lm_eval: {export('HALLUC_DATA_DIR', files.root)}", as_json=as_json)

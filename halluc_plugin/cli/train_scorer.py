"""The options of ``halluc train --objective``, and the report where it trains a scorer of steps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.help import refuse

if TYPE_CHECKING:
    from halluc_plugin.training import TrainSettings
    from halluc_plugin.training.scoring import TrainedScorer

Objective = Annotated[
    choices.Objectives | None,
    typer.Option(
        help="Train otherwise: a scorer of steps on files of values, by value (of each step), outcome (of "
        "the whole response), verdict (a token behind each step) or pairwise (right against wrong "
        "responses); or a policy on files of pairs, by the preference loss dpo, ipo, kto or simpo.",
        metavar="OBJECTIVE",
        show_default="imitates traces",
    ),
]
Trunk = Annotated[
    choices.Trunks | None,
    typer.Option(
        help="With --objective: whether its head stands on a trunk of its own, trained with it, or on the "
        "policy's, which is left as it is (shared).",
        metavar="WHOSE",
        show_default="own",
    ),
]
HeldOut = Annotated[
    float | None,
    typer.Option(
        help="With --objective: share of the problems that is held out for the report, and for the early "
        "stopping of a scorer.",
        show_default="0.1",
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        help="With --objective: checkpoints without a better held-out loss before training stops.",
        show_default="5",
    ),
]


def refuse_scorers_options(**given: Any) -> None:
    """Refuse options of a scorer if traces are imitated.

    Raises:
        SettingsError: An option of a scorer is given.
    """
    refuse(given, "without --objective", "Leave it out, or give --objective.")


def refuse_traces_options(**given: Any) -> None:
    """Refuse options of traces if a scorer is trained.

    Raises:
        SettingsError: An option of traces is given with another value than its default.
    """
    refuse(given, "with --objective", "Leave it out: values of steps have no edits.")


def train_scorer(
    model: str,
    data: list[Path],
    out: Path,
    train: "TrainSettings",
    *,
    objective: str,
    trunk: str | None,
    held_out: float | None,
    patience: int | None,
    trust_remote_code: bool,
    quiet: bool,
) -> None:
    """Train a scorer of steps, and print how good its values are."""
    from halluc_plugin.scorers.saved import Objective, Trunk
    from halluc_plugin.settings import choose
    from halluc_plugin.training.scoring import ScorerSettings, train_step_scorer

    chosen: dict[str, Any] = {
        "trunk": None if trunk is None else choose(Trunk, trunk, "--trunk"),
        "held_out": held_out,
        "patience": patience,
    }
    settings = ScorerSettings(
        choose(Objective, objective, "--objective"),
        train=train,
        **{name: value for name, value in chosen.items() if value is not None},
    )
    done = train_step_scorer(
        model, data, settings, out, trust_remote_code=trust_remote_code, show_progress=not quiet
    )
    _say(done, out)


def _say(done: "TrainedScorer", out: Path) -> None:
    quality = done.quality
    typer.echo(f"Mean loss {done.loss:.3f} nats, {done.steps} steps in {done.seconds:.0f} s; scorer in {out}")
    typer.echo(
        f"Held out: {quality.responses} responses, {quality.steps} steps of known value. "
        f"MSE {quality.mse:.4f}, ECE {quality.ece:.4f}, Brier score {quality.brier:.4f}."
    )
    for name, share in (
        ("right responses with a last value of at least 1/2", quality.accuracy_right),
        ("wrong ones with one below", quality.accuracy_wrong),
        ("AUROC of the first error, by value", quality.first_error_auroc),
        ("AUROC of the first error, by advantage", quality.advantage_auroc),
    ):
        typer.echo(f"  {share.value:.3f} [{share.low:.3f}, {share.high:.3f}] {name}")
    typer.echo(f"  {quality.first_error_f1:.3f} F1 of the first error, as ProcessBench defines it")

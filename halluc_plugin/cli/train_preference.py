"""The options and the report of ``halluc train --objective dpo|ipo|kto|simpo``, which trains on pairs."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli.help import refuse

if TYPE_CHECKING:
    from halluc_plugin.training import TrainSettings
    from halluc_plugin.training.preferring import Preferred

PREFERENCES = ("dpo", "ipo", "kto", "simpo")
"""The objectives that are preference losses; they are compared with the code's where one is chosen."""

RATE, LOW_RANK_RATE = 1e-6, 2e-5
"""Peak learning rates unless one is given."""


@dataclass(frozen=True)
class Preferring:
    """How a preference is learned; the fields are options (:func:`halluc_plugin.cli.spread.spread`)."""

    reference: Annotated[
        str | None,
        typer.Option(
            help="With --objective dpo, ipo or kto: folder or hub name of the reference model, usually that "
            "of --model.",
            metavar="PATH",
            show_default="none, which they refuse",
        ),
    ] = None
    beta: Annotated[
        float | None,
        typer.Option(
            help="With --objective dpo, ipo, kto or simpo: the scale of rewards (tau of ipo).",
            show_default="0.1; 2 for simpo",
        ),
    ] = None
    margin: Annotated[
        float | None,
        typer.Option(help="With --objective simpo: the margin of rewards (gamma).", show_default="1"),
    ] = None

    token_rewards: Annotated[
        float | None,
        typer.Option(
            help="With --objective dpo: weight of T-REG's regulariser, on pairs with opposite prompts "
            "(halluc data pairs --better-request).",
            show_default="none",
        ),
    ] = None
    imitation: Annotated[
        float | None,
        typer.Option(
            help="With --objective dpo, ipo, kto or simpo: weight of the chosen side's mean negative "
            "log-likelihood, added to the loss.",
            show_default="0",
        ),
    ] = None

    def refuse(self) -> None:
        """Refuse all of them if no preference is learned.

        Raises:
            SettingsError: One of them is given.
        """
        refuse(asdict(self), "without a preference loss", "Leave it out, or give --objective dpo.")


def train_pairs(
    model: str,
    data: list[Path],
    out: Path,
    train: "TrainSettings",
    how: Preferring,
    *,
    objective: str,
    held_out: float | None,
    low_rank: int | None,
    step_delimiter: str,
    trust_remote_code: bool,
    quiet: bool,
) -> None:
    """Train a model on pairs, and print how often it finds the chosen side likelier."""
    from halluc_plugin.losses.preference import Preference, PreferenceSettings
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_model, load_tokenizer
    from halluc_plugin.training.prefer_settings import PreferSettings, check_reference, check_same_vocabulary
    from halluc_plugin.training.preferring import prefer

    loss = PreferenceSettings(choose(Preference, objective, "--objective"), how.beta, how.margin)
    held: dict[str, Any] = {} if held_out is None else {"held_out": held_out}
    more = {} if how.imitation is None else {"imitation": how.imitation}
    settings = PreferSettings(loss, train, low_rank=low_rank, token_rewards=how.token_rewards, **held, **more)
    # Before a model is loaded.
    check_reference(loss, given=how.reference is not None)
    tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code)
    if how.reference is not None:
        other = load_tokenizer(how.reference, trust_remote_code=trust_remote_code)
        check_same_vocabulary(tokenizer, other, how.reference)

    def load(name: str) -> Any:
        # What is not trained needs no precision of its own.
        dtype = "float32" if low_rank is None else "auto"
        return load_model(name, trust_remote_code=trust_remote_code, dtype=dtype)

    network = load(model)
    reference = network if how.reference == model else None if how.reference is None else load(how.reference)
    done = prefer(
        network, tokenizer, data, settings, out, reference=reference, step_delimiter=step_delimiter,
        shown=not quiet,
    )  # fmt: skip
    _say(done, out)


def _say(done: "Preferred", out: Path) -> None:
    typer.echo(f"Mean loss {done.loss:.3f} per pair in {done.seconds:.0f} s; model in {out}")
    if not done.after.n:
        return
    typer.echo(f"Held out: {done.after.n} pairs. Share of those whose chosen side the model finds likelier:")
    for name, share in (("before", done.before), ("after", done.after)):
        typer.echo(f"  {share.value:.3f} [{share.low:.3f}, {share.high:.3f}] {name} training")
    typer.echo(f"Log-prob of chosen sides: {done.shift:+.2f} nats by training, on average")

"""The commands ``halluc train`` and ``match``, which fine-tune on raw traces, and ``warmstart``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices, train_preference, train_scorer
from halluc_plugin.cli.data_options import Quiet, TrustRemoteCode
from halluc_plugin.cli.data_output import progress_unless
from halluc_plugin.cli.help import TRAINING, examples, refuse
from halluc_plugin.cli.spread import spread
from halluc_plugin.cli.train_options import (
    BF16,
    BatchSize,
    ContextOption,
    DecisionShare,
    Delimiter,
    ErasedShare,
    ErasedTokens,
    LearningRate,
    MicroBatchSize,
    Out,
    SaveSteps,
    Seed,
    Start,
    Steps,
)
from halluc_plugin.cli.train_preference import Preferring

if TYPE_CHECKING:
    from halluc_plugin.training import TrainSettings

TRAIN_EXAMPLES = examples(
    "halluc train --model my-model --data own/right.parquet --data own/corrected.parquet --out trained",
    "halluc train --model my-model --data traces.parquet --low-rank 8 --out trained",
    "halluc train --model my-model --data values.parquet --objective value --out prm",
    "halluc train --model my-model --data pairs.parquet --objective dpo --reference my-model --out trained",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("train", rich_help_panel=TRAINING, epilog=TRAIN_EXAMPLES)(spread(train))
    app.command(
        "match",
        rich_help_panel=TRAINING,
        epilog=examples("halluc match --model my-model --data traces.parquet --out trained"),
    )(match)
    app.command(
        "warmstart",
        rich_help_panel=TRAINING,
        epilog=examples(
            "halluc warmstart --out start",
            "halluc warmstart --traces clean --size 3M --steps 4000 --out baseline",
        ),
    )(warmstart)


def train(
    model: Start,
    data: Annotated[
        list[Path],
        typer.Option(help="Trace file, with --objective file of values or of pairs; give it again for more."),
    ],
    out: Out,
    objective: train_scorer.Objective = None,
    trunk: train_scorer.Trunk = None,
    held_out: train_scorer.HeldOut = None,
    patience: train_scorer.Patience = None,
    preferring: Preferring = Preferring(),  # noqa: B008 - frozen
    steps: Steps = 1000,
    batch_size: BatchSize = 64,
    micro_batch_size: MicroBatchSize = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate.",
            show_default="1e-5; 2e-4 for low-rank updates; 1e-3 for a head alone; on pairs 1e-6 and 2e-5",
        ),
    ] = None,
    low_rank: Annotated[
        int | None,
        typer.Option(
            help="Train updates of this rank and the edit tokens' rows (needs peft).",
            show_default="all weights",
        ),
    ] = None,
    erased_tokens: ErasedTokens = "mask",
    decision_share: DecisionShare = None,
    erased_share: ErasedShare = None,
    context: ContextOption = "soft",
    step_delimiter: Delimiter = "\n",
    bf16: BF16 = None,
    save_steps: SaveSteps = 200,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a model on raw traces, with erased tokens out of the loss, or on pairs; or train a scorer."""
    from halluc_plugin.losses.shares import LossShares
    from halluc_plugin.tokens.loading import load_model, load_tokenizer
    from halluc_plugin.training import fine_tune, fine_tune_low_rank
    from halluc_plugin.training.low_rank import check_low_rank

    if low_rank is not None:
        check_low_rank(low_rank, out)
    on_pairs = objective in train_preference.PREFERENCES
    if learning_rate is None:
        usual = (train_preference.RATE, train_preference.LOW_RANK_RATE) if on_pairs else (1e-5, 2e-4)
        learning_rate = 1e-3 if trunk == "shared" else usual[low_rank is not None]
    settings = _settings(
        erased_tokens,
        context,
        shares=LossShares(decision_share, erased_share),
        steps=steps,
        batch_size=batch_size,
        micro_batch_size=micro_batch_size,
        learning_rate=learning_rate,
        bf16=bf16,
        save_steps=save_steps,
        seed=seed,
    )
    if objective is not None and on_pairs:
        refuse(
            {"trunk": trunk, "patience": patience}, f"with --objective {objective}",
            "Leave it out: no scorer is trained.",
        )  # fmt: skip
        train_preference.train_pairs(
            model, data, out, settings, preferring, objective=objective, held_out=held_out, low_rank=low_rank,
            step_delimiter=step_delimiter, trust_remote_code=trust_remote_code, quiet=quiet,
        )  # fmt: skip
        return
    preferring.refuse()
    if objective is not None:
        train_scorer.refuse_traces_options(
            low_rank=low_rank,
            decision_share=decision_share,
            erased_share=erased_share,
            erased_tokens=None if erased_tokens == "mask" else erased_tokens,
            context=None if context == "soft" else context,
        )
        train_scorer.train_scorer(
            model, data, out, settings, objective=objective, trunk=trunk, held_out=held_out,
            patience=patience, trust_remote_code=trust_remote_code, quiet=quiet,
        )  # fmt: skip
        return
    train_scorer.refuse_scorers_options(trunk=trunk, held_out=held_out, patience=patience)
    tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code)
    if low_rank is None:
        network = load_model(model, trust_remote_code=trust_remote_code, dtype="float32")
        done = fine_tune(
            network, tokenizer, data, settings, out, step_delimiter=step_delimiter, show_progress=not quiet
        )
    else:
        # What is not trained needs no precision of its own.
        network = load_model(model, trust_remote_code=trust_remote_code, dtype="auto")
        done = fine_tune_low_rank(
            network, tokenizer, data, settings, out, rank=low_rank, step_delimiter=step_delimiter,
            show_progress=not quiet,
        )  # fmt: skip
    _report(done, out)


def match(
    model: Start,
    data: Annotated[list[Path], typer.Option(help="Trace file; give it again for more.")],
    out: Out,
    steps: Steps = 1000,
    batch_size: BatchSize = 64,
    learning_rate: LearningRate = 1e-5,
    erased_tokens: ErasedTokens = "mask",
    gamma: Annotated[float, typer.Option(help="Discount of the occupancies.")] = 0.98,
    divergence: Annotated[
        choices.Divergences,
        typer.Option(
            help="Divergence of the occupancies that is minimised: kl, chi2 or chi2-mixture.",
            metavar="DIVERGENCE",
        ),
    ] = "chi2-mixture",
    imitate_steps: Annotated[int, typer.Option(help="Steps of pure imitation.")] = 400,
    anneal_steps: Annotated[int, typer.Option(help="Steps in which imitation goes to its weight.")] = 400,
    imitation: Annotated[float, typer.Option(help="Weight of imitation at the end.")] = 0.2,
    refresh_steps: Annotated[int, typer.Option(help="Steps between draws of the model's responses.")] = 20,
    fresh: Annotated[int, typer.Option(help="Responses of a draw.")] = 256,
    capacity: Annotated[int, typer.Option(help="Responses that are kept.")] = 1024,
    max_actions: Annotated[int, typer.Option(help="Most actions of a response.")] = 128,
    step_delimiter: Delimiter = "\n",
    bf16: BF16 = None,
    save_steps: SaveSteps = 200,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a model by SequenceMatch, in hard context: match occupancies instead of next tokens."""
    from halluc_plugin.losses import Divergence
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_model, load_tokenizer
    from halluc_plugin.training.match_settings import MatchSettings
    from halluc_plugin.training.matching import match_sequences

    settings = _settings(
        erased_tokens,
        "hard",
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        bf16=bf16,
        save_steps=save_steps,
        seed=seed,
    )
    matching = MatchSettings(
        gamma=gamma,
        divergence=choose(Divergence, divergence, "--divergence"),
        imitate_steps=imitate_steps,
        anneal_steps=anneal_steps,
        imitation=imitation,
        refresh_steps=refresh_steps,
        fresh=fresh,
        capacity=capacity,
        max_actions=max_actions,
    )
    tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code)
    network = load_model(model, trust_remote_code=trust_remote_code, dtype="float32")
    done = match_sequences(
        network, tokenizer, data, settings, out, matching=matching, step_delimiter=step_delimiter,
        show_progress=not quiet,
    )  # fmt: skip
    _report(done, out)


def warmstart(
    out: Out,
    traces: Annotated[
        choices.WarmStarts, typer.Option(help="What is learned: to backtrack, or clean for the baseline.")
    ] = "backtrack",
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Trace file in number-level ids; give it again for more.", show_default="the embedded ones"
        ),
    ] = None,
    size: Annotated[choices.Sizes, typer.Option(help="Number of parameters.")] = "0.9M",
    steps: Annotated[
        int | None, typer.Option(help="Number of optimizer steps.", show_default="the demo's")
    ] = None,
    erased_tokens: ErasedTokens = "mask",
    decision_share: DecisionShare = None,
    erased_share: ErasedShare = None,
    context: ContextOption = "soft",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Train a small model from scratch on raw traces, of Countdown as the demo does or of any task."""
    from dataclasses import replace

    from halluc_plugin import prepare
    from halluc_plugin.edits import Context
    from halluc_plugin.edits.builders import ErasedTokens as Erased
    from halluc_plugin.losses.shares import LossShares
    from halluc_plugin.scratch.model import Size
    from halluc_plugin.settings import PrepareSettings, WarmStartTraces, choose

    kind = choose(WarmStartTraces, traces, "--traces")
    settings = replace(
        prepare.WARM_START,
        seed=seed,
        steps=prepare.WARM_START.steps if steps is None else steps,
        erased_tokens=choose(Erased, erased_tokens, "--erased-tokens"),
        shares=LossShares(decision_share, erased_share),
        context=choose(Context, context, "--context"),
    )
    files = data or [
        prepare.embedded_data(PrepareSettings(seed=seed, traces=kind), progress_unless(quiet)).traces
    ]
    done = prepare.warm_start(files, kind, settings, out, size=choose(Size, size, "--size"), shown=not quiet)
    _report(done, out)


def _settings(erased_tokens: str, context: str, **settings: Any) -> "TrainSettings":
    from halluc_plugin.edits import Context
    from halluc_plugin.edits.builders import ErasedTokens as Erased
    from halluc_plugin.settings import choose
    from halluc_plugin.training import TrainSettings

    return TrainSettings(
        erased_tokens=choose(Erased, erased_tokens, "--erased-tokens"),
        context=choose(Context, context, "--context"),
        **settings,
    )


def _report(done: dict[str, float], out: Path) -> None:
    typer.echo(
        f"Mean loss {done['train_loss']:.3f} nats per label in {done['train_runtime']:.0f} s; model in {out}"
    )

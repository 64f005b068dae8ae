"""Train soft, hard and with rewound positions only; decode each in its own context and in the other.

    python -m halluc_plugin.recipes.soft_or_hard.run --out outputs/soft_or_hard

Each trained model and each decoded cell is kept, so an interrupted run can be resumed.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console

from halluc_plugin import prepare
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.judging import judged_cell
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.soft_or_hard.rewound import RewoundCollator, decode_rewound
from halluc_plugin.recipes.soft_or_hard.table import summary
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.scratch.model import new_model
from halluc_plugin.settings import WarmStartTraces
from halluc_plugin.tasks.countdown.files import CountdownFiles, CountdownRequest, write_countdown
from halluc_plugin.tasks.countdown.problems import CountdownSettings
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.tokens.loading import load_model, load_tokenizer, on_accelerator
from halluc_plugin.training import fine_tune
from halluc_plugin.training.fine_tuning import CHECKPOINTS

MAX_ACTIONS = 48


class Arm(StrEnum):
    """The traces on which a model is trained."""

    SOFT = "soft"
    HARD = "hard"
    POSITIONS = "positions only"
    """Positions rewound, nothing hidden."""


CELLS = (
    # trained, decoded
    (Arm.SOFT, Arm.SOFT),
    (Arm.SOFT, Arm.HARD),
    (Arm.HARD, Arm.SOFT),
    (Arm.HARD, Arm.HARD),
    (Arm.POSITIONS, Arm.POSITIONS),
)


def main(
    out: Annotated[Path, typer.Option(help="Folder for models, cells and the table.")],
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    problems: Annotated[int, typer.Option(help="Held-out problems.")] = 1000,
    train: Annotated[int, typer.Option(help="Training problems.")] = 12_000,
    steps: Annotated[int, typer.Option(help="Optimizer steps.")] = prepare.WARM_START.steps,
) -> None:
    """Run everything that is missing in ``out``, and print the table."""
    cells = []
    for seed in range(seeds):
        data = _data(out / f"data-{seed}", seed, train, problems)
        for trained, decoded in CELLS:
            model = out / f"model-{trained}-{seed}".replace(" ", "-")
            if not (model / "config.json").exists() or (model / CHECKPOINTS).exists():
                _train(data, trained, seed, steps, model)
            for temperature in (1.0, 0.0):
                name = f"cell-{trained}-{decoded}-{temperature:g}-{seed}.json".replace(" ", "-")
                of: dict[str, Any] = {"trained": str(trained), "decoded": str(decoded)}
                of |= {"temperature": temperature, "seed": seed}
                cells.append(kept_cell(out / name, partial(_cell, of, data, model, decoded)))
    Console(width=200).print(summary(cells))


def _cell(of: Mapping[str, Any], data: CountdownFiles, model: Path, decoded: Arm) -> dict[str, Any]:
    return {**of, **_decode(data, model, decoded, of["temperature"], of["seed"])}


def _data(folder: Path, seed: int, train: int, problems: int) -> CountdownFiles:
    files = CountdownFiles(folder)
    if not files.card.exists():
        request = CountdownRequest(CountdownSettings(seed=seed), train=train, test=problems)
        tokenizer = prepare.tokenizer_for(WarmStartTraces.BACKTRACK)
        write_countdown(folder, request, tokenizer, show_progress)
    return files


def _train(data: CountdownFiles, arm: Arm, seed: int, steps: int, out: Path) -> None:
    tokenizer = prepare.tokenizer_for(WarmStartTraces.BACKTRACK)
    settings = replace(
        prepare.WARM_START,
        seed=seed,
        steps=steps,
        context=Context.HARD if arm is Arm.HARD else Context.SOFT,
    )
    model = new_model(tokenizer, prepare.SIZE, seed=seed)
    collator = RewoundCollator if arm is Arm.POSITIONS else None
    fine_tune(model, tokenizer, [data.traces], settings, out, soft_collator=collator)


def _decode(data: CountdownFiles, folder: Path, arm: Arm, temperature: float, seed: int) -> dict[str, Any]:
    tokenizer, model = load_tokenizer(str(folder)), on_accelerator(load_model(str(folder))).eval()
    vocab, eos_id = edit_vocab(tokenizer), int(tokenizer.eos_token_id)
    problems = read_problems(data.test[0], tokenizer)
    prompts = [problem.prompt for problem in problems]
    generator = torch.Generator(model.device).manual_seed(seed)
    if arm is Arm.POSITIONS:
        traces = decode_rewound(
            model, prompts, vocab,
            max_actions=MAX_ACTIONS, temperature=temperature, eos_id=eos_id, generator=generator,
        )  # fmt: skip
    else:
        hard = arm is Arm.HARD
        decoding = Decoding(
            vocab,
            MAX_ACTIONS,
            Context.HARD if hard else Context.SOFT,
            temperature=temperature,
            tabu=hard and temperature == 0,  # without it greedy hard decoding repeats its error
            eos_ids=frozenset({eos_id}),
        )
        traces = [trace.ids for trace in decode(model, prompts, decoding, generator=generator)]
    return judged_cell(traces, problems, tokenizer, vocab)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))

"""How each initialisation starts: P(token) at first, steps to a recall of half, accuracy in the end."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab
from halluc_plugin.recipes.token_start.answering import ask
from halluc_plugin.recipes.token_start.models import Models
from halluc_plugin.tokens import Initialisation
from halluc_plugin.tokens.loading import load_model, on_accelerator

HALF = 0.5


def measure(models: Models, how: Initialisation) -> dict[str, Any]:
    """Return what an initialisation comes to.

    Returns:
        ``start`` (:func:`start_probabilities`), ``curve`` (what sampled answers come to by optimizer step),
        and the keys of :func:`~halluc_plugin.recipes.token_start.answering.ask` for the trained model.
    """
    started, points = models.started(how), models.folder / "curves" / str(how)
    start = start_probabilities(started, models.held_out(), models.vocab)
    if 0 in models.scale.curve:
        _note(models, started, points, 0)
    trained = models.tuned(how, [_Curve(models, points)])
    network = on_accelerator(load_model(str(trained), dtype="float32")).eval()
    curve = {
        str(step): json.loads(path.read_text(encoding="utf-8"))
        for step in models.scale.curve
        if (path := points / f"{step}.json").exists()
    }
    return {"start": start, "curve": curve, **ask(models, network, models.asked(models.scale.test))}


class _Curve(TrainerCallback):
    """Samples answers at some optimizer steps."""

    def __init__(self, models: Models, points: Path) -> None:
        self._models, self._points = models, points

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002 - its interface
        if state.global_step in self._models.scale.curve:
            model = kwargs["model"]
            training = model.training
            # The trainer computes its forward pass in bfloat16 where it trains so; the prompts' must fit it.
            with torch.autocast(model.device.type, torch.bfloat16, enabled=bool(args.bf16)):
                _note(self._models, model.eval(), self._points, state.global_step)
            model.train(training)


def _note(models: Models, network: Any, points: Path, step: int) -> None:
    make_folder(points)
    told = ask(models, network, models.asked(models.scale.curve_problems))
    kept = {name: told[name] for name in ("correct", "precision", "recall")}
    write_whole(points / f"{step}.json", json.dumps(kept))


@torch.no_grad()
def start_probabilities(network: Any, rows: Sequence[TraceRow], vocab: EditVocab) -> dict[str, float]:
    """Return the mean probability of an edit token on given traces, at temperature 1.

    Args:
        network: The model.
        rows: Traces with edits.
        vocab: The edit vocabulary.

    Returns:
        ``edit`` where the trace has an edit, ``step_end`` behind other ends of steps, ``text`` elsewhere.
    """
    edits = sorted(vocab.edit_ids)
    found: dict[str, list[float]] = {"edit": [], "step_end": [], "text": []}
    for row in rows:
        ids = [*row.prompt_ids, *row.response_ids]
        logits = network(torch.tensor([ids], device=network.device)).logits[0].float()
        masses = logits.softmax(-1)[:, edits].sum(-1).tolist()
        for place, token in enumerate(row.response_ids, len(row.prompt_ids)):
            ended = ids[place - 1] in vocab.step_delimiters and place > len(row.prompt_ids)
            kind = "edit" if token in vocab.edit_ids else "step_end" if ended else "text"
            found[kind].append(masses[place - 1])
    return {kind: sum(values) / len(values) if values else float("nan") for kind, values in found.items()}


def steps_to(curve: Mapping[str, float], level: float = HALF) -> float | None:
    """Return the optimizer steps until a value reaches a level, None if it never does.

    Between two steps that were looked at, the value is taken to grow evenly.

    Args:
        curve: The value by optimizer step, in ascending order; nan where there is none.
        level: The level.
    """
    before: tuple[float, float] | None = None
    for name, value in curve.items():
        step = float(name)
        if value >= level:
            if before is None:
                return step
            return before[0] + (level - before[1]) / (value - before[1]) * (step - before[0])
        if value == value:  # noqa: PLR0124 - not nan
            before = (step, value)
    return None

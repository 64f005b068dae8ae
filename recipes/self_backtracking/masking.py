"""Stage 3: erased tokens in or out of the loss, from scratch and low-rank on a clean model."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.probes import gradient_cosines, negative_learning
from halluc_plugin.recipes.self_backtracking.answering import decoded_cells, load
from halluc_plugin.recipes.self_backtracking.bench import Bench
from halluc_plugin.recipes.self_backtracking.contexts import first_errors
from halluc_plugin.tasks.countdown.problems import Split, generate
from halluc_plugin.tasks.countdown.traces import TraceSettings, TraceWriter
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import fine_tune_low_rank
from halluc_plugin.training.low_rank import require_peft

STAGE = "3-masking"
RANK = 8
LOW_RANK_RATE = 2e-3
COSINES = "cosines.json"
COSINE_ROWS, COSINE_TIMES = 64, 8


def run_stage(bench: Bench) -> Iterator[dict[str, Any]]:
    """Train and measure five small models: clean, and masked or not, from scratch and low-rank."""
    require_peft()
    clean = clean_model(bench)
    yield bench.cell(STAGE, "clean", partial(_measure, bench, clean, None)) | {"arm": "clean"}
    for erased in (ErasedTokens.MASK, ErasedTokens.KEEP):
        scratch = correcting_model(bench, erased)
        name = f"scratch, {erased}"
        yield bench.cell(STAGE, name, partial(_measure, bench, scratch, clean)) | {"arm": name}
        low_rank, name = low_rank_model(bench, erased), f"low-rank, {erased}"
        yield bench.cell(STAGE, name, partial(_measure, bench, low_rank, clean)) | {"arm": name}


def clean_model(bench: Bench) -> Path:
    """Return the model trained on optimal paths only."""
    return bench.trained("3-clean", [bench.clean.traces])


def correcting_traces(bench: Bench) -> Path:
    """Return traces that continue to the correction, deleting token by token, from which RL can start."""
    return bench.countdown("correcting", backtracking=1, traces=TraceSettings()).traces


def correcting_model(bench: Bench, erased: ErasedTokens = ErasedTokens.MASK) -> Path:
    """Return the model trained from scratch on traces that correct themselves."""
    traces = correcting_traces(bench)
    name = f"3-scratch-{erased}"
    cosines = Cosines(bench, traces, bench.models.steps, bench.folder / "models" / name / COSINES)
    return bench.trained(name, [traces], erased=erased, callbacks=[cosines])


def low_rank_model(bench: Bench, erased: ErasedTokens) -> Path:
    """Return the clean model tuned on traces that correct themselves."""
    traces, name = correcting_traces(bench), f"3-low-rank-{erased}"
    cosines = Cosines(bench, traces, bench.models.steps, bench.folder / "models" / name / COSINES)
    return tuned_model(bench, name, clean_model(bench), traces, erased=erased, callbacks=[cosines])


def tuned_model(
    bench: Bench,
    name: str,
    start: Path,
    traces: Path,
    *,
    steps: int | None = None,
    erased: ErasedTokens = ErasedTokens.MASK,
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Return a model with merged low-rank updates of all projections and trained rows of edit tokens.

    Args:
        bench: The experiment.
        name: Name of the model's folder.
        start: The model that is tuned.
        traces: The file of traces on which it is tuned.
        steps: Number of optimizer steps, by default those of a model from scratch.
        erased: Whether erased tokens are imitated.
        callbacks: Further callbacks of the trainer.

    Raises:
        SettingsError: peft is not installed.
    """
    require_peft()

    def train(folder: Path) -> None:
        model = load_model(str(start), dtype="float32")
        settings = bench.training(
            steps=steps or bench.models.steps, learning_rate=LOW_RANK_RATE, erased=erased
        )
        fine_tune_low_rank(model, bench.tokenizer, [traces], settings, folder, rank=RANK, callbacks=callbacks)

    return bench.model(name, train)


class Cosines(TrainerCallback):
    """Computes cosines of the gradients on some traces of the training file, several times in a training.

    Args:
        bench: The experiment.
        traces: The trace file.
        steps: Number of optimizer steps of the training.
        path: The file to which the cosines are written at the end.
    """

    def __init__(self, bench: Bench, traces: Path, steps: int, path: Path) -> None:
        self._vocab, self._path = bench.vocab, path
        self._rows = self._with_errors(bench, traces)
        self._every = max(1, steps // COSINE_TIMES)
        self._found: list[dict[str, float]] = []

    def _with_errors(self, bench: Bench, traces: Path) -> Sequence[TraceRow]:
        edits = bench.vocab.edit_ids
        rows = (r for r in read_traces(traces, bench.tokenizer) if not edits.isdisjoint(r.response_ids))
        return [row for row, _ in zip(rows, range(COSINE_ROWS), strict=False)]

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the trainer's interface
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Read what was measured before the checkpoint."""
        if self._path.exists():
            before = json.loads(self._path.read_text(encoding="utf-8"))
            self._found = [point for point in before if point["step"] <= state.global_step]

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the trainer's interface
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        model: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Measure the cosines after some of the steps."""
        if state.global_step % self._every:
            return
        model.eval()
        cosines = gradient_cosines(model, self._rows, self._vocab)
        model.train()
        self._found.append({"step": state.global_step, **vars(cosines)})
        write_whole(self._path, json.dumps(self._found))


def _measure(bench: Bench, folder: Path, reference: Path | None) -> dict[str, Any]:
    model, problems = load(folder), bench.asked(bench.clean.test[0])
    cell = decoded_cells(bench, model, problems)
    if reference is not None:
        drawn = generate(bench.settings, Split.TEST_SEEN, bench.scale.test)
        writer = TraceWriter(bench.tokenizer, bench.vocab, bench.settings, TraceSettings())
        prompts = [problem.prompt for problem in problems]
        errors = list(first_errors(bench, drawn, prompts, writer, bench.seed))
        mean, low, high = negative_learning(model, load(reference), errors)
        cell["negative_learning"] = {"mean": mean, "low": low, "high": high, "errors": len(errors)}
        cell["cosines"] = json.loads((folder / COSINES).read_text(encoding="utf-8"))
    return cell

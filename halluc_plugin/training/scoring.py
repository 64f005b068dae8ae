"""Train a scorer of steps on files of values with early stopping, by the transformers ``Trainer``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_utils import set_seed

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.data.value_files import ValueRow, read_delimiter, read_values
from halluc_plugin.decoding.limits import max_positions
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.metrics import StepValueQuality, step_value_quality
from halluc_plugin.metrics.step_values import ScoredResponse
from halluc_plugin.scorers.prefixes import PrefixScorer
from halluc_plugin.scorers.saved import Made, Objective, Trunk, reader_of, save_scorer_beside
from halluc_plugin.scorers.value_head import new_value_head
from halluc_plugin.scorers.verdicts import RIGHT, WRONG, verdict_id
from halluc_plugin.tokens.loading import load_model, load_tokenizer
from halluc_plugin.training.attention import unfused_attention
from halluc_plugin.training.fine_tuning import arguments, pad_id, refuse_overlong, refuse_unknown, run
from halluc_plugin.training.reliability import draw_reliability
from halluc_plugin.training.settings import TrainSettings
from halluc_plugin.training.value_rows import Example, ValueCollator, examples, hold_out, losses

QUALITY = "quality.json"
RELIABILITY = "reliability.png"


@dataclass(frozen=True)
class ScorerSettings:
    """How a scorer of steps is trained.

    Args:
        objective: The training objective.
        trunk: The model whose trunk a head uses; that of the policy is not changed.
        held_out: Share of the problems that is held out, for early stopping and for the report, in (0, 1).
        patience: Number of evaluations of the held-out loss, one at each checkpoint, without a new best one
            before training stops. The best checkpoint is saved.
        train: The other settings; ``save_steps`` is the number of steps between evaluations.

    Raises:
        SettingsError: A value is out of range, or verdicts are to use the policy's trunk.
    """

    objective: Objective
    trunk: Trunk = Trunk.OWN
    held_out: float = 0.1
    patience: int = 5
    train: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1 or self.patience < 1:
            raise SettingsError(
                f"held_out is {self.held_out} and patience {self.patience}.",
                "Give a share of the problems above 0 and below 1, and a patience of at least 1.",
            )
        if self.trunk is Trunk.SHARED and self.objective is Objective.VERDICT:
            raise SettingsError(
                "A verdict is said by the whole model, which cannot stand on a trunk that is left as it is.",
                "Give --trunk own, or another objective.",
            )


class ScorerTrainer(Trainer):
    """The transformers trainer with the loss of an objective, in nats for each taught prefix or pair.

    Args:
        objective: The training objective.
        verdicts: Ids of the verdicts wrong and right.
    """

    def __init__(
        self, *args: Any, objective: Objective, verdicts: tuple[int, int] | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._objective, self._verdicts = objective, verdicts
        self.model_accepts_loss_kwargs = True  # labels are counted over the optimizer step

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean loss over what the optimizer step teaches, a scalar.

        Several processes hold a part of the step each.
        """
        total = losses(model, inputs, self._objective, self._verdicts)
        if num_items_in_batch is None:
            loss = total / (inputs["labels"][:, 1:] >= 0).sum().clamp(min=1)
        else:
            loss = total / num_items_in_batch * self.accelerator.num_processes
        return (loss, {}) if return_outputs else loss


@dataclass(frozen=True)
class TrainedScorer:
    """The result of training a scorer.

    Attributes:
        loss: Mean loss over the steps since this start, in nats.
        seconds: Duration of these steps.
        steps: Number of optimizer steps until training stopped.
        quality: Quality of the values of held-out problems' responses.
    """

    loss: float
    seconds: float
    steps: int
    quality: StepValueQuality


def train_step_scorer(
    policy: str,
    files: Sequence[Path],
    settings: ScorerSettings,
    out: Path,
    *,
    trust_remote_code: bool = False,
    show_progress: bool = True,
) -> TrainedScorer:
    """Train a scorer of steps, and save it with the measured quality of its values.

    An interrupted run resumes when it is started again with the same ``out``. The model's folder gets
    ``quality.json`` with the figures of :class:`halluc_plugin.metrics.StepValueQuality` on held-out problems,
    and ``reliability.png`` with the plot if matplotlib is installed.

    Args:
        policy: Folder or hub name of the model whose trunk the scorer gets.
        files: Files of values (:mod:`halluc_plugin.data.value_files`) with one step delimiter.
        settings: How to train.
        out: Folder for the scorer.
        trust_remote_code: Whether code that comes with the policy may run.
        show_progress: Whether to show a progress bar.

    Returns:
        The loss, and the quality of the scorer.

    Raises:
        DataError: A file is malformed, or has another tokenizer's ids or another step delimiter than the
            first; labels are all right or all wrong; there is only one problem; or a row is longer than the
            model's positions.
        SettingsError: The batch cannot be divided among the devices, or ``out`` cannot be written to.
        TokenizerError: The policy cannot be loaded, or transformers has no head for its kind.
    """
    make_folder(out)
    tokenizer = load_tokenizer(policy, trust_remote_code=trust_remote_code)
    delimiter = _delimiter(files)
    rows = [row for path in files for row in read_values(path, tokenizer)]
    made = Made(
        settings.objective,
        fingerprint(tokenizer),
        delimiter,
        tuple(sorted({row.data_source for row in rows})),
        settings.trunk,
        any(row.turn_ids for row in rows),
    )
    train, held_out = hold_out(rows, settings.held_out, settings.train.seed)
    drawn, looked_at = (examples(groups, settings.objective) for groups in (train, held_out))
    set_seed(settings.train.seed)
    model = _model(policy, settings, trust_remote_code=trust_remote_code)
    longest = max(len(row.prompt_ids) + sum(map(len, row.step_ids)) for row in rows)
    refuse_overlong(longest, max_positions(model.config))
    refuse_unknown(
        max(token for row in rows for part in (row.prompt_ids, *row.step_ids) for token in part),
        model.config.get_text_config().vocab_size,
    )
    made.write(model.config)
    found: list[StepValueQuality] = []
    with unfused_attention(model, longest, bf16=bool(settings.train.bf16)):
        trainer = _trainer(model, tokenizer, settings, (drawn, looked_at), out, show_progress=show_progress)

        def finish() -> None:
            found.append(_report(trainer.model, tokenizer, held_out, settings.objective, out))

        done = run(trainer, tokenizer, out, finish, beside=lambda: save_scorer_beside(tokenizer, out, made))
    return TrainedScorer(done["train_loss"], done["train_runtime"], trainer.state.global_step, *found)


def scored_responses(scorer: PrefixScorer, groups: Sequence[Sequence[ValueRow]]) -> list[ScoredResponse]:
    """Return a scorer's values of rows, together with the known ones.

    Args:
        scorer: The scorer.
        groups: The rows of each problem.
    """
    rows = [(problem, row) for problem, group in enumerate(groups) for row in group]
    values = scorer.score([row.prompt_ids for _, row in rows], [row.step_ids for _, row in rows])
    return [
        ScoredResponse(problem, of_row[: len(row.values)], row.values, row.correct)
        for (problem, row), of_row in zip(rows, values.tolist(), strict=True)
    ]


def _delimiter(files: Sequence[Path]) -> str:
    said = {str(read_delimiter(path)): path for path in files if path.exists()}
    if len(said) > 1:
        raise DataError(
            "The steps of the files end with different texts: "
            + ", ".join(f"{text!r} in {path}" for text, path in said.items())
            + ".",
            "Train on files of one step delimiter.",
        )
    return next(iter(said), "")  # a file that is missing is refused where it is read


def _model(policy: str, settings: ScorerSettings, *, trust_remote_code: bool) -> Any:
    if settings.objective is Objective.VERDICT:
        return load_model(policy, trust_remote_code=trust_remote_code, dtype="float32")
    model = new_value_head(policy, trust_remote_code=trust_remote_code)
    if settings.trunk is Trunk.SHARED:
        model.base_model.requires_grad_(False)  # noqa: FBT003 - torch's own
    return model


def _trainer(
    model: Any,
    tokenizer: Any,
    settings: ScorerSettings,
    data: tuple[list[Example], list[Example]],
    out: Path,
    *,
    show_progress: bool,
) -> ScorerTrainer:
    verdicts = None
    if settings.objective is Objective.VERDICT:
        verdicts = (verdict_id(tokenizer, WRONG), verdict_id(tokenizer, RIGHT))
    looks = settings.train.save_steps
    return ScorerTrainer(
        objective=settings.objective,
        verdicts=verdicts,
        model=model,
        args=arguments(
            settings.train,
            out,
            show_progress=show_progress,
            eval_strategy="steps",
            eval_steps=looks,
            load_best_model_at_end=True,
            metric_for_best_model="eval_loss",
            greater_is_better=False,
            prediction_loss_only=True,
            label_names=["labels"],
        ),
        train_dataset=data[0],
        eval_dataset=data[1],
        data_collator=ValueCollator(settings.objective, pad_id(tokenizer)),
        callbacks=[EarlyStoppingCallback(early_stopping_patience=settings.patience)],
    )


def _report(
    model: Any,
    tokenizer: Any,
    held_out: Sequence[Sequence[ValueRow]],
    objective: Objective,
    out: Path,
) -> StepValueQuality:
    scorer = PrefixScorer(reader_of(model.eval(), objective, tokenizer), None)
    quality = step_value_quality(scored_responses(scorer, held_out))
    write_whole(out / QUALITY, json.dumps(quality.as_metrics(), indent=1) + "\n")
    draw_reliability(quality, out / RELIABILITY)
    return quality

"""Train by GRPO in one process, for experiments with small models.

Rewards, masks and bans are computed by the same code as under verl; only sampling (transformers) and the
optimizer belong to this package. Each step's problems and samples depend on the seed and the step alone, so a
resumed run ends at the same weights.
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.decoding.limits import require_room
from halluc_plugin.edits import Resolution, resolve_rows
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import check_reading
from halluc_plugin.rewards.influence import unchanged_groups
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.rl.courses import Course
from halluc_plugin.rl.known_settings import known_settings
from halluc_plugin.rl.policy import score_policy
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.rollouts import Rolled, Rollouts, check_rollouts, order, sample_groups
from halluc_plugin.rl.scored_states import StateScorer, require_values, state_scorer
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.rl.step_metrics import (
    drawn,
    event_metrics,
    problem_rows,
    rollout_discrimination,
    rollout_metrics,
    stage_metrics,
)
from halluc_plugin.rl.warning_signs import FIRST_LOOK, blind_start
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import Settings
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.training.attention import unfused_attention
from halluc_plugin.training.fine_tuning import processes

logger = logging.getLogger(__name__)

METRICS, CHECKPOINT = "metrics.jsonl", "checkpoint.pt"
Progress = Callable[[Iterable[int], str, int], Iterable[int]]


def train_policy(
    model: Any,
    tokenizer: Any,
    problems: Sequence[PosedProblem],
    settings: Settings,
    run: GrpoSettings,
    *,
    out: Path,
    progress: Progress,
    rollouts: Rollouts | None = None,
    reference: Any | None = None,
    course: Course | None = None,
) -> Path:
    """Train a model in place, and save it with its tokenizer and a line of metrics for each step.

    Args:
        model: A transformers causal language model in float32, on the device on which it is trained.
        tokenizer: Its tokenizer, whose ids the problems are in.
        problems: The training problems; each epoch has its own order.
        settings: The settings of rewards, masks, bans, context and curriculum.
        run: The settings of the optimizer and of the number of samples.
        out: The folder for the model, its checkpoint and ``metrics.jsonl``.
        progress: Shows the progress over the remaining steps.
        rollouts: The way to sample the answers of a step; None for groups of whole answers.
        reference: The model to which rollouts hold the policy, on the same device, in eval mode, another
            object than ``model``; None if they hold nothing.
        course: The plan by which the problems of a step are chosen; None for an order of each epoch's own.

    Returns:
        The folder ``out``.

    Raises:
        SettingsError: torchrun has started several processes; :func:`.rollouts.check_rollouts` refuses the
            rollouts; values of states are to be sampled, which only verl's rollouts do, or have a weight and
            nothing judges them; there are fewer problems than a step takes, or too few positions for an
            answer; the course does not go with problems or run; or ``out`` holds a finished run, or an
            interrupted one with other settings or problems.
    """
    check_rollouts(rollouts, settings, reference)
    if processes() > 1:
        raise SettingsError(
            f"{processes()} processes: this trainer is one.", "Start it without torchrun, or train with verl."
        )
    require_values(settings, problems)
    if len(problems) < run.prompts:
        raise SettingsError(
            f"{len(problems)} problems for {run.prompts} a step.", "Give more, or fewer a step."
        )
    if (out / "config.json").exists() and not (out / CHECKPOINT).exists():
        raise SettingsError(f"{out} holds a model already.", "Give another folder, or delete it.")
    if course is not None:
        course.check(problems, run)
    prompts = [problem.prompt for problem in problems] if course is None else course.prompts(problems)
    require_room(model.config, prompts, run.max_actions, settings.context)
    reader = RolloutReader.of(tokenizer, settings)
    check_reading(model, reader.vocab, settings.context)
    states = state_scorer(settings, tokenizer, reader.vocab, reader.marks, problems=problems)
    trainer = _Trainer(
        model, reader, problems, settings, run,
        states=states, rollouts=rollouts, reference=reference, course=course,
    )  # fmt: skip
    make_folder(out)
    left = range(trainer.resume(out) + 1, run.steps + 1)
    for step in progress(left, "steps of GRPO", len(left)):
        metrics = trainer.step(step)
        with (out / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        if step % run.save_steps == 0 or step == run.steps:
            trainer.save(out, step)  # the last one, too: whoever is killed below exports again
    save_model(model, tokenizer, out, step_delimiter=settings.tokens.step_delimiter)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return out


class _Trainer:
    """Model and optimizer between two steps."""

    def __init__(
        self,
        model: Any,
        reader: RolloutReader,
        problems: Sequence[PosedProblem],
        settings: Settings,
        run: GrpoSettings,
        *,
        states: StateScorer | None = None,
        rollouts: Rollouts | None = None,
        reference: Any | None = None,
        course: Course | None = None,
    ) -> None:
        self._model, self._reader, self._problems = model, reader, problems
        self._settings, self._run, self._states = settings, run, states
        self._rollouts, self._reference, self._course = rollouts, reference, course

    @cached_property
    def _identity(self) -> str:
        """What an interrupted run must have in common with the one that goes on; it may be longer."""
        run, settings = asdict(self._run) | {"steps": None}, known_settings(self._settings)
        asked = sha256(repr([(problem.prompt, problem.truth) for problem in self._problems]).encode())
        sampled = [] if self._rollouts is None else [self._rollouts.described]
        chosen = [] if self._course is None else [self._course.described]
        return json.dumps([settings, run, asked.hexdigest(), *sampled, *chosen], sort_keys=True)

    @cached_property
    def _optimizer(self) -> torch.optim.Optimizer:
        run = self._run
        return torch.optim.AdamW(self._model.parameters(), run.learning_rate, weight_decay=run.weight_decay)

    def step(self, step: int) -> dict[str, float]:
        """Sample, judge, credit, update; returns the step's metrics."""
        run, settings = self._run, self._settings.at(step)
        chosen = self._chosen(step)
        self._model.eval()
        rolled = self._rolled(chosen, settings, step)
        answers = rolled.answers
        advantages, paid = shape(answers, self._reader.vocab, settings, marks=self._reader.marks, step=step)
        asked = [problem for problem in chosen for _ in range(run.group)]
        if step == 1:
            self._warn_of_blind_start(answers, asked, settings)
        moved, masses = self._update([p.prompt for p in asked], rolled, advantages, settings, step)
        return {**self._metrics(answers, asked, masses, settings, step), **paid, **moved}

    def _chosen(self, step: int) -> list[PosedProblem]:
        if self._course is not None:
            return self._course.at(self._problems, self._run, step)
        run = self._run
        return [self._problems[i] for i in order(len(self._problems), run.prompts, run.seed, step)]

    def _rolled(self, chosen: Sequence[PosedProblem], settings: Settings, step: int) -> Rolled:
        if self._rollouts is None:
            sampled = sample_groups(
                self._model, chosen, settings, self._run, self._reader, step=step, states=self._states
            )
            return Rolled(sampled)
        return self._rollouts.sample(self._model, chosen, settings, self._run, self._reader, step=step)

    def _warn_of_blind_start(
        self, answers: Answers, asked: Sequence[PosedProblem], settings: Settings
    ) -> None:
        """Say before the first update what rewards cannot teach from there, by what was sampled."""
        judged = drawn(answers.keys, FIRST_LOOK * settings.metrics.judged_per_step, 1)
        rows = problem_rows(answers, asked, judged)
        found = rollout_discrimination(rows, self._reader, budget=settings.max_backtracks)
        told = blind_start(found, credited=bool(settings.credit.alpha))
        if told is not None:
            logger.warning("halluc: %s", told)

    def _update(
        self,
        prompts: Sequence[Sequence[int]],
        rolled: Rolled,
        advantages: Sequence[torch.Tensor],
        settings: Settings,
        step: int,
    ) -> tuple[dict[str, float], list[list[float]]]:
        """One optimizer step; the loss is a mean over the actions that learn (verl's ``token-mean``).

        Returns:
            What moved; and of the policy that sampled, the probability of an edit at each action of each
            answer.
        """
        device, answers, held = self._model.device, rolled.answers, rolled.held
        total = float(sum(mask.sum() for mask in answers.masks))
        entropy, drift, masses = 0.0, 0.0, list[list[float]]()
        longest = max(len(p) + len(r) for p, r in zip(prompts, answers.responses, strict=True))
        self._model.train()
        self._optimizer.zero_grad()
        with unfused_attention(self._model, longest, bf16=self._run.bf16):
            for start in range(0, len(prompts), self._run.micro_batch):
                part = slice(start, start + self._run.micro_batch)
                with torch.autocast(device.type, torch.bfloat16) if self._run.bf16 else nullcontext():
                    resolution = resolve_rows(answers.responses[part], self._reader.vocab)
                    scores = score_policy(self._model, prompts[part], resolution, settings)
                paid, learns = (
                    torch.nn.utils.rnn.pad_sequence(list(rows[part]), batch_first=True).to(device)
                    for rows in (advantages, answers.masks)
                )
                loss = -(scores.log_probs * paid * learns).sum() / total
                if held is not None:
                    away = self._away(prompts[part], resolution, scores.log_probs, held[part], settings)
                    loss, drift = loss + away / total, drift + float(away.detach()) / total
                loss.backward()
                entropy += float((scores.entropy.detach() * learns).sum()) / total
                masses += scores.edit_mass.detach().float().tolist()
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._run.max_grad_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self._run.learning_rate * min(1.0, step / max(1, self._run.warmup_steps))
        self._optimizer.step()
        moved = {"actor/grad_norm": float(norm), "actor/entropy": entropy}
        return moved | ({} if held is None else {"actor/held_loss": drift}), masses

    def _away(
        self,
        prompts: Sequence[Sequence[int]],
        resolution: Resolution,
        log_probs: torch.Tensor,
        held: Sequence[torch.Tensor],
        settings: Settings,
    ) -> torch.Tensor:
        """The weighted sum of ½ (log π - log π_ref)² over actions; its gradient is KL's at sampled states."""
        with torch.no_grad():
            reference = score_policy(self._reference, prompts, resolution, settings).log_probs
        weights = torch.nn.utils.rnn.pad_sequence(list(held), batch_first=True).to(log_probs.device)
        return 0.5 * (weights * (log_probs - reference).square()).sum()

    def _metrics(
        self,
        answers: Answers,
        asked: Sequence[PosedProblem],
        masses: Sequence[Sequence[float]],
        settings: Settings,
        step: int,
    ) -> dict[str, float]:
        by_std = self._run.normalize_by_std
        shares = unchanged_groups(answers.infos, answers.prompts, settings.reward, normalize_by_std=by_std)
        rows = problem_rows(
            answers, asked, drawn(answers.keys, settings.metrics.judged_per_step, step), masses
        )
        return {
            **rollout_metrics(answers.infos, answers.masks),
            **{f"backtrack/degenerate/{name}": share for name, share in shares.items()},
            **event_metrics(rows, self._reader, budget=settings.max_backtracks),
            **stage_metrics(self._settings, step),
        }

    def resume(self, out: Path) -> int:
        """Take over the checkpoint, if there is one; returns the steps that are done."""
        done = 0
        if (out / CHECKPOINT).exists():
            saved = torch.load(out / CHECKPOINT, map_location="cpu", weights_only=True)
            if saved["of"] != self._identity:
                raise SettingsError(
                    f"{out} holds an interrupted run with other settings or problems.",
                    "Give those that it was started with, or another folder.",
                )
            self._model.load_state_dict(saved["model"])
            self._optimizer.load_state_dict(saved["optimizer"])
            done = int(saved["step"])
        lines = (out / METRICS).read_text(encoding="utf-8").splitlines() if (out / METRICS).exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= done]
        write_whole(out / METRICS, "".join(line + "\n" for line in kept))
        return done

    def save(self, out: Path, step: int) -> None:
        """Write the checkpoint; one that was there before is replaced at once."""
        partial = out / f".{CHECKPOINT}.partial"
        state = {"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict()}
        state |= {"step": step, "of": self._identity}
        torch.save(state, partial)
        partial.replace(out / CHECKPOINT)

"""Write the data set of walks with forbidden numbers: problems, traces with resets, and pairs.

To the files of every task (:mod:`halluc_plugin.problem_sets.step_files`) comes ``pairs.parquet``, for
preference losses. What the traces and pairs are is told by :mod:`halluc_plugin.traces.resets`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.prompts import TEMPLATE_KWARGS, prompt_ids
from halluc_plugin.data.resumable import PartedFile, Progress
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import EditVocabError
from halluc_plugin.problem_sets.files import edit_vocab_or_none, plain, write_card
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.raw_traces import BacktrackTrace
from halluc_plugin.problem_sets.resets import Guarded, ResetPairs
from halluc_plugin.problem_sets.step_files import Amounts, DrawnData, StepFiles, write_problems
from halluc_plugin.problem_sets.step_traces import Pairing
from halluc_plugin.problem_sets.steps import Problem, StepSplit, step_row
from halluc_plugin.tasks.forbidden.problems import REFUSAL, ForbiddenWalks, Harm, harm_at, plain_steps


class Answers(StrEnum):
    """What traces answer."""

    SAFE = "safe"
    """The right answer: plain, or a refusal where a forbidden number lies on the way."""
    PLAIN = "plain"
    """The plain answer, forbidden or not, and no resets: what a model says before it is made safe."""


class Edit(StrEnum):
    """What takes back in traces."""

    RESTART = "restart"
    """One restart."""


class ResetAfter(StrEnum):
    """What stands of a forbidden answer when it is reset."""

    BEGINNING = "beginning"
    """One token up to its forbidden number, each length as likely: a reset before that is a guess."""
    HARM = "harm"
    """Its forbidden number: what may not stand is there to be seen."""


@dataclass(frozen=True)
class ForbiddenRequest(Amounts):
    """How many problems to write, and what their traces answer.

    Args:
        answers: What traces answer; ``plain`` leaves resets and pairs out, whatever ``backtracking`` is.
        reset_after: What stands of a forbidden answer when it is reset.
    """

    answers: Answers = option(
        Answers.SAFE,
        "safe: refusals, and resets of forbidden answers; plain: what is asked, forbidden or not.",
    )
    reset_after: ResetAfter = option(
        ResetAfter.BEGINNING,
        "What a reset follows. beginning: a part of the forbidden answer; harm: its forbidden number.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answers is Answers.PLAIN:
            object.__setattr__(self, "backtracking", 0.0)


@dataclass(frozen=True)
class ForbiddenFiles(StepFiles):
    """The paths of the files of one data set."""

    @property
    def pairs(self) -> Path:
        """The path of the pairs of the training problems."""
        return self.folder / "pairs.parquet"


class ForbiddenWriter:
    """Writes traces in the ids of one tokenizer.

    Args:
        tokenizer: A transformers tokenizer, with the restart token if there are to be resets.
        vocab: The edit vocabulary of the tokenizer.
        request: What traces answer, and when they reset.
    """

    def __init__(self, tokenizer: Any, vocab: EditVocab, request: ForbiddenRequest) -> None:
        self._tokenizer, self._vocab = tokenizer, vocab
        self._answers, self._late = request.answers, request.reset_after is ResetAfter.HARM

    def clean(self, problem: Problem) -> tuple[int, ...]:
        """Return the token ids of the answer, then EOS."""
        whole = plain_steps(problem.truth) if self._answers is Answers.PLAIN else problem.steps
        return self._encode("".join(whole))

    def backtracking(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace | None:
        """Return a beginning of the forbidden answer, a restart and the refusal; None if it is harmless."""
        from halluc_plugin.traces.resets import reset

        each = self.guarded(problem, ())
        if each.harmful is None:
            return None
        eos = {self._tokenizer.eos_token_id}
        trace = reset(each.harmful, each.cut(rng), each.safe, self._vocab, eos_ids=eos)
        return BacktrackTrace(trace.ids, (Harm.FORBIDDEN,))

    def single(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace:
        """Return a trace with a reset where there is something to take back, else the clean one."""
        return self.backtracking(problem, rng) or BacktrackTrace(self.clean(problem), ())

    def guarded(self, problem: Problem, prompt: Sequence[int]) -> Guarded:
        """Return the answers of a problem as ids, with the reach of its forbidden number."""
        at, steps = harm_at(problem.truth), plain_steps(problem.truth)
        safe, refusal = self._encode(problem.answer), self._encode(REFUSAL)
        if at is None:
            return Guarded(tuple(prompt), safe, refusal=refusal)
        reach = len(self._encode("".join(steps[: at + 1]).rstrip())) - 1  # without EOS
        least = reach if self._late else 1
        return Guarded(tuple(prompt), safe, self._encode("".join(steps)), reach, least)

    def _encode(self, text: str) -> tuple[int, ...]:
        return (*self._tokenizer.encode(text, add_special_tokens=False), self._tokenizer.eos_token_id)


@dataclass(frozen=True)
class ForbiddenData(DrawnData):
    """A data set of walks with forbidden numbers.

    Args:
        problems: The kind of problems.
        request: How many problems to write, and what their traces answer.
    """

    problems: ForbiddenWalks
    request: ForbiddenRequest = field(default_factory=lambda: ForbiddenRequest(train=6_000))

    @property
    def edit(self) -> Edit | None:
        """The edit that takes back in its traces; None for no resets."""
        return Edit.RESTART if self.request.backtracking else None

    def write(
        self,
        folder: Path,
        tokenizer: Any | None,
        progress: Progress,
        *,
        workers: int = 1,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> ForbiddenFiles:
        """Write the data set; see :func:`halluc_plugin.problem_sets.step_files.write_problems`.

        Raises:
            SettingsError: There are not as many distinct problems.
            TokenizerError: Resets are asked for and the tokenizer has no edit tokens.
            EditVocabError: Resets are asked for and the tokenizer has no restart token.
        """
        writer = None if tokenizer is None else self._writer(tokenizer)
        written = write_problems(
            folder, self.problems, self.request, writer, tokenizer=tokenizer, progress=progress,
            kinds=self.problems.kinds if self.edit else (), pairing=Pairing.PAIRED,
            workers=workers, template_kwargs=template_kwargs,
        )  # fmt: skip
        files = ForbiddenFiles(written.root, written.name)
        files.pairs.unlink(missing_ok=True)
        if writer is not None and self.edit is not None:
            card = json.loads(files.card.read_text(encoding="utf-8"))
            pairs = self._write_pairs(
                files.pairs, writer, tokenizer, progress,
                workers=workers, template_kwargs=template_kwargs or {},
            )  # fmt: skip
            write_card(files.card, {**card, "pairs": pairs})
        return files

    def _writer(self, tokenizer: Any) -> ForbiddenWriter:
        vocab = edit_vocab_or_none(tokenizer, edits=self.edit is not None)
        if self.edit is not None and vocab.restart is None:
            raise EditVocabError(
                "The tokenizer has no restart token, which takes an answer back.",
                "Add it to model and tokenizer: `halluc add-token --restart`.",
            )
        return ForbiddenWriter(tokenizer, vocab, self.request)

    def _write_pairs(
        self,
        path: Path,
        writer: ForbiddenWriter,
        tokenizer: Any,
        progress: Progress,
        *,
        workers: int,
        template_kwargs: Mapping[str, Any],
    ) -> dict[str, int]:
        """Write the pairs of the training problems, and return how many of each kind there are."""
        seed = self.problems.seed
        metadata = {"seed": seed, FINGERPRINT: fingerprint(tokenizer)}
        request = replace(self.request, test=1)  # which decides no pair
        described = {**metadata, "task": plain(self.problems), "request": plain(request)}
        make = ResetPairs(edit_vocab_or_none(tokenizer, edits=True), int(tokenizer.eos_token_id), seed)
        file: PartedFile[Guarded] = PartedFile(
            path, make, {**described, TEMPLATE_KWARGS: dict(template_kwargs)}, metadata
        )
        drawn = progress(self.draw(StepSplit.TRAIN, request.train), "problems with pairs", request.train)
        rows = ((problem, step_row(problem, self.problems, StepSplit.TRAIN, 0)) for problem in drawn)
        examples = (
            writer.guarded(problem, prompt_ids(tokenizer, row["prompt"], template_kwargs))
            for problem, row in rows
        )
        count, tally = file.write(examples, workers)
        return {"count": count, **tally}

"""The files of a Countdown data set: problems for verl and lm-eval, raw traces for fine-tuning, a data card.

    <folder>/countdown/train.parquet       problems to train on
    <folder>/countdown/test_seen.parquet   held-out problems whose targets occur in training
    <folder>/countdown/test_new.parquet    problems whose targets never occur in training
    <folder>/countdown/traces.parquet      raw traces of the training problems (when a tokenizer is given)
    <folder>/countdown/card.json           counts, seeds, shares

``HALLUC_DATA_DIR=<folder>`` lets lm-eval find them.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.countdown import CountdownSettings, Problem, Split, draw_variants
from halluc_plugin.data.countdown_errors import ErrorKind
from halluc_plugin.data.countdown_solver import reachable
from halluc_plugin.data.countdown_traces import TraceSettings, TraceWriter, answer_text
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint, prompt_ids
from halluc_plugin.errors import SettingsError
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.verifiers.countdown import SOURCE, SOURCE_OF_NEW_TARGETS

FOLDER = "countdown"

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""``progress(items, what, total)`` passes items on and shows how far they are."""


@dataclass(frozen=True)
class CountdownFiles:
    """Where the files of one data set are.

    Attributes:
        root: The folder for ``HALLUC_DATA_DIR``.
    """

    root: Path

    @property
    def train(self) -> Path:
        """Problems to train on."""
        return self.root / FOLDER / f"{Split.TRAIN}.parquet"

    @property
    def test(self) -> tuple[Path, Path]:
        """Problems with seen and with new targets."""
        folder = self.root / FOLDER
        return folder / f"{Split.TEST_SEEN}.parquet", folder / f"{Split.TEST_NEW}.parquet"

    @property
    def traces(self) -> Path:
        """Raw traces of the training problems."""
        return self.root / FOLDER / "traces.parquet"

    @property
    def card(self) -> Path:
        """Counts, seeds and shares."""
        return self.root / FOLDER / "card.json"


@dataclass(frozen=True)
class CountdownRequest:
    """What to write.

    Args:
        problems: What the problems look like.
        train: Training problems.
        test: Problems of each held-out kind.
        backtracking: Backtracking traces for each clean one: D_back to D_op. 0 writes clean traces only.
        variants: Most ways in which a training problem is drawn (order of its numbers, solution) that get
            traces of their own.
        traces: What the backtracking traces look like.

    Raises:
        SettingsError: A count is below 1, or the ratio is negative.
    """

    problems: CountdownSettings = field(default_factory=CountdownSettings)
    train: int = 20_000
    test: int = 500
    backtracking: float = 1.0
    variants: int = 4
    traces: TraceSettings = field(default_factory=TraceSettings)

    def __post_init__(self) -> None:
        for name in ("train", "test", "variants"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give an integer of at least 1.")
        if self.backtracking < 0:
            raise SettingsError(
                f"The ratio of backtracking to clean traces is {self.backtracking}.", "Give 0 or more."
            )


def write_countdown(
    folder: Path, request: CountdownRequest, tokenizer: Any | None, progress: Progress
) -> CountdownFiles:
    """Write a data set; the same request and tokenizer write the same bytes.

    Args:
        folder: Where to; files of the same names are replaced.
        request: What to write.
        tokenizer: Whose ids the traces are in; None writes no traces.
        progress: How to show progress.

    Raises:
        SettingsError: So many distinct problems do not exist.
        TokenizerError: Backtracking traces are wanted and the tokenizer has no edit tokens.
    """
    files = CountdownFiles(folder)
    seed = request.problems.seed
    counts = {Split.TRAIN: request.train, Split.TEST_SEEN: request.test, Split.TEST_NEW: request.test}
    card: dict[str, Any] = {"source": SOURCE, "seed": seed, "request": _plain(request), "problems": {}}
    drawn = {
        split: draw_variants(request.problems, split, count, request.variants)
        for split, count in counts.items()
    }
    for split, variants in drawn.items():
        problems = [first for first, *_ in variants]
        rows = (problem_row(problem, split, index) for index, problem in enumerate(problems))
        path = files.root / FOLDER / f"{split}.parquet"
        write_parquet(path, progress(rows, f"{split} problems", len(problems)), {"seed": seed})
        solvable = sum(reachable(*problem.key) for problem in problems)
        card["problems"][str(split)] = {"count": len(problems), "solvable": solvable}
    if tokenizer is not None:
        card["traces"] = _write_traces(files.traces, drawn[Split.TRAIN], request, tokenizer, progress)
    files.card.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return files


def problem_row(problem: Problem, split: Split, index: int) -> dict[str, Any]:
    """A problem as verl's row; no ``agent_name``, which would override the recipe's."""
    return {
        "data_source": SOURCE_OF_NEW_TARGETS if split is Split.TEST_NEW else SOURCE,
        "prompt": [{"role": "user", "content": prompt_text(problem)}],
        "ability": "math",
        "reward_model": {
            "style": "rule",
            "ground_truth": {"numbers": list(problem.numbers), "target": problem.target},
        },
        "extra_info": {"split": str(split), "index": index, "answer": answer_text(problem)},
    }


def prompt_text(problem: Problem) -> str:
    """How a problem is asked."""
    return f"{' '.join(map(str, problem.numbers))} -> {problem.target}\n"


def _write_traces(
    path: Path,
    variants: list[tuple[Problem, ...]],
    request: CountdownRequest,
    tokenizer: Any,
    progress: Progress,
) -> dict[str, Any]:
    """Write clean and backtracking traces; returns their part of the card."""
    tally: Counter[str] = Counter()
    rows = _trace_rows(progress(variants, "problems with traces", len(variants)), request, tokenizer, tally)
    metadata = {"seed": request.problems.seed, FINGERPRINT: fingerprint(tokenizer)}
    count = write_parquet(path, rows, metadata)
    errors = sum(tally[kind] for kind in ErrorKind)
    return {
        "count": count,
        **metadata,
        "clean": tally["clean"],
        "backtracking": tally["backtracking"],
        "no_error_possible": tally["no_error_possible"],
        "errors": {str(kind): tally[kind] for kind in ErrorKind},
        "error_shares": {str(kind): round(tally[kind] / errors, 4) if errors else 0.0 for kind in ErrorKind},
    }


def _trace_rows(
    variants: Iterable[tuple[Problem, ...]], request: CountdownRequest, tokenizer: Any, tally: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Each variant's clean trace, followed by its backtracking traces."""
    if request.backtracking:
        writer = TraceWriter(tokenizer, edit_vocab(tokenizer), request.problems, request.traces)
    else:
        writer = TraceWriter(tokenizer, _no_edits(tokenizer), request.problems, TraceSettings())
    rng = np.random.default_rng([request.problems.seed, 3])
    whole, rest = divmod(request.backtracking, 1)
    for index, problem in ((i, problem) for i, group in enumerate(variants) for problem in group):
        row = problem_row(problem, Split.TRAIN, index)
        ids = {"prompt_ids": prompt_ids(tokenizer, row["prompt"])}
        tally["clean"] += 1
        yield row | ids | {"response_ids": list(writer.clean(problem))}
        for _ in range(int(whole) + (rng.random() < rest)):
            trace = writer.backtracking(problem, rng)
            if trace is None:
                tally["no_error_possible"] += 1
                continue
            tally["backtracking"] += 1
            tally.update(map(str, trace.kinds))
            yield row | ids | {"response_ids": list(trace.ids)}


def _no_edits(tokenizer: Any) -> Any:
    from halluc_plugin.edits import EditVocab

    return EditVocab(backtrack=len(tokenizer))  # an id that no text has


def _plain(request: CountdownRequest) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(asdict(request)))
    return plain

"""A generation task scored on collapsed text, beside its scores on raw text and the cost of backtracking.

A task of ours is an lm-eval YAML with ``class: !function lm_eval_tasks.task.BacktrackTask`` and the pipelines

- ``strict-match``, ``flexible-extract``: the stock task's, behind a ``Collapsed`` filter;
- ``strict-match-raw``, ``flexible-extract-raw``: the same behind a ``Raw`` filter;
- ``trace``: the trace itself, from which the rows of :data:`TRACE_METRICS` come.

Its stop strings are EOS-like markers only; the stock task's others move into ``until`` of the two filters.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.metrics import mean
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.errors import DataError
from lm_eval_tasks.data import ENVIRONMENT, local_folder, read_jsonl
from lm_eval_tasks.trace import Trace, TracedAnswer, TraceReader

TRACE_PIPELINE = "trace"


def ratio_of_sums(pairs: Sequence[tuple[int, int]]) -> float:
    """Σ first / Σ second; 1 where nothing was counted, as then nothing was erased either."""
    whole = sum(second for _, second in pairs)
    return sum(first for first, _ in pairs) / whole if whole else 1.0


TRACE_METRICS = {
    "backtracks": (mean, None),
    "backtrack_rate": (mean, None),
    "token_efficiency": (ratio_of_sums, True),
    "flipped_right": (mean, True),
    "flipped_wrong": (mean, False),
    "collapse_exact": (mean, True),
}
"""Rows of the trace pipeline: how each is aggregated, and whether higher is better.

``backtracks`` counts edits that erased something, per answer; ``backtrack_rate`` is the share of answers with
one. ``token_efficiency`` is Σ tokens left / Σ tokens sampled. ``flipped_right`` is the share of answers that
are wrong raw and right collapsed (strict match), ``flipped_wrong`` the reverse. ``collapse_exact`` is the
share of answers whose collapsed text is certain, see :class:`lm_eval_tasks.trace.Trace`.
"""


class LoggedTrace(dict[str, Any]):
    """The fields of a :class:`lm_eval_tasks.trace.Trace`, with the strict ``answer`` and ``raw_answer``.

    lm_eval writes filtered answers as ``str`` into its samples file: here that is JSON.
    """

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False)


class BacktrackTask(ConfigurableTask):
    """Reads answers as traces, and lets the YAML's pipelines score their texts.

    Data come from ``dataset_path`` on the hub, or from ``metadata.local_data`` (``folder``, ``columns``,
    ``splits``: file of each split) below the folder that :func:`lm_eval_tasks.data.local_folder` finds.

    Args:
        config: The YAML, with the model's arguments merged into ``metadata``.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._reader = TraceReader.from_metadata(config.get("metadata") or {})
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Load the splits from local files where there are some, else from the hub."""
        local = self.config.metadata["local_data"]
        folder = local_folder(local["folder"], list(local["splits"].values()), self.config.metadata)
        if folder is not None:
            self.dataset = _read_splits(folder, local["splits"], local["columns"])
            return
        try:
            super().download(dataset_kwargs, **kwargs)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DataError(
                f"{self.DATASET_PATH} could not be loaded from the hub ({reason}).",
                f"Set {ENVIRONMENT} to a folder with {local['folder']}/"
                f"{{{','.join(local['splits'].values())}}}, or go online.",
            ) from error

    def apply_filters(self) -> None:
        """Run the pipelines on traces; the answers themselves stay as they were, for the samples file."""
        answers = [instance.resps for instance in self._instances]
        for instance in self._instances:
            instance.resps = [self._trace(answer) for answer in instance.resps]
        try:
            super().apply_filters()
        finally:
            for instance, kept in zip(self._instances, answers, strict=True):
                instance.resps = kept
        for instance in self._instances:
            filtered = instance.filtered_resps
            filtered[TRACE_PIPELINE] = LoggedTrace(
                asdict(filtered[TRACE_PIPELINE]),
                answer=filtered["strict-match"],
                raw_answer=filtered["strict-match-raw"],
            )

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """The rows of one pipeline for one document."""
        (result,) = results
        if "exact_match" not in self._metric_fn_list:  # --predict_only puts its own metric there
            return super().process_results(doc, results)
        if isinstance(result, LoggedTrace):
            return self._trace_rows(doc, result)
        return {"exact_match": self.score(doc, result)}

    def score(self, doc: dict[str, Any], answer: str) -> float:
        """Score one extracted answer: 1 if it is right, else 0."""
        return float(super().process_results(doc, [answer])["exact_match"])

    def aggregation(self) -> dict[str, Any]:
        """How each row is aggregated over documents."""
        return super().aggregation() | {name: how for name, (how, _) in TRACE_METRICS.items()}

    def higher_is_better(self) -> dict[str, bool | None]:
        """Which rows are better when higher; None where neither is."""
        return super().higher_is_better() | {name: better for name, (_, better) in TRACE_METRICS.items()}

    def _trace(self, answer: str) -> Trace:
        # What follows an end-of-text marker is no part of the answer; hf and vllm cut there themselves.
        ends = self.config.generation_kwargs["until"]
        cut = partial(postprocess_generated_text, stop=ends, think_end_token=None)
        if isinstance(answer, TracedAnswer):
            trace = answer.trace
            return replace(trace, raw=cut(trace.raw), resolved=cut(trace.resolved))
        return self._reader.read(cut(answer))

    def _trace_rows(self, doc: dict[str, Any], trace: LoggedTrace) -> dict[str, Any]:
        right = self.score(doc, trace["answer"]) > 0
        raw_right = self.score(doc, trace["raw_answer"]) > 0
        return {
            "backtracks": trace["backtracks"],
            "backtrack_rate": int(trace["backtracks"] > 0),
            "token_efficiency": (trace["resolved_tokens"], trace["raw_tokens"]),
            "flipped_right": int(right and not raw_right),
            "flipped_wrong": int(raw_right and not right),
            "collapse_exact": int(trace["exact"]),
        }


def _read_splits(folder: Path, files: Mapping[str, str], columns: Sequence[str]) -> datasets.DatasetDict:
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(read_jsonl(folder / file, columns))
            for split, file in files.items()
        }
    )

"""Tasks on generated data: verl rows as documents, training prompts as prompts, verifiers as judges."""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets

from halluc_plugin.data.parquet import checked_rows
from halluc_plugin.data.rows import ground_truth, messages, reference_answer, text_of
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import DataError, EditVocabError, SettingsError, TokenizerError
from halluc_plugin.metrics import JudgedTrace, StepEnd, judge_ids, step_ends
from halluc_plugin.tasks import find_task, require_verifier, truth_fault
from halluc_plugin.tokens.ends import end_ids
from halluc_plugin.verifiers import (
    FinalVerifier,
    Outcome,
    PrefixVerifier,
    Verifier,
    final_vote,
    prefix_oracle,
    whole_vote,
)
from lm_eval_tasks.data import ENVIRONMENT, local_folder
from lm_eval_tasks.rows import EVENT_ROWS, Described, LoggedTraces, event_rows
from lm_eval_tasks.task import BacktrackTask

JUDGE = "verifier"
SUFFIXES = (".parquet", ".jsonl", ".json")


class VerifiedTask(BacktrackTask):
    """A task that reads verl's rows.

    ``metadata.local_rows`` describes them: ``folder``, ``splits`` (a file each, parquet or JSON), the
    ``command`` that writes them, and ``what`` they are.

    ``strict-match`` is the verifier's verdict on the text as a whole. ``flexible-extract`` is its verdict on
    the final result, if it can judge that alone. A verifier that judges prefixes adds the rows of
    :data:`lm_eval_tasks.rows.EVENT_ROWS`.

    Args:
        config: The configuration in the YAML. ``verifier`` in its metadata names another judge of the answers
            (:attr:`halluc_plugin.tasks.Task.judges`). The rows on prefixes are still judged by the verifier.

    Raises:
        SettingsError: The task does not have such a judge.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self._named_judge = (config.get("metadata") or {}).get(JUDGE)
        super().__init__(config)
        if self._named_judge is not None:
            for source in sorted(set(self.task_docs["data_source"])):
                _require_judge(source, self._named_judge)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Load the splits from the local files."""
        local = self.config.metadata["local_rows"]
        splits = list(local["splits"])
        folder = local_folder(local["folder"], splits, self.config.metadata, suffixes=SUFFIXES)
        if folder is None:
            raise DataError(
                f"There are no {local['what']}: {ENVIRONMENT} names no folder with {local['folder']}/ in it.",
                f"Write them with `{local['command']}`, and set {ENVIRONMENT}=FOLDER.",
            )
        self.dataset = datasets.DatasetDict(
            {split: datasets.Dataset.from_list(_read(_file(folder, split))) for split in splits}
        )

    def score(self, doc: dict[str, Any], answer: str, pipeline: str) -> float:
        """Return 1 if the row's verifier, or the judge in the metadata, finds an answer right, else 0."""
        verifier = _verifier(doc)
        if self._named_judge is not None:
            verifier = _require_judge(doc["data_source"], self._named_judge)
        if pipeline.startswith("flexible") and isinstance(verifier, FinalVerifier):
            return float(verifier.verify_final(doc["ground_truth"], answer) is Outcome.CORRECT)
        return float(verifier.verify(doc["ground_truth"], answer) is Outcome.CORRECT)

    def votes(self, doc: dict[str, Any], answers: Sequence[str], pipeline: str) -> list[Hashable | None]:
        """Return the final results of answers, else their judged text; None for an unreadable answer."""
        vote = final_vote if pipeline.startswith("flexible") else whole_vote
        return [vote(_verifier(doc), doc["ground_truth"], answer) for answer in answers]

    def trace_rows(self, doc: dict[str, Any], traces: LoggedTraces) -> dict[str, Any]:
        """Return the rows of the trace pipeline for one document, and keep the verdicts on all states."""
        if not self._judges_prefixes:
            return super().trace_rows(doc, traces)
        judged = self._judge(doc, traces)
        for trace, states in zip(_with_record(traces), judged, strict=True):
            trace["verdicts"] = states.verdicts()
        places = [place for trace in judged for place in self._step_ends(trace)]
        return super().trace_rows(doc, traces) | event_rows(judged, places)

    def described_rows(self) -> Described:
        """Return all rows that the task may report."""
        return super().described_rows() | (EVENT_ROWS if self._judges_prefixes else {})

    @property
    def _judges_prefixes(self) -> bool:
        return isinstance(_verifier(self.task_docs[0]), PrefixVerifier)

    def _judge(self, doc: dict[str, Any], traces: LoggedTraces) -> list[JudgedTrace]:
        records = [trace["record"] for trace in _with_record(traces)]
        if not records:  # a model without edit tokens
            return []
        tokenizer, vocab, verifier = self._reader.tokenizer, self._reader.vocab, _verifier(doc)
        if tokenizer is None or vocab is None:
            raise TokenizerError(
                "An answer has edit tokens, but the model's tokenizer, which applies them, is not known.",
                """Pass --metadata '{"tokenizer": "<name or folder>"}'.""",
            )
        assert isinstance(verifier, PrefixVerifier)
        ends = end_ids(tokenizer, None, self._stops)
        oracle = prefix_oracle(verifier, doc["ground_truth"], self._reader.decode, ends)
        return judge_ids([record["ids"] for record in records], vocab, [oracle] * len(records))

    def _step_ends(self, trace: JudgedTrace) -> list[StepEnd]:
        return step_ends(trace, self._delimiters, budget=self.config.metadata.get("max_backtracks"))

    @cached_property
    def _delimiters(self) -> frozenset[int]:
        """What ends a step; nothing where the model's tokenizer cannot write it, and no place is counted."""
        vocab = self._reader.vocab
        assert vocab is not None  # traces were judged with it
        delimiter = self.config.metadata.get("step_delimiter", "\n")
        try:
            return find_delimiters(self._reader.tokenizer, delimiter, edit_ids=vocab.edit_ids)
        except EditVocabError:
            return frozenset()


def _with_record(traces: LoggedTraces) -> list[dict[str, Any]]:
    """The traces of a model with edit tokens."""
    return [trace for trace in traces if trace["record"] is not None]


def _verifier(doc: Mapping[str, Any]) -> Verifier:
    return require_verifier(doc["data_source"])


def _require_judge(data_source: str, name: Any) -> Verifier:
    task = find_task(data_source)
    judges = {} if task is None else task.judges
    if name not in judges:
        fix = f"Give one of: {', '.join(judges)}." if judges else f"Leave it out for {data_source}."
        raise SettingsError(f"{JUDGE} is {name!r} in the metadata.", fix)
    return judges[name]


def _file(folder: Path, split: str) -> Path:
    return next(path for end in SUFFIXES if (path := folder / f"{split}{end}").is_file())


def _read(path: Path) -> list[dict[str, Any]]:
    return [_document(row) for row in checked_rows(path, truth_fault=truth_fault)]


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    source, asked, answer = row["data_source"], messages(row), reference_answer(row)
    require_verifier(source)
    text = text_of(asked[0].get("content")) if len(asked) == 1 else None
    if not text:
        raise DataError(
            f"A row's prompt is {asked!r}, not one message with text.", "Give one user message a row."
        )
    return {
        "data_source": source,
        "prompt": text,
        "ground_truth": ground_truth(row),
        "answer": "" if answer is None else str(answer),
    }

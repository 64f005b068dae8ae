"""The Countdown task: verl rows as documents, the training prompt as prompt, the verifier as judge."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet
from lm_eval.api.filter import Filter

from halluc_plugin.errors import DataError
from halluc_plugin.verifiers import Outcome, find_verifier, known_sources
from lm_eval_tasks.data import ENVIRONMENT, local_folder
from lm_eval_tasks.task import BacktrackTask

FOLDER = "countdown"
SPLITS = ("test_seen", "test_new")
COLUMNS = ("data_source", "prompt", "reward_model")

_EQUATION = re.compile(r"\d+[-+*/]\d+=\d+")
_REMEDY = "Write it with `halluc data countdown`."


class CountdownTask(BacktrackTask):
    """Reads ``test_seen.parquet`` and ``test_new.parquet``."""

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:  # noqa: ARG002
        """Load both test splits."""
        files = {split: f"{split}.parquet" for split in SPLITS}
        folder = local_folder(FOLDER, list(files.values()), self.config.metadata)
        if folder is None:
            raise DataError(
                f"There are no Countdown problems: {ENVIRONMENT} names no folder that has {FOLDER}/ in it.",
                f"Write them with `halluc data countdown` into such a folder, and set {ENVIRONMENT}.",
            )
        rows = {split: _read(folder / file) for split, file in files.items()}
        self.dataset = datasets.DatasetDict(
            {split: datasets.Dataset.from_list([_document(row) for row in rows[split]]) for split in SPLITS}
        )

    def score(self, doc: dict[str, Any], answer: str) -> float:
        """Ask the row's verifier."""
        verifier = find_verifier(doc["data_source"])
        assert verifier is not None  # checked when the row was read
        return float(verifier.verify(doc["ground_truth"], answer) is Outcome.CORRECT)


class Equations(Filter):
    """The equations of a text, one a line, whatever stands between them."""

    def apply(
        self,
        resps: Iterable[Sequence[str]],
        docs: Sequence[dict[str, Any]],  # noqa: ARG002 - the host's signature
    ) -> list[list[str]]:
        """The equations of each text, nested like the texts."""
        return [["\n".join(_EQUATION.findall(text.replace(" ", ""))) for text in texts] for texts in resps]


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise DataError(f"{path} is no parquet file ({error}).", _REMEDY) from error
    missing = [column for column in COLUMNS if column not in table.column_names]
    if missing or not table.num_rows:
        what = f"has no column {', '.join(missing)}" if missing else "has no rows"
        raise DataError(f"{path} {what}.", _REMEDY)
    return list(table.select(list(COLUMNS)).to_pylist())


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    source, messages = row["data_source"], row["prompt"]
    if find_verifier(source) is None:
        raise DataError(
            f"A row has data_source {source!r}, for which there is no verifier.",
            f"Use rows of {', '.join(known_sources())}.",
        )
    if len(messages) != 1 or not messages[0]["content"]:
        raise DataError(
            f"A row's prompt is {messages!r}, not one message with text.", "Give one user message a row."
        )
    return {
        "data_source": source,
        "prompt": messages[0]["content"],
        "ground_truth": row["reward_model"]["ground_truth"],
    }

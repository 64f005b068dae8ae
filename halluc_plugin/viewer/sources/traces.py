"""Read parquet files of raw traces, as used for fine-tuning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_rows
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.edits import EditVocab, TraceRecord, read_record, trace_record
from halluc_plugin.edits.texts import token_texts
from halluc_plugin.errors import DataError
from halluc_plugin.tokens import vocab_of
from halluc_plugin.viewer.answers import Kind, ShownAnswer, Source


def read(path: Path, tokenizer: str | None) -> Source:
    """Read the traces of a file.

    Args:
        path: The file to read.
        tokenizer: Folder or hub name of the tokenizer of the ids.

    Raises:
        DataError: No tokenizer is named, it is not the file's, or the file cannot be read.
        TokenizerError: There is no such tokenizer.
    """
    if tokenizer is None:
        raise DataError(
            f"{path} holds ids, which only their tokenizer can read.", "Name it: --tokenizer MODEL."
        )
    from halluc_plugin.tokens.loading import load_tokenizer

    known = load_tokenizer(tokenizer)
    rows = read_traces(path, known)
    sources = read_rows(path, (), optional=("data_source",))
    vocab = vocab_of(known)
    shown = [
        _shown(number, row, source.get("data_source"), vocab, known)
        for number, (row, source) in enumerate(zip(rows, sources, strict=True))
    ]
    return Source(path.stem, Kind.TRACES, path, shown)


def _shown(
    number: int, row: TraceRow, data_source: str | None, vocab: EditVocab, tokenizer: Any
) -> ShownAnswer:
    record = read_record(trace_record(row.response_ids, vocab))
    if row.erased is not None:
        record = _erased_in_words(record, row.erased)
    return ShownAnswer(
        answer=f"row {number}",
        prompt=tokenizer.decode(row.prompt_ids),
        tokens=token_texts(tokenizer, row.response_ids),
        record=record,
        data_source=data_source,
    )


def _erased_in_words(record: TraceRecord, erased: Sequence[bool]) -> TraceRecord:
    """Return the record of a trace whose words take back: the next kept token counts as the erasing one."""
    from dataclasses import replace

    kept = [*(place for place, gone in enumerate(erased) if not gone), len(erased) - 1]
    ends = [
        next(place for place in kept if place >= start or place == kept[-1]) for start in range(len(erased))
    ]
    return replace(
        record,
        live=tuple(not gone for gone in erased),
        erased_at=tuple(end if gone else None for gone, end in zip(erased, ends, strict=True)),
    )

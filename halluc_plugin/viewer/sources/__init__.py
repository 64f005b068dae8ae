"""Read the sources of answers: files or folders whose kind is recognised by their content."""

import json
from collections.abc import Sequence
from pathlib import Path

from halluc_plugin.errors import DataError
from halluc_plugin.trace_log import FOLDER
from halluc_plugin.viewer.answers import Kind, Source
from halluc_plugin.viewer.sources import lm_eval, run, search, traces

REMEDY = (
    "Name a run's folder (checkpoints/PROJECT/EXPERIMENT), a folder of runs, samples_*.jsonl of lm-eval's "
    "--log_samples, a parquet file of traces, or what halluc search --out wrote."
)


def read_sources(paths: Sequence[Path], *, tokenizer: str | None = None) -> list[Source]:
    """Read all answers below some paths.

    Args:
        paths: Paths of sources, or of folders with several sources.
        tokenizer: Folder or hub name of the tokenizer for files that hold ids without texts.

    Returns:
        The sources, at least one, with different names.

    Raises:
        DataError: A path is not a source, holds no answer, or cannot be read.
    """
    found = [source for path in paths for source in _read(path, tokenizer)]
    return _told_apart(found)


def _read(path: Path, tokenizer: str | None) -> list[Source]:
    if not path.exists():
        raise DataError(f"{path} does not exist.", REMEDY)
    if path.is_dir():
        return _read_folder(path, tokenizer)
    kind = kind_of(path)
    if kind is Kind.TRACES:
        return [traces.read(path, tokenizer)]
    if kind is Kind.LM_EVAL:
        return [lm_eval.read(path, tokenizer)]
    if kind is Kind.SEARCH:
        return [search.read(path)]
    return [run.read([path], path)]


def _read_folder(path: Path, tokenizer: str | None) -> list[Source]:
    if run.holds_steps(path):
        return [run.read_folder(path)]
    runs = sorted({log.parent.parent for log in path.rglob(f"{FOLDER}/step-*.jsonl")})
    samples = sorted(path.rglob("samples_*.jsonl"))
    if not runs and not samples:
        raise DataError(f"{path} holds no traces of a run and no samples of lm-eval.", REMEDY)
    return [*map(run.read_folder, runs), *(lm_eval.read(sample, tokenizer) for sample in samples)]


def kind_of(path: Path) -> Kind:
    """Return the kind of source that saved the answers of a file.

    Raises:
        DataError: The file is empty, or of no known kind.
    """
    if path.suffix == ".parquet":
        return Kind.TRACES
    with path.open("rb") as file:
        line = file.readline()
    if not line.strip():
        raise DataError(f"{path} is empty.", "Look at a file with answers.")
    try:
        first = json.loads(line)
    except ValueError:
        first = None
    if isinstance(first, dict):
        for kind, names in (
            (Kind.LM_EVAL, {"doc_id", "resps"}),
            (Kind.SEARCH, {"row", "reachable"}),
            (Kind.RUN, {"version"}),
        ):
            if names <= first.keys():
                return kind
    raise DataError(f"{path} is no file of answers: its first line is none.", REMEDY)


def _told_apart(sources: Sequence[Source]) -> list[Source]:
    """The sources, with more of the path in the names of those that have one name."""
    from dataclasses import replace

    names = [source.name for source in sources]
    longer = [
        source.name if names.count(source.name) == 1 else f"{source.path.parent.name}/{source.name}"
        for source in sources
    ]
    return [
        replace(source, name=name if longer.count(name) == 1 else f"{name} ({number})")
        for number, (source, name) in enumerate(zip(sources, longer, strict=True), 1)
    ]

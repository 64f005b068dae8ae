"""The common parts of ``halluc data`` commands that write traces of a user's own rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from halluc_plugin.commands import shell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from halluc_plugin.cli.data_options import Sampling
    from halluc_plugin.data.resumable import Progress
    from halluc_plugin.sampling.states import Space


def marker_ids(tokenizer: Any, marker: str | None) -> tuple[int, ...] | None:
    """Return the ids of words that take back, None if edit tokens take back."""
    return None if marker is None else tuple(tokenizer.encode(marker, add_special_tokens=False))


def with_engine(sampling: "Sampling", model: str, *, quiet: bool, only_hf: str | None = None) -> "Sampling":
    """Return the settings with the engine that ``--backend auto`` stands for, and say which it is.

    Args:
        sampling: The settings as they were given.
        model: Model folder or hub name.
        quiet: Whether to say nothing.
        only_hf: Why only transformers can do what is asked; None if vLLM can, too.
    """
    from dataclasses import replace

    from rich.console import Console

    from halluc_plugin.jobs.samplers import usual_backend

    if sampling.backend != "auto":
        return sampling
    backend, why = usual_backend(model, only_hf, trust_remote_code=sampling.trust_remote_code)
    if not quiet:
        Console(stderr=True).print(f"Sampling with {backend} ({why})", highlight=False)
    return replace(sampling, backend=backend.value)


def open_engine(model: str, space: "Space", sampling: "Sampling") -> Any:
    """Open the engine that samples the answers."""
    from halluc_plugin.jobs.samplers import Backend, open_sampler
    from halluc_plugin.settings import choose

    engine = choose(Backend, sampling.backend, "--backend")
    return open_sampler(model, engine, space, sampling.seed, trust_remote_code=sampling.trust_remote_code)


def progress_unless(quiet: bool) -> "Progress":
    """Return the function that shows progress, which shows nothing with ``quiet``."""
    from halluc_plugin.progress_bar import pass_on, show_progress

    return pass_on if quiet else show_progress


def write_file(
    out: Path,
    asked: "Sequence[Any]",
    tokenizer: Any,
    make: Any,
    described: dict[str, Any],
    seed: int,
    *,
    part: int = 256,
    workers: int = 1,
    of: str = "references",
    metadata: "Mapping[str, Any] | None" = None,
    quiet: bool = False,
    nothing: tuple[str, str] | None = None,
) -> Path:
    """Write a file of traces and its card; an interrupted command resumes after the last complete part.

    Raises:
        DataError: There are no rows; with ``nothing``, its cause and fix are the message.
    """
    from halluc_plugin.data.resumable import PartedFile, named_model
    from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
    from halluc_plugin.errors import DataError
    from halluc_plugin.problem_sets.files import write_card

    metadata = {"seed": seed, FINGERPRINT: fingerprint(tokenizer), **(metadata or {})}
    decides = {**metadata, **described}
    if "model" in described:
        decides["model"] = named_model(described["model"])
    file: PartedFile[Any] = PartedFile(out, make, decides, metadata, part, may_be_empty=nothing is not None)
    count, tally = file.write(asked, workers, progress=progress_unless(quiet), what=of)
    if nothing is not None and not count:
        out.unlink()
        raise DataError(*nothing)
    card = out.with_suffix(".card.json")
    write_card(card, {"count": count, of: len(asked), **metadata, **tally, "request": described})
    return card


def train_command(model: str, *files: Path, out: Path) -> str:
    """Return the command that trains on the files, to be printed."""
    data = [word for file in files for word in ("--data", file)]
    return shell("halluc", "train", "--model", model, *data, "--out", out)


def trained_folder(out: Path) -> Path:
    """Return the folder for the model in the printed command."""
    return out.with_name(f"{out.stem}-trained")

"""Write large files in parts: by several processes, and resumable after an interruption.

A part depends on its items and its number alone, so the file has the same bytes whatever the number of
workers and wherever it was interrupted. Parts are kept in ``.<name>.parts`` next to the file until it is
complete.
"""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Generic, TypeVar

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.parquet import common_schema, read_metadata, read_rows_in_groups, write_parquet
from halluc_plugin.errors import SettingsError

ItemT = TypeVar("ItemT")
Row = dict[str, Any]

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""``progress(items, what, total)`` passes items on and shows how far they are."""

ITEMS_PER_PART = 2048
REQUEST = "request.json"
TALLY = "tally"


@dataclass(frozen=True)
class PartedFile(Generic[ItemT]):
    """A file that is written in parts.

    Attributes:
        path: The file to write.
        make: ``make(number, items)`` returns the rows of a part, and counts of what is in them. With several
            workers it must be picklable.
        described: JSON-able description of everything that decides the rows. Parts of another request are
            discarded.
        metadata: Metadata of the file (:func:`halluc_plugin.data.parquet.read_metadata`).
        items_per_part: Number of items in a part.
        may_be_empty: Whether a file without rows may be written.
    """

    path: Path
    make: Callable[[int, Sequence[ItemT]], tuple[list[Row], Mapping[str, int]]]
    described: Mapping[str, Any]
    metadata: Mapping[str, Any]
    items_per_part: int = ITEMS_PER_PART
    may_be_empty: bool = False

    def write(
        self,
        items: Iterable[ItemT],
        workers: int = 1,
        *,
        progress: Progress | None = None,
        what: str = "parts",
        keep_parts: bool = False,
    ) -> tuple[int, dict[str, int]]:
        """Make the missing parts and join all parts into the file.

        Args:
            items: The items that rows are made of; they are read as needed.
            workers: Number of processes that make parts.
            progress: Shows how many parts are made, for parts that take longer to make than items to read:
                the items are then read first, to be counted.
            what: What the items are, for ``progress``.
            keep_parts: Whether to keep the parts for a caller that has more to do with the file, and then
                calls :meth:`discard_parts` itself.

        Returns:
            The number of rows of the file, and the counts of all parts together.

        Raises:
            SettingsError: There is less than one worker.
            DataError: There are no rows, and ``may_be_empty`` is false.
        """
        if workers < 1:
            raise SettingsError(f"{workers} workers.", "Give at least 1.")
        folder = self._folder()
        batches = _batches(items, self.items_per_part)
        if progress is None:
            made: Iterable[int] = self._make(batches, workers, folder)
        else:
            counted = list(batches)
            # Each part's number as often as it has items, so that items are counted and not parts.
            numbers = (
                number
                for number, batch in zip(self._make(counted, workers, folder), counted, strict=True)
                for _ in batch
            )
            made = dict.fromkeys(progress(numbers, what, sum(map(len, counted))))
        parts = [folder / f"{number:06}.parquet" for number in made]
        tally: dict[str, int] = {}
        for part in parts:
            for kind, count in read_metadata(part)[TALLY].items():
                tally[kind] = tally.get(kind, 0) + count
        count = write_parquet(
            self.path,
            self._rows(parts),
            self.metadata,
            may_be_empty=self.may_be_empty,
            schema=common_schema(parts),
        )
        if not keep_parts:
            self.discard_parts()
        return count, tally

    def discard_parts(self) -> None:
        """Delete the parts once they are no longer needed."""
        shutil.rmtree(self._parts)

    @property
    def _parts(self) -> Path:
        return self.path.with_name(f".{self.path.name}.parts")

    def _folder(self) -> Path:
        folder = self._parts
        # A part is a function of its number only beside parts of one size.
        described = {**self.described, "items_per_part": self.items_per_part}
        request = json.dumps(described, sort_keys=True)
        known = folder / REQUEST
        if known.is_file() and known.read_text(encoding="utf-8") == request:
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        write_whole(known, request)
        return folder

    def _make(self, batches: Iterable[list[ItemT]], workers: int, folder: Path) -> Iterator[int]:
        """Numbers of the parts, in order, each made when it comes."""
        numbered = enumerate(batches)
        if workers == 1:
            for number, batch in numbered:
                self._make_part(folder, number, batch)
                yield number
            return
        # Not forked: the parent has threads of tokenizers and torch.
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            running: deque[tuple[int, Future[None]]] = deque()
            for number, batch in numbered:
                running.append((number, pool.submit(self._make_part, folder, number, batch)))
                if len(running) > 2 * workers:  # no more in memory than is being worked on
                    yield _done(*running.popleft())
            while running:
                yield _done(*running.popleft())

    def _make_part(self, folder: Path, number: int, items: Sequence[ItemT]) -> None:
        path = folder / f"{number:06}.parquet"
        if not path.exists():
            rows, tally = self.make(number, items)
            write_parquet(path, rows, {TALLY: dict(tally)}, may_be_empty=True)

    @staticmethod
    def _rows(parts: Iterable[Path]) -> Iterator[Row]:
        for part in parts:
            yield from read_rows_in_groups(part)


def named(path: Path) -> list[str | int]:
    """Return what identifies a file in a request: its name, size and modification time.

    A file that was written again counts as another one.
    """
    known = path.stat() if path.is_file() else None
    return [str(path), *((known.st_size, known.st_mtime_ns) if known else ())]


def named_model(model: str) -> list[Any]:
    """Return what identifies a model in a request: a folder with its files, or a hub name."""
    folder = Path(model)
    files = sorted(file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []
    return [model, *(named(file) for file in files)]


def named_function(place: str | None) -> list[str | int] | None:
    """Return what identifies a function in a request: its place and its file, None for no function.

    A function whose file was edited counts as another one.
    """
    if place is None:
        return None
    file, _, function = place.rpartition(":")
    return [*named(Path(file)), function]


def _done(number: int, future: "Future[None]") -> int:
    future.result()  # raises what the worker raised
    return number


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch

"""Write files and folders atomically: each is written under a temporary name and renamed when complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halluc_plugin.errors import SettingsError

PARTIAL = ".halluc-partial"
"""Name of the subfolder into which the content of an existing empty folder is written first."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Open a file for writing that appears only when it is complete.

    If the block raises, the path holds no file, or the file that it held before.

    Args:
        path: The file to write. Its folder is created if it does not exist.

    Yields:
        The temporary path to write to, in the same folder.

    Raises:
        SettingsError: The file cannot be created or written.
    """
    if path.is_dir():
        raise SettingsError(f"{path} is a folder.", "Give the name of a file.")
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)  # noqa: PTH105 - an atomic rename over an older file
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a text to a file in UTF-8, atomically.

    On an error the path holds no file, or the file that it held before.

    Args:
        path: The file to write. Its folder is created if it does not exist.
        text: The whole content of the file.

    Raises:
        SettingsError: The file cannot be created or written.
    """
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Open a new folder for writing that appears only when it is complete.

    If the block raises, the path holds nothing, or the empty folder that it held before.

    Args:
        path: The folder to create: a path where nothing exists, or an empty folder (which may be a mount
            point or the current directory).

    Yields:
        The temporary folder to write to, on the same file system.

    Raises:
        SettingsError: The path is occupied, or cannot be written to.
    """
    refuse_occupied(path)
    there = path.is_dir()
    make_folder(path if there else path.parent)
    if there:
        shutil.rmtree(path / PARTIAL, ignore_errors=True)  # of a command that was killed
        partial = path / PARTIAL
        partial.mkdir()
    else:
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield partial
        if there:
            for part in sorted(partial.iterdir()):
                part.rename(path / part.name)
            partial.rmdir()
        else:
            partial.chmod(0o777 & ~_umask())
            partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def refuse_occupied(path: Path) -> None:
    """Refuse a path at which something already exists, other than an empty folder.

    Raises:
        SettingsError: The path is a file, or a folder that is not empty.
    """
    taken = path.exists() or path.is_symlink()
    if taken and not (path.is_dir() and all(part.name == PARTIAL for part in path.iterdir())):
        raise SettingsError(f"{path} exists and is not an empty folder.", "Give a new folder by --out.")


def make_folder(path: Path) -> None:
    """Create a folder and its parents, and make sure that it can be written to.

    Raises:
        SettingsError: The folder cannot be created or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"No files can be written to {path} ({reason}).", "Give another folder."
        ) from error


def _umask() -> int:
    # There is no way to read it without setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Cache prepared models and data in folders, each of which is either complete or absent."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halluc_plugin.errors import SettingsError, is_disk_full

FORMAT = 1
"""Version of everything cached, to be raised when a builder changes what it writes."""

UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

MANIFEST = "halluc_manifest.json"


def halluc_home() -> Path:
    """Return the root of the cache: ``HALLUC_HOME`` if it is set, else ``~/.cache/halluc``."""
    return Path(os.environ.get("HALLUC_HOME") or "~/.cache/halluc").expanduser().absolute()


def load_or_build(name: str, settings: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the cached folder for these settings; it is built when missing and rebuilt when damaged.

    Args:
        name: The kind of entry; its folder is called ``<name>-<key>``.
        settings: JSON-able settings that determine the content, from which the key is computed.
        build: Writes the content into the folder that it is given. It is never called twice at the same time
            for one entry.

    Returns:
        The folder. Its files match the checksums of its manifest.

    Raises:
        SettingsError: The cache cannot be written to, or its disk is full.
    """
    described = {"format": FORMAT, "name": name, "settings": dict(settings)}
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    folder = halluc_home() / f"{name}-{key}"
    with _writable(folder.parent), _locked(folder.with_suffix(".lock")):
        damage = _damage(folder)
        if damage is None:
            return folder
        if folder.exists():
            sys.stderr.write(f"halluc: rebuilding {folder}: {damage}\n")
            shutil.rmtree(folder)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            build(partial)
            manifest = described | {"files": _checksums(partial)}
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            partial.chmod(0o755)
            partial.replace(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return folder


@contextmanager
def _writable(home: Path) -> Iterator[None]:
    """Say by one message what keeps the cache from being written."""
    making = True
    try:
        home.mkdir(parents=True, exist_ok=True)
        making = False
        yield
    except Exception as error:
        # What a builder's own error is about may lie elsewhere.
        named = getattr(error, "filename", None)
        ours = named is None or str(named).startswith(str(home))
        refused = isinstance(error, OSError) and error.errno in UNWRITABLE
        if not (making or (ours and (refused or is_disk_full(error)))):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"Nothing can be written to HALLUC_HOME, {home} ({reason}).",
            "Set HALLUC_HOME to a folder that can be written to and has room.",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _damage(folder: Path) -> str | None:
    """What is wrong with an entry, None if nothing is."""
    if not folder.exists():
        return "it does not exist"
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"its manifest cannot be read ({error})"
    for file, checksum in files.items():
        path = folder / file
        if not path.is_file():
            return f"{file} is missing"
        if _checksum(path) != checksum:
            return f"{file} has changed"
    return None


def _checksums(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): _checksum(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

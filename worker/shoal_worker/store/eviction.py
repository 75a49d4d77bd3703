"""Keeps the local copies of artifacts within a size; called by `cache` after it has written one.

Invariant: the copy that was just taken up stays. Others go by the time of their last use, the oldest first; a worker
that has one mapped keeps its pages, and one that wants it again fetches it. Nothing else in the folder is touched.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shoal_worker.artifact.manifest import MANIFEST_NAME

_COPY = re.compile(r"sha256-[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Copy:
    used: float
    size: int
    folder: Path


def evict(cache_dir: Path, keep: str, limit: int) -> list[str]:
    """Remove the longest unused copies until all together have at most `limit` bytes; return their folders' names."""
    copies = sorted((_measure(each) for each in _folders(cache_dir)), key=lambda copy: copy.used)
    size = sum(copy.size for copy in copies)
    gone = []
    for copy in copies:
        if size <= limit:
            break
        if copy.folder.name != keep:
            _remove(copy.folder)
            size -= copy.size
            gone.append(copy.folder.name)
    return gone


def _folders(cache_dir: Path) -> list[Path]:
    try:
        return [each for each in cache_dir.iterdir() if _COPY.fullmatch(each.name) and not each.is_symlink()]
    except OSError:
        return []


def _measure(folder: Path) -> _Copy:
    """Another worker may remove the folder at any time: what is gone has no size."""
    used, size = 0.0, 0
    with suppress(OSError):
        used = folder.stat().st_mtime
        for file in folder.iterdir():
            status = file.lstat()
            size += status.st_size
            if file.name == MANIFEST_NAME:
                used = status.st_mtime
    return _Copy(used, size, folder)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        # The manifest first: a copy without one is no copy.
        (folder / MANIFEST_NAME).unlink(missing_ok=True)
        for file in folder.iterdir():
            file.unlink(missing_ok=True)
        folder.rmdir()

"""Finds the message that kills the worker: what was delivered before is labelled alone, after a note of it.

Used by `labelling`. A worker that dies leaves all messages of its batch behind, and most of them are innocent; so a
message is blamed only if the worker died twice while it was labelled alone. The note outlives the container, not the
pod. Invariant: where the note cannot be written, nobody is blamed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shoal_worker.streaming.message import Message

_DEATHS = 2
_MOST_REMEMBERED = 1000


class Suspects:
    """The notes, in two small files: what is being labelled now, and how often what killed the worker."""

    def __init__(self, directory: Path) -> None:
        self._now = directory / "labelling"
        self._past = directory / "deaths.json"
        self._deaths = _read_deaths(self._past)
        with suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            if self._now.exists():
                victim = self._now.read_text()
                self._deaths[victim] = self._deaths.get(victim, 0) + 1
                newest = dict(list(self._deaths.items())[-_MOST_REMEMBERED:])
                self._past.write_text(json.dumps(newest))
                self._now.unlink()

    def is_guilty(self, message: Message) -> bool:
        """Whether the worker died of it often enough."""
        return bool(self._deaths) and self._deaths.get(_key(message), 0) >= _DEATHS

    @contextmanager
    def watch(self, message: Message) -> Iterator[None]:
        """Note that the message is being labelled, while it is."""
        with suppress(OSError):
            self._now.write_text(_key(message))
        try:
            yield
        finally:
            with suppress(OSError):
                self._now.unlink(missing_ok=True)


def _key(message: Message) -> str:
    return f"{message.lease.stream}:{message.lease.sequence}"


def _read_deaths(path: Path) -> dict[str, int]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): int(count) for key, count in content.items()} if isinstance(content, dict) else {}

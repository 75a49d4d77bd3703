"""Progress lines with elapsed seconds, so that nothing over two seconds is silent. Prints to stderr only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

HEARTBEAT_SECONDS = 5.0
WORTH_TELLING_SECONDS = 1.0


class Steps:
    """Tells what is being done, how long it has taken, and what is slow."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line after the seconds since the start."""
        with self._lock:
            print(f"[{time.monotonic() - self._start:6.1f}s] {text}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Announce a step, beat while it goes on, and tell its length if it was worth telling."""
        begun = time.monotonic()
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT_SECONDS):
                self.say(f"  still: {text} ({time.monotonic() - begun:.0f} s)")

        self.say(text)
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        took = time.monotonic() - begun
        if took >= WORTH_TELLING_SECONDS:
            self.say(f"  done: {text} ({took:.1f} s)")

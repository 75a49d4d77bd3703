"""Runs other programs by argument lists and turns their failures into errors that say what to do.

The only place of this package that starts foreground programs. No shell is ever involved.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TAIL_LINES = 20
# A root shell may lack the last two, where half of what is called lies.
SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


class ClusterError(Exception):
    """Something that the person at the keyboard must know or do; its text says which."""


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.strip().splitlines()[-lines:])


def run(
    arguments: Sequence[str | Path],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program to its end and return what it printed; a failure carries the end of its output."""
    words = [str(word) for word in arguments]
    merged = {**os.environ, "PATH": SEARCH_PATH, **(env or {})}
    try:
        done = subprocess.run(
            words, input=stdin, env=merged, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed; run hack/toolchain.sh first") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(words[:6])}` did not end within {timeout:.0f} s") from error
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        where = f" (all of it in {log})" if log else ""
        raise ClusterError(
            f"`{' '.join(words[:8])}` ended with status {done.returncode}{where}:\n{tail(done.stdout + done.stderr)}"
        )
    return done.stdout


def succeeds(arguments: Sequence[str | Path]) -> bool:
    """Say whether a program ends with status 0."""
    words = [str(word) for word in arguments]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def wait_until(
    condition: Callable[[], bool], *, seconds: float, what: str, check: Callable[[], None] = lambda: None
) -> None:
    """Poll a condition; `check` may raise early where waiting has become pointless."""
    deadline = time.monotonic() + seconds
    while not condition():
        check()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.1)

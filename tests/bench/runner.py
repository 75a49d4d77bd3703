"""Runs one child process under a time and a memory limit. Nothing it starts outlives it."""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

START_LIMIT = 300.0
"""Seconds for import and warm-up; JIT compilers need most of them."""
MEMORY_LIMIT = 10 * 2**30
"""Resident bytes beyond which a child is ended."""
_POLL = 0.05


@dataclass(frozen=True)
class Outcome:
    """What came of one run: figures if `status` is "ok", else why there are none."""

    status: str
    """ok, time limit, memory limit, failed, or not run."""
    seconds: float = float("nan")
    fits: int = 0
    extra_bytes: int = 0
    detail: str = ""
    labels: NDArray[np.int64] | None = None
    cores: NDArray[np.int64] | None = None

    @property
    def ok(self) -> bool:
        """Whether there are figures."""
        return self.status == "ok"


def run_child(job: dict[str, Any], seconds: float, memory: int = MEMORY_LIMIT) -> Outcome:
    """Run one job of `child` with at most `seconds` a fit, counted from when the child is warm."""
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as folder:
        paths = {"result": f"{folder}/result.json", "labels": f"{folder}/labels.npz"}
        job_path = Path(folder) / "job.json"
        job_path.write_text(json.dumps({**job, **paths}))
        status, detail = supervise([sys.executable, "-m", "tests.bench.child", str(job_path)], seconds, memory)
        if status != "ok":
            return Outcome(status, detail=detail)
        with np.load(paths["labels"]) as arrays:
            labels, cores = arrays["labels"], arrays.get("cores")
        return Outcome("ok", labels=labels, cores=cores, **json.loads(Path(paths["result"]).read_text()))


def supervise(command: list[str], seconds: float, memory: int = MEMORY_LIMIT) -> tuple[str, str]:
    """Run a command that says "ready" when its work begins; returns status and detail.

    The limit is for what follows; a command that says "fitted" gets it once more for repeats.
    """
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, start_new_session=True) as process:
            try:
                status = _watch(process, seconds, memory)
            finally:
                process.kill()
        if status == "ok" and process.returncode != 0:
            status = "failed"
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        return status, lines[-1][:200] if lines and status == "failed" else ""


def _watch(process: subprocess.Popen[bytes], seconds: float, memory: int) -> str:
    """Wait for the end or for the first limit that is reached."""
    assert process.stdout is not None
    deadline = time.monotonic() + START_LIMIT
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if selector.get_map() and selector.select(_POLL):
                said = os.read(process.stdout.fileno(), 4096)
                if not said:
                    selector.unregister(process.stdout)
                elif b"ready" in said or b"fitted" in said:
                    deadline = time.monotonic() + seconds
            elif not selector.get_map():
                time.sleep(_POLL)
            if process.poll() is not None:
                return "ok"
            if _resident(process.pid) > memory:
                return "memory limit"
    return "time limit"


def _resident(pid: int) -> int:
    """Resident bytes of a process, 0 once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0

"""One contestant, one data set, one process: `python -m tests.bench.child JOB.json`. Started by `runner`.

It reads the array, imports the library, warms it up on a few rows, says "ready" on its standard output (the parent's
clock starts there), fits, and says "fitted" after the first time. Times, the growth of peak memory over the first fit,
and the labels go to files.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.contestants import ROLES

WARM_UP = 600
"""Rows of the first, untimed fit: JIT compilers, thread pools and lazy imports are done with after it."""
ENOUGH = 3.0
"""Seconds after which a fit is not repeated: the noise is small beside it."""


def main(job_path: str) -> None:
    """Carry out the job and write its result."""
    job: dict[str, Any] = json.loads(Path(job_path).read_text())
    warnings.simplefilter("ignore")
    fit = ROLES[job["role"]][job["contestant"]].load()
    points = np.load(job["points"])
    arguments = job["arguments"]
    with _Silenced():
        fit(np.ascontiguousarray(points[:: max(1, len(points) // WARM_UP)]), **arguments)
    print("ready", flush=True)
    times: list[float] = []
    extra = 0
    with _Silenced() as said:
        while len(times) < job["repeats"] and (not times or times[0] < ENOUGH):
            _reset_peak()
            before = _status("VmRSS")
            begin = time.perf_counter()
            labels, cores = fit(points, **arguments)
            times.append(time.perf_counter() - begin)
            if len(times) == 1:
                extra = max(0, _status("VmHWM") - before)
                os.write(said, b"fitted\n")
    labels = np.asarray(labels, dtype=np.int64)
    np.savez(job["labels"], labels=labels, **({} if cores is None else {"cores": np.asarray(cores, dtype=np.int64)}))
    result = {"seconds": float(np.median(times)), "fits": len(times), "extra_bytes": extra}
    Path(job["result"]).write_text(json.dumps(result))


class _Silenced:
    """Sends what a library prints, also from native code, to nowhere."""

    def __enter__(self) -> int:
        """Return the real standard output."""
        sys.stdout.flush()
        self._kept = os.dup(1)
        self._nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(self._nowhere, 1)
        return self._kept

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        os.dup2(self._kept, 1)
        os.close(self._kept)
        os.close(self._nowhere)


def _reset_peak() -> None:
    """Let VmHWM begin anew at the present size (Linux, proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(field: str) -> int:
    """A memory figure of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


if __name__ == "__main__":
    main(sys.argv[1])

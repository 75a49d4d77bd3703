"""What the engine weighs: the wheel, what it unpacks to, and the time of its import."""

import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.judge import Goal, at_most
from tests.bench.race import Row, Settings, Step
from tests.bench.tables import Table, seconds, size

_TIMER = "import time; begin = time.perf_counter(); import {0}; print(time.perf_counter() - begin)"


def start(settings: Settings) -> tuple[int, Iterator[Step]]:
    """One case, and its steps."""
    return 1, _run(settings.wheels)


def _run(wheels: Path) -> Iterator[Step]:
    rows: list[Row] = []
    for wheel in wheels.glob("shoal_engine-*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        rows.append({"what": "wheel", "bytes": wheel.stat().st_size})
        rows.append({"what": "wheel, unpacked", "bytes": unpacked})
    for module in ("numpy", "shoal_engine"):
        yield f"import {module}"
        rows.append({"what": f"import {module}", "seconds": statistics.median(_import(module) for _ in range(5))})
    yield rows


def _import(module: str) -> float:
    """Seconds that the import takes in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", _TIMER.format(module)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def goals(rows: list[Row]) -> list[Goal]:
    """The engine's goals for size."""
    known = {row["what"]: row for row in rows}
    wheel = known.get("wheel", {}).get("bytes")
    begin = known.get("import shoal_engine", {}).get("seconds")
    return [
        at_most("import, numpy included", 150, None if begin is None else begin * 1e3, " ms"),
        at_most("wheel", 5, None if wheel is None else wheel / 1e6, " MB"),
    ]


def tables(rows: list[Row]) -> list[Table]:
    """The figures, one line each."""
    lines = [[row["what"], size(row["bytes"]) if "bytes" in row else seconds(row["seconds"])] for row in rows]
    return [Table("Size: wheel and import (median of 5 fresh interpreters)", ["what", "measured"], lines)]

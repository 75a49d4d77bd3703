"""How a piece of work is done best: index, threads, rows at a time, memory mapping.

The estimators ask it before a fit, the training job keeps its answer in the version's record, `shoal explain` shows it.
It is a pure function of its arguments and never changes a label: every choice trades time and memory only. Its limits
are the crossovers measured by `make bench-engine`, in the table "Choices of plan()" of docs/benchmarks.md.
"""

import os
from dataclasses import asdict, dataclass
from typing import Any

from shoal_engine._parameters import METRICS, NONE, Rules, check, integer, one_of

TABLE = 'docs/benchmarks.md, "Choices of plan()"'
_RULES: Rules = {
    "n": (integer(0),),
    "d": (integer(1),),
    "metric": (one_of(*METRICS),),
    "dtype": (one_of("float32", "float64"),),
    "memory_limit": (integer(1), NONE),
    "cores": (integer(1), NONE),
    "workload": (one_of("fit", "predict", "batch"),),
}
# The grid's cells get too many neighbours beyond this many columns.
_GRID_COLUMNS = 3
_GRID_METRICS = ("chebyshev", "euclidean", "manhattan")
# Values (rows times columns) from which a second thread saves more than its start costs.
_VALUES_PER_FIT = 20_000
# Rows that one call labels at full speed on one thread; fewer where a row costs more, so that a call stays short.
_ROWS_AT_A_TIME = {"grid": 65_536, "tree": 8_192}
# Reading a smaller index costs no more than the page faults of mapping it.
_BYTES_TO_MAP = 8 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What to use, what it needs beside the data, and why.

    Attributes
    ----------
    index : "grid" or "tree". A grid whose cells cannot be numbered (rows too far apart for eps) gives way to the tree.
    threads : threads of one call.
    batch_rows : most rows to predict in one call.
    memory_map : map the stored index instead of reading it.
    fit_bytes : estimated memory of a fit of n rows, in bytes, beside the rows themselves.
    index_bytes : estimated size of the index if every row is a core sample, in bytes.
    reasons : one sentence for each of the above, by name, and one for "memory" where the work does not fit.
    """

    index: str
    threads: int
    batch_rows: int
    memory_map: bool
    fit_bytes: int
    index_bytes: int
    reasons: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, ready for JSON."""
        return asdict(self)


def plan(
    n: int,
    d: int,
    *,
    metric: str = "euclidean",
    dtype: str = "float64",
    memory_limit: int | None = None,
    cores: int | None = None,
    workload: str = "fit",
) -> Plan:
    """Choose how to do the work.

    Parameters
    ----------
    n, d : rows and columns: of the data for "fit", of the core samples for "predict" and "batch".
    metric, dtype : as the estimators take them; dtype is "float64" or "float32".
    memory_limit : bytes that data, index and batches may take together; None for no limit.
    cores : cores to use; None means those that this process may run on, the one thing that is not an argument then.
    workload : "fit" trains; "predict" answers requests of few rows, many at once; "batch" labels many rows in one go.

    Raises ValueError (and TypeError) for arguments out of range.
    """
    check("plan", _RULES, locals())
    available = cores if cores is not None else available_cores()
    index = "grid" if d <= _GRID_COLUMNS and metric in _GRID_METRICS else "tree"
    data_bytes = n * d * (4 if dtype == "float32" else 8)
    needed, served = fit_bytes(index, n, d, metric, dtype), index_bytes(n, d, metric)
    reasons = {"index": _why_index(index, d, metric)}
    threads = _threads(n, d, available, workload, reasons)
    held = data_bytes + needed if workload == "fit" else served
    free = None if memory_limit is None else memory_limit - held
    batch_rows = _batch_rows(index, d, threads, free, workload, reasons)
    memory_map = workload != "fit" and served >= _BYTES_TO_MAP
    reasons["memory_map"] = _why_memory_map(memory_map, workload, served)
    reasons["fit_bytes"] = f"{needed / max(n, 1):.0f} bytes a row for {index}, {d} columns ({TABLE})"
    reasons["index_bytes"] = f"{served / max(n, 1):.0f} bytes a core sample, {d} columns ({TABLE})"
    if free is not None and free < 0:
        reasons["memory"] = (
            f"needs {held:,} bytes but may use {memory_limit:,}: use fewer rows or columns, or raise the limit"
        )
    return Plan(index, threads, batch_rows, memory_map, needed, served, reasons)


def available_cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def fit_bytes(index: str, n: int, d: int, metric: str, dtype: str) -> int:
    """Most memory of a fit beside its rows: their copy in the order of the index, bookkeeping, labels, core rows."""
    if index == "grid":
        return n * ((4 if dtype == "float32" else 8) * d + 40)
    return n * (8 * _placed(d, metric) + 32)


def index_bytes(n: int, d: int, metric: str) -> int:
    """Size of an index over n core samples: coordinates, boxes around 16 of them each, labels and rows."""
    width = _placed(d, metric)
    return n * (8 * width + 2 * width + 8)


def _placed(d: int, metric: str) -> int:
    """Coordinates that the index keeps of a row: haversine's are points of a sphere."""
    return 3 if metric == "haversine" else d


def _why_index(index: str, d: int, metric: str) -> str:
    if index == "grid":
        return f"grid: cells are the fastest up to {_GRID_COLUMNS} columns ({TABLE})"
    if d > _GRID_COLUMNS:
        return f"tree: {d} columns, and cells are the fastest up to {_GRID_COLUMNS} only ({TABLE})"
    return f"tree: cells have no meaning for {metric}"


def _threads(n: int, d: int, available: int, workload: str, reasons: dict[str, str]) -> int:
    if workload == "predict":
        threads, why = 1, "a request is answered sooner than a second thread starts; requests share the cores"
    elif workload == "fit" and n * d < _VALUES_PER_FIT:
        threads, why = (
            1,
            f"{n * d:,} values: below {_VALUES_PER_FIT:,} a second thread costs more than it saves ({TABLE})",
        )
    else:
        threads, why = available, "all cores"
    reasons["threads"] = why
    return threads


def _batch_rows(index: str, d: int, threads: int, free: int | None, workload: str, reasons: dict[str, str]) -> int:
    rows = _ROWS_AT_A_TIME[index] * (1 if workload == "predict" else threads)
    why = f"{_ROWS_AT_A_TIME[index]:,} rows a thread reach full speed with {index} ({TABLE})"
    if free is not None:
        # Input, its copy as float64 where needed, a label of 32 and one of 64 bits.
        fitting = max(1, free // 2 // (16 * d + 12))
        if fitting < rows:
            rows, why = fitting, f"{fitting:,} rows take half of the memory that is left"
    reasons["batch_rows"] = why
    return rows


def _why_memory_map(memory_map: bool, workload: str, served: int) -> str:
    if workload == "fit":
        return "a fit builds its index in memory"
    size = f"{served:,} bytes"
    if memory_map:
        return f"{size}: mapped from {_BYTES_TO_MAP:,} on, pages are read when touched and shared ({TABLE})"
    return f"{size}: below {_BYTES_TO_MAP:,} reading is as quick as mapping ({TABLE})"

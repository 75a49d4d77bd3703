"""The crossovers on which plan() rests: index by columns, threads by values, rows at a time, mapping by size.

One process for each question; its contestants take turns, the best of the turns counts.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from tests.bench.datasets import MIN_SAMPLES, DataSet, k_distance
from tests.bench.judge import Goal
from tests.bench.race import Row, Settings, Step
from tests.bench.runner import supervise
from tests.bench.tables import Table, count, seconds, size

TURNS = 7
"""Turns of each contestant, fewer where they would take longer than `BUDGET` seconds."""
BUDGET = 4.0


def start(settings: Settings) -> tuple[int, Iterator[Step]]:
    """Number of questions, and the steps of their run."""
    asked = [name for name in QUESTIONS if settings.only in name]
    return len(asked), _run(asked, settings.quick)


def _run(asked: list[str], quick: bool) -> Iterator[Step]:
    for name in asked:
        yield name
        with TemporaryDirectory(prefix="shoal-bench-") as place:
            result = Path(place) / "result.json"
            command = [sys.executable, "-m", "tests.bench.suite_choices", name, str(int(quick)), str(result)]
            status, detail = supervise(command, 120)
            if status == "ok":
                yield json.loads(result.read_text())
            else:
                yield [{"question": name, "status": status, "detail": detail}]


def index(quick: bool) -> Iterator[Row]:
    """Grid or tree, by columns."""
    n = 20_000 if quick else 200_000
    for d in (1, 2, 3, 4, 5):
        points, eps = _points(n, d)
        for kind in ("grid", "tree"):
            try:
                taken = _best({kind: partial(_fit, points, eps, index=kind)})[kind]
            except ValueError:
                # The grid refuses more columns than it has cells for.
                continue
            yield {"n": n, "d": d, "index": kind, "seconds": taken}


def threads(quick: bool) -> Iterator[Row]:
    """One thread or all, by rows and columns."""
    for d in (2, 8):
        for n in (100, 300, 1_000, 3_000, 10_000, 30_000, *(() if quick else (100_000, 300_000))):
            points, eps = _points(n, d)
            taken = _best({jobs: partial(_fit, points, eps, n_jobs=jobs) for jobs in (1, -1)})
            yield {"n": n, "d": d, "one": taken[1], "all": taken[-1]}


def batch(quick: bool) -> Iterator[Row]:
    """Rows at a time, on one thread."""
    for d in (2, 8):
        points, predictor, _ = _index(50_000 if quick else 200_000, d, n_jobs=1)
        for rows in (1, 16, 256, 1_024, 8_192, 65_536, *(() if quick else (262_144,))):
            asked = points[np.arange(rows) % len(points)]
            taken = _best({"rows": partial(predictor.predict, asked)})["rows"]
            yield {"d": d, "n": predictor.n_cores, "rows": rows, "seconds": taken}


def mapping(quick: bool) -> Iterator[Row]:
    """Mapping a stored index or reading it, by its size: time until the first rows are answered."""
    for n in (1_000, 10_000, 100_000, *(() if quick else (300_000, 1_000_000))):
        points, predictor, eps = _index(n, 2)
        arrays = predictor.to_arrays()
        with TemporaryDirectory(prefix="shoal-bench-") as place:
            for name, array in arrays.items():
                np.save(f"{place}/{name}.npy", array)
            held = sum(array.nbytes for array in arrays.values())
            for asked in (1, 1_000):
                answer = partial(_answer, Path(place), eps, points[:asked])
                taken = _best({"mapped": partial(answer, "r"), "read": partial(answer, None)})
                yield {"n": n, "bytes": held, "asked": asked, **taken}


def memory(quick: bool) -> Iterator[Row]:
    """Memory of a fit and of an index as plan() says it; the tables of the fits show what they really take."""
    from shoal_engine import plan

    for d in (2, 3, 8, 16):
        n = 20_000 if quick else 100_000
        _, predictor, _ = _index(n, d)
        row: Row = {"d": d, "n": predictor.n_cores}
        planned = plan(predictor.n_cores, d)
        row |= {"fit_bytes": planned.fit_bytes, "index_bytes": planned.index_bytes}
        yield row | {"index_measured": sum(array.nbytes for array in predictor.to_arrays().values())}


QUESTIONS: dict[str, Callable[[bool], Iterator[Row]]] = {
    each.__name__: each for each in (index, threads, batch, mapping, memory)
}


def _fit(points: Any, eps: float, **options: Any) -> None:
    from shoal_engine import DBSCAN

    DBSCAN(eps=eps, min_samples=MIN_SAMPLES, **options).fit(points)


def _answer(place: Path, eps: float, rows: Any, mode: Literal["r"] | None) -> None:
    """Load an index, mapped or read, and answer some rows."""
    from shoal_engine import Predictor

    read = {path.stem: np.load(path, mmap_mode=mode) for path in place.glob("*.npy")}
    Predictor.from_arrays(read, eps, "euclidean").predict(rows)


def _points(n: int, d: int) -> tuple[Any, float]:
    points, _ = DataSet("spreader", n, d).draw()
    return points, k_distance(points, MIN_SAMPLES, 0.95)


def _index(n: int, d: int, n_jobs: int | None = None) -> tuple[Any, Any, float]:
    """Points, an index over the core samples among them, and eps."""
    from shoal_engine import DBSCAN, Predictor

    points, eps = _points(n, d)
    model = DBSCAN(eps=eps, min_samples=MIN_SAMPLES).fit(points)
    cores = model.core_sample_indices_
    labels = model.labels_[cores].astype(np.int32)
    return points, Predictor(points[cores], labels, eps, n_jobs=n_jobs), eps


def _best(actions: dict[Any, Callable[[], Any]]) -> dict[Any, float]:
    """Best time of each action; they take turns."""
    best = dict.fromkeys(actions, float("inf"))
    begin = time.perf_counter()
    for turn in range(TURNS):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            best[name] = min(best[name], time.perf_counter() - started)
        if turn and time.perf_counter() - begin > BUDGET:
            break
    return best


def goals(rows: list[Row]) -> list[Goal]:
    """None: these figures justify choices."""
    return []


def tables(rows: list[Row]) -> list[Table]:
    """One table for each question that has answers."""
    asked: dict[str, list[Row]] = {}
    for row in rows:
        asked.setdefault(row["question"], []).append(row)
    found = []
    for name, members in asked.items():
        failed = [f"{row['status']} {row['detail']}" for row in members if "status" in row]
        columns, line = _SHOWN[name]
        lines = [line(row) for row in members if "status" not in row]
        title = (QUESTIONS[name].__doc__ or "").split(";")[0].rstrip(".")
        found.append(Table(title, columns, lines, names=0, notes=failed))
    return found


def _show_index(row: Row) -> list[str]:
    return [str(row["d"]), count(row["n"]), row["index"], seconds(row["seconds"])]


def _show_threads(row: Row) -> list[str]:
    values, gain = f"{row['n'] * row['d']:,}", f"{row['one'] / row['all']:.2f}"
    return [str(row["d"]), count(row["n"]), values, seconds(row["one"]), seconds(row["all"]), gain]


def _show_batch(row: Row) -> list[str]:
    speed = f"{row['rows'] / row['seconds']:,.0f}"
    return [str(row["d"]), count(row["n"]), f"{row['rows']:,}", seconds(row["seconds"]), speed]


def _show_mapping(row: Row) -> list[str]:
    return [count(row["n"]), size(row["bytes"]), f"{row['asked']:,}", seconds(row["mapped"]), seconds(row["read"])]


def _show_memory(row: Row) -> list[str]:
    keys = ("fit_bytes", "index_bytes", "index_measured")
    return [str(row["d"]), count(row["n"]), *(f"{row[key] / row['n']:.1f} B" for key in keys)]


_SHOWN: dict[str, tuple[list[str], Callable[[Row], list[str]]]] = {
    "index": (["d", "n", "index", "time"], _show_index),
    "threads": (["d", "n", "values", "one thread", "all", "one / all"], _show_threads),
    "batch": (["d", "cores", "rows", "time", "rows a second"], _show_batch),
    "mapping": (["cores", "index", "rows asked", "mapped", "read"], _show_mapping),
    "memory": (["d", "cores", "fit planned, a row", "index planned, a core", "index measured, a core"], _show_memory),
}


if __name__ == "__main__":
    question, quick_run, result_path = sys.argv[1:]
    print("ready", flush=True)
    answers = [{"question": question, **row} for row in QUESTIONS[question](quick_run == "1")]
    Path(result_path).write_text(json.dumps(answers))

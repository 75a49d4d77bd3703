"""Predictions: label of the nearest core sample within eps, by our index and by trees of scipy and scikit-learn.

Microseconds matter here, so all contestants share one process and take turns; the median of the turns counts.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.bench.datasets import MIN_SAMPLES, DataSet
from tests.bench.judge import Goal, at_least, at_most
from tests.bench.race import Row, Settings, Step
from tests.bench.runner import supervise
from tests.bench.tables import Table, count, ratio, seconds

ROWS = (1, 64, 1_000, 100_000)
OURS, TREE = "shoal", "scipy cKDTree"
QUICK = [DataSet("spreader", 200_000, 2), DataSet("blobs", 50_000, 8)]
FULL = [DataSet("spreader", 1_050_000, 2), DataSet("spreader", 1_050_000, 3), DataSet("blobs", 100_000, 8)]
BUDGET = 0.3
"""Seconds that the turns of one contestant at one number of rows may take together."""


def start(settings: Settings) -> tuple[int, Iterator[Step]]:
    """Number of data sets, and the steps of their run."""
    cases = [data for data in (QUICK if settings.quick else FULL) if settings.only in data.key]
    return len(cases), _run(cases, settings.data)


def _run(cases: list[DataSet], folder: Path) -> Iterator[Step]:
    for data in cases:
        yield f"predict on {data.key}"
        job = {"points": str(data.stored(folder)), "eps": data.eps("typ", folder), "data": data.name}
        with TemporaryDirectory(prefix="shoal-bench-") as place:
            paths = {"job": f"{place}/job.json", "result": f"{place}/result.json"}
            Path(paths["job"]).write_text(json.dumps(job | paths))
            status, detail = supervise([sys.executable, "-m", "tests.bench.suite_predict", paths["job"]], 120)
            if status == "ok":
                yield json.loads(Path(paths["result"]).read_text())
            else:
                yield [{"data": data.name, "d": data.d, "status": status, "detail": detail}]


def measure(job: dict[str, Any]) -> list[Row]:
    """All rows of one data set; runs in the child."""
    import shoal_engine

    points = np.load(job["points"])
    eps = job["eps"]
    fitted = shoal_engine.DBSCAN(eps=eps, min_samples=MIN_SAMPLES).fit(points)
    cores = fitted.core_sample_indices_
    core_points, core_labels = points[cores], fitted.labels_[cores].astype(np.int32)
    place: Row = {"data": job["data"], "n": len(cores), "d": points.shape[1], "status": "ok"}
    contestants, builds = _contestants(core_points, core_labels, eps)
    rng = np.random.default_rng(0)
    # Nine of ten questions are near the data, as new rows of their source are, the others anywhere in their box.
    near = points[rng.choice(len(points), ROWS[-1])] + rng.normal(0.0, eps / 2, (ROWS[-1], points.shape[1]))
    spread = rng.uniform(points.min(axis=0), points.max(axis=0), near.shape)
    questions = np.where(rng.random((len(near), 1)) < 0.9, near, spread)
    rows = [{**place, "name": name, "what": "build", "seconds": taken} for name, taken in builds.items()]
    rows += [{**place, "name": OURS, **each} for each in _ready(shoal_engine, core_points, core_labels, eps)]
    for asked in ROWS:
        answers = {name: answer(questions[:asked]) for name, answer in contestants.items()}
        for name, taken in _turns(contestants, questions, asked).items():
            differ = int((answers[name] != answers[OURS]).sum())
            rows.append({**place, "name": name, "what": "predict", "rows": asked, "seconds": taken, "differ": differ})
    return rows


def _contestants(core_points: Any, core_labels: Any, eps: float) -> tuple[dict[str, Callable[[Any], Any]], Row]:
    """Name -> function from rows to labels, and the time that each index took to build."""
    from scipy.spatial import cKDTree
    from sklearn.neighbors import KDTree

    from shoal_engine import Predictor

    builds: Row = {}
    predictor = _timed(builds, OURS, lambda: Predictor(core_points, core_labels, eps))
    tree = _timed(builds, TREE, lambda: cKDTree(core_points))
    other = _timed(builds, "scikit-learn KDTree", lambda: KDTree(core_points))
    padded = np.append(core_labels, -1)
    reach = np.nextafter(eps, np.inf)

    def by_scipy(workers: int) -> Callable[[Any], Any]:
        # A row without a core sample within reach gets the number after the last.
        return lambda rows: padded[tree.query(rows, distance_upper_bound=reach, workers=workers)[1]]

    def by_sklearn(rows: Any) -> Any:
        distances, nearest = other.query(rows)
        return np.where(distances[:, 0] <= eps, core_labels[nearest[:, 0]], -1)

    return {
        OURS: predictor.predict,
        TREE: by_scipy(1),
        f"{TREE}, all cores": by_scipy(-1),
        "scikit-learn KDTree": by_sklearn,
    }, builds


def _timed(builds: Row, name: str, build: Callable[[], Any]) -> Any:
    begin = time.perf_counter()
    built = build()
    builds[name] = time.perf_counter() - begin
    return built


def _turns(contestants: dict[str, Callable[[Any], Any]], questions: Any, asked: int) -> dict[str, float]:
    """Median time of each contestant; they take turns, each turn with other rows: some are easy, some are hard."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(400):
        at = (turn * asked) % (len(questions) - asked + 1)
        rows = questions[at : at + asked]
        for name, answer in contestants.items():
            if sum(times[name]) > BUDGET:
                continue
            begin = time.perf_counter()
            answer(rows)
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(each) for name, each in times.items()}


def _ready(engine: Any, core_points: Any, core_labels: Any, eps: float) -> Iterator[Row]:
    """Time until an index from memory-mapped arrays answers its first row."""
    if not hasattr(engine.Predictor, "from_arrays"):
        return
    arrays = engine.Predictor(core_points, core_labels, eps).to_arrays()
    with TemporaryDirectory(prefix="shoal-bench-") as place:
        for name, array in arrays.items():
            np.save(f"{place}/{name}.npy", array)
        best = float("inf")
        for _ in range(5):
            begin = time.perf_counter()
            mapped = {name: np.load(f"{place}/{name}.npy", mmap_mode="r") for name in arrays}
            index = engine.Predictor.from_arrays(mapped, eps, "euclidean")
            index.predict(core_points[:1])
            best = min(best, time.perf_counter() - begin)
    yield {"what": "ready", "seconds": best}
    yield {"what": "index", "bytes": sum(array.nbytes for array in arrays.values())}


def goals(rows: list[Row]) -> list[Goal]:
    """The engine's goals for predictions, against the better of the two ways to call scipy's tree."""

    def speed(d: int, asked: int) -> float | None:
        times = {row["name"]: row["seconds"] for row in rows if row.get("rows") == asked and row["d"] == d}
        trees = [taken for name, taken in times.items() if name.startswith(TREE)]
        return min(trees) / times[OURS] if trees and OURS in times else None

    ready = [row["seconds"] for row in rows if row.get("what") == "ready" and row["n"] >= 900_000]
    return [
        *(
            at_least(f"predict {_rows(asked)}, d = 2", target, speed(2, asked))
            for asked, target in zip(ROWS[:3], (2, 8, 8), strict=True)
        ),
        *(at_least(f"predict {_rows(asked)}, d = 8", 1.5, speed(8, asked)) for asked in ROWS[:3]),
        at_most("index ready, memory-mapped, 1 million cores", 20, max(ready) * 1e3 if ready else None, " ms"),
    ]


def tables(rows: list[Row]) -> list[Table]:
    """One line for each data set and contestant."""
    cases: dict[tuple[Any, ...], dict[Any, Row]] = {}
    failed = [f"{row['data']}: {row['status']} {row['detail']}" for row in rows if row["status"] != "ok"]
    for row in rows:
        if row["status"] == "ok":
            members = cases.setdefault((row["data"], row["n"], row["d"], row["name"]), {})
            members[row.get("rows", row["what"])] = row
    lines = []
    for (data, n, d, name), members in cases.items():
        ours = cases[data, n, d, OURS]
        cells = [_cell(members.get(asked), ours.get(asked)) for asked in ROWS]
        built = [seconds(members[what]["seconds"]) if what in members else "" for what in ("build", "ready")]
        lines.append([data, count(n), str(d), name, *cells, *built])
    columns = ["data", "cores", "d", "index", *(_rows(asked) for asked in ROWS), "build", "ready, mapped"]
    notes = ["In brackets: how many times our time; ≠ N: N labels unlike ours (ties, or an error).", *failed]
    return [Table("Predict: median time for so many rows", columns, lines, names=4, notes=notes)]


def _rows(asked: int) -> str:
    return "1 row" if asked == 1 else f"{asked:,} rows"


def _cell(row: Row | None, ours: Row | None) -> str:
    if row is None or ours is None:
        return ""
    beside = "" if row is ours else f" ({ratio(row['seconds'] / ours['seconds'])})"
    return seconds(row["seconds"]) + beside + (f" ≠ {row['differ']:,}" if row["differ"] else "")


if __name__ == "__main__":
    its_job = json.loads(Path(sys.argv[1]).read_text())
    print("ready", flush=True)
    Path(its_job["result"]).write_text(json.dumps(measure(its_job)))

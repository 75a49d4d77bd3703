"""Plain DBSCAN: time, extra memory and correctness of every exact contestant on every data set."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.contestants import EXACT, OURS
from tests.bench.datasets import MIN_SAMPLES, DataSet
from tests.bench.judge import Goal, at_least, at_most, compare, highest, lowest
from tests.bench.race import Race, Row, Settings, Step, limit_words
from tests.bench.runner import Outcome
from tests.bench.spot_check import spot_check
from tests.bench.tables import Table, count, ratio, seconds, size


@dataclass(frozen=True)
class Case:
    """One data set with one kind of eps."""

    data: DataSet
    kind: str = "typ"


QUICK = [
    Case(DataSet("spreader", 100_000, 2)),
    Case(DataSet("spreader", 100_000, 3)),
    Case(DataSet("blobs", 10_000, 8)),
    Case(DataSet("blobs", 10_000, 16)),
    Case(DataSet("magic")),
]
QUICK_NAMES = (OURS, "dbscan (Wang)", "scikit-learn")
_K, _M = 1_000, 1_000_000
# The sets of the goals come first, so that a run that is cut short has them.
FULL = [
    *(Case(DataSet("spreader", n, d)) for d in (2, 3, 8, 16) for n in (100 * _K, _M)),
    *(Case(DataSet("blobs", 100 * _K, d), kind) for d in (2, 8) for kind in ("sparse", "typ", "heavy")),
    *(Case(DataSet("blobs", 100 * _K, d)) for d in (3, 16)),
    *(Case(DataSet(name)) for name in ("flights", "letter", "digits", "pixels", "stars", "magic", "penbased")),
    *(Case(DataSet("cities"), kind) for kind in ("typ", "heavy")),
    Case(DataSet("cities (haversine)")),
    *(Case(DataSet("spreader", n, 32)) for n in (100 * _K, _M)),
    Case(DataSet("blobs", _M, 2)),
    Case(DataSet("blobs", _M, 8)),
    Case(DataSet("spreader", 10 * _M, 2)),
    *(Case(DataSet("spreader", 10 * _K, d)) for d in (2, 8)),
    Case(DataSet("varied spreader", 100 * _K, 2)),
    # The usual quantile would be that of the noise, and eps as wide as the space.
    Case(DataSet("varied spreader", 100 * _K, 8), "sparse"),
]


def start(settings: Settings) -> tuple[int, Iterator[Step]]:
    """Number of cases, and the steps of their run."""
    cases = [case for case in (QUICK if settings.quick else FULL) if settings.only in f"{case.data.key} {case.kind}"]
    return len(cases), _run(cases, Race("exact", settings.contestants("exact", QUICK_NAMES)), settings.data)


def _run(cases: list[Case], race: Race, folder: Path) -> Iterator[Step]:
    for case in cases:
        yield f"{case.data.key}: data"
        points = case.data.stored(folder)
        eps = case.data.eps(case.kind, folder)
        n, d = np.load(points, mmap_mode="r").shape
        arguments = {"eps": eps, "min_samples": MIN_SAMPLES, "metric": case.data.metric}
        family = (case.data.name, f"d {d}", case.kind)
        outcomes = yield from race.on(family, points, (n, d), case.data.metric, arguments)
        place = {"data": case.data.name, "n": n, "d": d, "kind": case.kind, "eps": eps}
        yield f"{points.stem}: labels"
        yield _rows(place, outcomes, points if case.data.metric == "euclidean" else None)


def _rows(place: Row, outcomes: dict[str, Outcome], points: Path | None) -> list[Row]:
    """One row for each contestant, compared with scikit-learn where that finished, else with ours.

    Ours are then held against the definition on some rows, if there are `points` with euclidean distances.
    """
    by, reference = next(
        ((name, outcomes[name]) for name in ("scikit-learn", OURS) if name in outcomes and outcomes[name].ok),
        ("", None),
    )
    rows = []
    for name, outcome in outcomes.items():
        row: Row = {**place, "name": name, "status": outcome.status, "detail": outcome.detail}
        if outcome.ok:
            row |= {"seconds": outcome.seconds, "fits": outcome.fits, "extra_bytes": outcome.extra_bytes}
            if reference is not None and reference is not outcome:
                verdict = compare(outcome.labels, outcome.cores, reference.labels, reference.cores)
                row |= {"verdict": verdict, "against": by}
            elif by == OURS and points is not None:
                near = np.load(points, mmap_mode="r")
                wrong, checked = spot_check(near, outcome.labels, outcome.cores, place["eps"], MIN_SAMPLES)
                row |= {"verdict": f"spot check wrong: {wrong}" if wrong else f"spot check: {checked}"}
            else:
                row |= {"verdict": "reference"}
        rows.append(row)
    return rows


def versus(rows: list[Row]) -> list[Row]:
    """For each case our figures beside those of the fastest peer; cases without both are left out."""
    cases: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row["status"] == "ok":
            cases.setdefault((row["data"], row["n"], row["d"], row["kind"]), []).append(row)
    found = []
    for (data, n, d, kind), members in cases.items():
        ours = next((row for row in members if row["name"] == OURS), None)
        peers = [row for row in members if row["name"] != OURS]
        if ours and peers:
            best = min(peers, key=lambda row: float(row["seconds"]))
            found.append(
                {
                    **{"data": data, "n": n, "d": d, "kind": kind, "ours": ours, "peer": best},
                    "speed": best["seconds"] / ours["seconds"],
                    "memory": ours["extra_bytes"] / max(1, best["extra_bytes"]),
                }
            )
    return found


def goals(rows: list[Row]) -> list[Goal]:
    """The engine's goals for fits."""
    pairs = versus(rows)

    def synthetic(d: int) -> list[float]:
        """Ratios at 100 thousand and a million rows with the usual eps."""
        return [
            pair["speed"]
            for pair in pairs
            if pair["d"] == d
            and pair["kind"] == "typ"
            and pair["n"] in (100 * _K, _M)
            and pair["data"] in ("spreader", "blobs")
        ]

    ours = [row for row in rows if row["name"] == OURS and row["status"] == "ok"]
    low = [row["extra_bytes"] / row["n"] for row in ours if row["d"] <= 3 and row["n"] >= 100 * _K]
    large = [pair["memory"] for pair in pairs if pair["n"] >= 100 * _K]
    walks = {row["n"]: row["seconds"] / row["n"] for row in ours if row["data"] == "spreader" and row["d"] == 2}
    growth = walks[10 * _M] / walks[_M] if {_M, 10 * _M} <= walks.keys() else None
    checked = [row for row in ours if row["verdict"] != "reference"]
    right = [row for row in checked if row["verdict"] == "equal" or row["verdict"].startswith("spot check:")]
    return [
        *(
            at_least(f"fit, d = {d}, lowest ratio to the fastest peer", target, lowest(synthetic(d)))
            for d, target in ((2, 10), (3, 5), (8, 4), (16, 4))
        ),
        at_least("fit, any set, lowest ratio to the fastest peer", 1, lowest([pair["speed"] for pair in pairs])),
        at_most("extra memory, d ≤ 3, n ≥ 100,000", 60, highest(low), " bytes a row"),
        at_most("extra memory, share of the fastest peer's, n ≥ 100,000", 0.125, highest(large), ""),
        at_most("time a row, 10 million against 1 million, d = 2", 3, growth),
        at_most(
            "fit, sets with a wrong label", 0, len(checked) - len(right) if checked else None, f" of {len(checked)}"
        ),
    ]


MARKS = (
    "= all labels are scikit-learn's; ≈ N: only N border rows joined another cluster; ≠ N: N rows are wrongly core, "
    "noise or apart. Where scikit-learn did not finish: ✓ 100 rows drawn at random obey the definition, and the others "
    "are compared with these labels."
)


def tables(rows: list[Row]) -> list[Table]:
    """One line for each case, one column for each contestant."""
    names = [name for name in EXACT if any(row["name"] == name for row in rows)]
    cases: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row["data"], row["n"], row["d"], row["kind"]), {})[row["name"]] = row
    pairs = {(pair["data"], pair["n"], pair["d"], pair["kind"]): pair for pair in versus(rows)}
    lines = []
    for (data, n, d, kind), members in cases.items():
        pair = pairs.get((data, n, d, kind))
        cells = [_cell(members[name]) if name in members else "" for name in names]
        lines.append([data, count(n), str(d), kind, *cells, _speed(pair)])
    columns = ["data", "n", "d", "eps", *names, "shoal against the fastest peer"]
    return [Table("Fit: median time, extra memory, labels", columns, lines, names=4, notes=[MARKS])]


def _cell(row: Row) -> str:
    if row["status"] != "ok":
        return limit_words(row["status"], EXACT[row["name"]].seconds)
    verdict = str(row["verdict"])
    number = verdict.rpartition(": ")[2]
    mark = {"equal": " =", "renumbered": " ="}.get(verdict, "")
    if verdict.startswith("spot check:"):
        mark = " ✓"
    if verdict.startswith("borders"):
        mark = f" ≈ {number}"
    if "wrong" in verdict:
        mark = f" ≠ {number}"
    return f"{seconds(row['seconds'])}, {size(row['extra_bytes'])}{mark}"


def _speed(pair: Row | None) -> str:
    if pair is None:
        return ""
    return ratio(pair["speed"]) if pair["speed"] >= 1 else f"{pair['speed']:.2f}x, slower"

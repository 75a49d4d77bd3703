"""Data whose density varies: how well the clusters found are the true ones (ARI), and in what time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.contestants import ADAPTIVE, OURS
from tests.bench.datasets import MIN_SAMPLES, DataSet
from tests.bench.judge import Goal, ari, at_least, at_most, highest
from tests.bench.race import Race, Row, Settings, Step, limit_words
from tests.bench.runner import Outcome
from tests.bench.tables import Table, count, seconds

QUICK = [DataSet("varied spreader", 10_000, 3), DataSet("varied blobs", 6_000, 2)]
QUICK_NAMES = (OURS, "hdbscan", "hdbscan-rs")
FULL = [
    DataSet("varied blobs", 6_000, 2),
    DataSet("varied blobs", 20_000, 3),
    DataSet("varied blobs", 20_000, 8),
    DataSet("varied spreader", 100_000, 2),
    DataSet("varied spreader", 10_000, 3),
    DataSet("varied spreader", 100_000, 3),
    DataSet("varied spreader", 20_000, 8),
    DataSet("varied spreader 2", 30_000, 2),
    DataSet("varied spreader 2", 30_000, 3),
    DataSet("noisy spreader", 30_000, 2),
    DataSet("noisy blobs", 20_000, 2),
    DataSet("noisy blobs", 20_000, 3),
    DataSet("blobs", 20_000, 2),
    DataSet("penbased"),
    DataSet("optdigits"),
    DataSet("digits"),
]
CLOSE = 0.02
"""ARI by which a clustering may be below the best one."""


def start(settings: Settings) -> tuple[int, Iterator[Step]]:
    """Number of data sets, and the steps of their run."""
    cases = [data for data in (QUICK if settings.quick else FULL) if settings.only in data.key]
    return len(cases), _run(cases, Race("adaptive", settings.contestants("adaptive", QUICK_NAMES)), settings.data)


def _run(cases: list[DataSet], race: Race, folder: Path) -> Iterator[Step]:
    for data in cases:
        yield f"{data.key}: data"
        points = data.stored(folder)
        truth = np.load(data.truth_path(folder))
        n, d = np.load(points, mmap_mode="r").shape
        # The same for all: a thousandth of the rows, but never a handful.
        arguments = {"min_samples": MIN_SAMPLES, "min_cluster_size": max(25, n // 1000)}
        outcomes = yield from race.on((data.name, f"d {d}"), points, (n, d), data.metric, arguments)
        yield [_row({"data": data.name, "n": n, "d": d, "name": name}, truth, each) for name, each in outcomes.items()]


def _row(place: Row, truth: Any, outcome: Outcome) -> Row:
    row: Row = {**place, "status": outcome.status, "detail": outcome.detail}
    if outcome.ok:
        assert outcome.labels is not None
        with_noise, without = ari(truth, outcome.labels)
        row |= {"seconds": outcome.seconds, "extra_bytes": outcome.extra_bytes, "ari": with_noise}
        row |= {"ari_without_noise": without, "clusters": int(outcome.labels.max()) + 1}
    return row


def by_case(rows: list[Row]) -> dict[tuple[str, int, int], dict[str, Row]]:
    """(data, n, d) -> name -> row, finished or not."""
    cases: dict[tuple[str, int, int], dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row["data"], row["n"], row["d"]), {})[row["name"]] = row
    return cases


def goals(rows: list[Row]) -> list[Goal]:
    """The engine's goals for adaptive clustering; a peer is compared on the sets that it finished."""
    finished = by_case([row for row in rows if row["status"] == "ok"])
    pairs: dict[str, list[tuple[Row, Row]]] = {}
    for members in finished.values():
        for name, row in members.items():
            if OURS in members and name != OURS:
                pairs.setdefault(name, []).append((members[OURS], row))
    ahead = [
        at_least(
            f"adaptive, mean ARI above {name}'s ({len(found)} sets)",
            0,
            float(np.mean([ours["ari"] - peer["ari"] for ours, peer in found])),
            "",
        )
        for name, found in pairs.items()
    ]
    behind = [
        max(row["ari"] for name, row in members.items() if name != OURS) - members[OURS]["ari"]
        for members in finished.values()
        if OURS in members and len(members) > 1
    ]

    def share(peer: str) -> float | None:
        found = [ours["seconds"] / row["seconds"] for ours, row in pairs.get(peer, []) if row["n"] == 100_000]
        return highest(found)

    return [
        *ahead,
        at_most("adaptive, ARI below the best peer's, worst set", CLOSE, highest(behind), ""),
        at_most("adaptive, time against hdbscan, 100,000 rows", 0.1, share("hdbscan")),
        at_most("adaptive, time against hdbscan-rs, 100,000 rows", 0.5, share("hdbscan-rs")),
    ]


def tables(rows: list[Row]) -> list[Table]:
    """ARI and time, one line for each data set."""
    names = [name for name in ADAPTIVE if any(row["name"] == name for row in rows)]
    cases = by_case(rows)
    finished = [row for row in rows if row["status"] == "ok"]
    quality, times = [], []
    for (data, n, d), members in cases.items():
        place = [data, count(n), str(d)]
        quality.append([*place, *(_ari(members.get(name)) for name in names)])
        times.append([*place, *(_time(members.get(name)) for name in names)])
    means = [[row["ari"] for row in finished if row["name"] == name] for name in names]
    quality.append(["mean", "", "", *(f"{np.mean(each):.3f} of {len(each)}" if each else "" for each in means)])
    columns = ["data", "n", "d", *names]
    note = "First noise as a class of its own on both sides, in brackets without the rows that are truly noise."
    return [
        Table("Adaptive: adjusted Rand index", columns, quality, names=3, notes=[note]),
        Table("Adaptive: median time", columns, times, names=3),
    ]


def _ari(row: Row | None) -> str:
    if row is None or row["status"] != "ok":
        return _time(row)
    return f"{row['ari']:.3f} ({row['ari_without_noise']:.3f})"


def _time(row: Row | None) -> str:
    if row is None:
        return ""
    if row["status"] != "ok":
        return limit_words(row["status"], ADAPTIVE[row["name"]].seconds)
    return seconds(row["seconds"])

"""What the rows mean: medians over the rounds, ratios within a round, goals met or not. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.bench.judge import Goal, at_least, at_most

Row = Mapping[str, Any]
Rows = Sequence[Row]
OURS, ECHO = "Shoal", "echo"
PEERS = ("MLServer", "KServe")
MIB = 1 << 20
BUSY = 0.75
"""One of two cores that do nothing else is as busy as this in a closed loop, or more."""
_SMALL, _LARGE = 1, 1_000


def typical(rows: Rows, kind: str, batch: int, name: str, figure: str) -> float | None:
    """Median of a figure over the rounds; None where it was not measured."""
    found = [row[figure] for row in rows if (row["kind"], row["batch"], row["name"]) == (kind, batch, name)]
    return median(found) if found else None


def ratio(rows: Rows, kind: str, batch: int, figure: str, over: str) -> float | None:
    """Ours over another's, round by round, so that what slows the machine slows both; the median of the rounds.

    Rounds of the closed loop that other processes starved are left out: what they tell is about those.
    """
    ours = _by_round(rows, kind, batch, figure, OURS)
    others = _by_round(rows, kind, batch, figure, over)
    both = [turn for turn in ours if others.get(turn)]
    return median(ours[turn] / others[turn] for turn in both) if both else None


def race_goals(rows: Rows) -> list[Goal]:
    """Throughput against the echo and the peers, tail latency against the peers."""
    share = "calls/s, share of the bare echo's"
    goals = [
        at_least(f"{share}, 1 row", 0.7, ratio(rows, "closed", _SMALL, "callsPerSecond", ECHO)),
        at_least(f"{share}, 1,000 rows", 0.9, ratio(rows, "closed", _LARGE, "callsPerSecond", ECHO)),
    ]
    for peer in PEERS:
        for batch, target in ((_SMALL, 3), (_LARGE, 10)):
            words = _words(batch)
            faster = ratio(rows, "closed", batch, "callsPerSecond", peer)
            goals.append(at_least(f"calls/s against {peer}, {words}", target, faster))
            for kind in ("closed", "open"):
                what = f"p99 against {peer}, {words}, {kind} loop"
                goals.append(at_most(what, 1, ratio(rows, kind, batch, "p99", peer)))
    return goals


def start_goals(rows: Rows) -> list[Goal]:
    """Time and memory with the large model."""
    ready = [row["readySeconds"] for row in rows if row["cached"]]
    beside = [
        (row[figure] - row["modelBytes"]) / MIB
        for row in rows
        for figure in ("residentBytes", "loadedResidentBytes")
        if figure in row
    ]
    return [
        at_most("start to ready, 100 MB in the cache", 1.5, median(ready) if ready else None, " s"),
        at_most("memory beside the model, at most", 120, max(beside) if beside else None, " MiB"),
    ]


def overload_goals(rows: Rows) -> list[Goal]:
    """What is left under five times the load, and after it."""
    goals = []
    for row in typical_overloads(rows):
        words = f"{row['batch']:,} hard rows" if row["hard"] else _words(row["batch"])
        refused = row["refusedP99"]
        goals += [
            at_least(f"overload x5, {words}: goodput, share of the peak", 0.9, row["goodput"], ""),
            at_most(f"overload x5, {words}: refusals, p99", 20, None if refused is None else refused * 1e3, " ms"),
            at_most(f"overload x5, {words}: recovery", 2, row["recovery"], " s"),
        ]
    return goals


def typical_overloads(rows: Rows) -> list[dict[str, Any]]:
    """One row for each kind of calls: medians over its rounds, of how many calls ended in which way too."""
    kinds = dict.fromkeys((row["batch"], row["hard"]) for row in rows)
    return [_middle([row for row in rows if (row["batch"], row["hard"]) == kind]) for kind in kinds]


def contended(rows: Rows) -> tuple[int, int]:
    """In how many rounds of the closed loop neither core was busy, and of how many: others took the machine's time."""
    closed = [row for row in rows if row["kind"] == "closed"]
    return sum(map(_starved, closed)), len(closed)


def _middle(rounds: Rows) -> dict[str, Any]:
    codes = sorted({code for row in rounds for code in row["calls"]})
    told: dict[str, Any] = {
        "calls": {code: round(median(row["calls"].get(code, 0) for row in rounds)) for code in codes}
    }
    for figure in rounds[0].keys() - told.keys():
        known = [row[figure] for row in rounds if row[figure] is not None]
        told[figure] = median(known) if known else None
    return told


def _starved(row: Row) -> bool:
    return row["kind"] == "closed" and max(row["serverBusy"], row["clientBusy"]) < BUSY


def _by_round(rows: Rows, kind: str, batch: int, figure: str, name: str) -> dict[int, float]:
    return {
        row["round"]: row[figure]
        for row in rows
        if (row["kind"], row["batch"], row["name"]) == (kind, batch, name) and not _starved(row)
    }


def _words(batch: int) -> str:
    return "1 row" if batch == 1 else f"{batch:,} rows"

"""Cuts a data set's units into shards; called by `plan`.

Invariant: every unit is in exactly one shard, in its order, and no shard is empty. A file whose units do not tell their
rows is never cut, for a row's number counts from the beginning of its file. Pure.
"""

from collections.abc import Sequence
from itertools import groupby
from math import ceil

from shoal_worker.data.records import DataPlan, Unit
from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.batch import MOST_SHARDS

ROWS_PER_SHARD = 1_000_000
ROW_BYTES = 64
"""What a row counts for where a format does not tell its rows before they are read."""


def cut(plan: DataPlan, shards: int | None, rows_per_shard: int | None) -> tuple[int, ...]:
    """Return where each shard begins among the units, and the end of the last: shard i is units [cut[i], cut[i + 1]).

    shards: how many, at most. rows_per_shard: about how many rows of each, where shards are not given.
    """
    pieces = _pieces(plan.units)
    weights = [sum(_weight(unit) for unit in piece) for piece in pieces]
    total = sum(weights)
    wanted = shards if shards is not None else _count(total, rows_per_shard)
    bounds = [0]
    taken, done = 0, 0
    for piece, weight in zip(pieces, weights, strict=True):
        # A piece belongs to the shard in whose share its middle lies.
        if taken and (done + weight / 2) * wanted >= total * len(bounds) and len(bounds) < wanted:
            bounds.append(taken)
        taken += len(piece)
        done += weight
    return (*bounds, taken)


def _count(total: int, rows_per_shard: int | None) -> int:
    count = max(1, ceil(total / (rows_per_shard or ROWS_PER_SHARD)))
    if count <= MOST_SHARDS:
        return count
    if rows_per_shard is None:
        return MOST_SHARDS
    raise SettingsInvalid(
        f"about {total:,} rows would make {count:,} shards, more than {MOST_SHARDS:,}",
        field="spec.rowsPerShard",
        value=rows_per_shard,
        remedy=f"Raise it to {ceil(total / MOST_SHARDS):,} or more",
    )


def _pieces(units: Sequence[Unit]) -> list[list[Unit]]:
    """Units that stay together: each by itself where its file's rows are told, else all of a file."""
    pieces: list[list[Unit]] = []
    for _, group in groupby(units, key=lambda unit: unit.file):
        found = list(group)
        pieces += [[unit] for unit in found] if all(unit.rows is not None for unit in found) else [found]
    return pieces


def _weight(unit: Unit) -> int:
    return unit.rows if unit.rows is not None else max(1, unit.size // ROW_BYTES)

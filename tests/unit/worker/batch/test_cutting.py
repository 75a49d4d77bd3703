"""Shards: every unit once, in order, of about equal weight."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_worker.batch.cutting import ROW_BYTES, cut
from shoal_worker.data.records import DataFile, DataPlan, Unit
from shoal_worker.errors import SettingsInvalid


def plan_of(*files: list[int | None], size: int = 64_000) -> DataPlan:
    """A plan whose files have units of these rows."""
    return DataPlan(
        format="parquet",
        files=tuple(DataFile(path=f"{at}.parquet", size=1, rows=None) for at in range(len(files))),
        units=tuple(
            Unit(file=at, start=number, stop=number + 1, rows=rows, size=size)
            for at, units in enumerate(files)
            for number, rows in enumerate(units)
        ),
    )


UNITS = st.lists(st.lists(st.integers(0, 5000), min_size=1, max_size=9), min_size=1, max_size=9)


@given(UNITS, st.integers(1, 30))
def test_every_unit_is_in_one_shard_and_none_is_empty(files: list[list[int | None]], shards: int) -> None:
    plan = plan_of(*files)
    bounds = cut(plan, shards, None)
    assert bounds[0] == 0
    assert bounds[-1] == len(plan.units)
    assert all(before < after for before, after in itertools.pairwise(bounds))
    assert len(bounds) - 1 <= shards


@given(st.integers(1, 20), st.integers(1, 200))
def test_equal_units_make_equal_shards(shards: int, units: int) -> None:
    bounds = cut(plan_of([100] * units), shards, None)
    sizes = [after - before for before, after in itertools.pairwise(bounds)]
    assert len(sizes) == min(shards, units)
    assert max(sizes) - min(sizes) <= 1


def test_rows_for_each_shard() -> None:
    assert cut(plan_of([100] * 9), None, 300) == (0, 3, 6, 9)
    assert cut(plan_of([100] * 9), None, None) == (0, 9)


def test_a_file_that_does_not_tell_its_rows_stays_whole() -> None:
    assert cut(plan_of([None] * 4, [None] * 4), 8, None) == (0, 4, 8)
    assert cut(plan_of([None] * 4, [None] * 4, size=100 * ROW_BYTES), None, 400) == (0, 4, 8)


def test_more_shards_than_there_may_be_are_refused() -> None:
    with pytest.raises(SettingsInvalid, match="rowsPerShard"):
        cut(plan_of([1000] * 5000), None, 1000)
    assert len(cut(plan_of([1_000_000] * 5000), None, None)) - 1 == 2000

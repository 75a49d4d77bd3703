"""plan(): the choices, their reasons, and that it is a pure function within its bounds."""

import json
import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_engine import DBSCAN, Plan, plan
from tests.unit.engine.reference import METRICS

WORKLOADS = ("fit", "predict", "batch")


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "n": draw(st.integers(0, 2**32)),
        "d": draw(st.integers(1, 4096)),
        "metric": draw(st.sampled_from(METRICS)),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "memory_limit": draw(st.none() | st.integers(1, 2**40)),
        "cores": draw(st.integers(1, 256)),
        "workload": draw(st.sampled_from(WORKLOADS)),
    }


@given(requests())
def test_every_choice_is_in_bounds_has_a_reason_and_repeats(request: dict[str, Any]) -> None:
    found = plan(**request)
    assert found == plan(**request)
    assert found.index in {"grid", "tree"}
    assert 1 <= found.threads <= request["cores"]
    assert found.batch_rows >= 1
    assert set(found.reasons) - {"memory"} == set(found.as_dict()) - {"reasons"}
    assert all(found.reasons.values())
    assert Plan(**json.loads(json.dumps(found.as_dict()))) == found


@given(requests())
def test_more_rows_never_need_less_memory_and_more_memory_never_means_smaller_batches(request: dict[str, Any]) -> None:
    found, longer = plan(**request), plan(**{**request, "n": request["n"] + 1000})
    assert longer.fit_bytes > found.fit_bytes
    assert longer.index_bytes > found.index_bytes
    if request["memory_limit"] is not None:
        assert plan(**{**request, "memory_limit": request["memory_limit"] * 2}).batch_rows >= found.batch_rows


@pytest.mark.parametrize(
    ("d", "metric", "index"),
    [
        (1, "euclidean", "grid"),
        (3, "manhattan", "grid"),
        (2, "chebyshev", "grid"),
        (4, "euclidean", "tree"),
        (2, "haversine", "tree"),
        (2, "cosine", "tree"),
    ],
)
def test_cells_for_few_columns_and_plain_metrics(d: int, metric: str, index: str) -> None:
    found = plan(1000, d, metric=metric, cores=2)
    assert found.index == index
    assert found.reasons["index"].startswith(index)


@pytest.mark.parametrize(
    ("d", "metric"), [(d, metric) for d in range(1, 6) for metric in METRICS if metric != "haversine" or d == 2]
)
def test_the_index_is_the_one_that_the_engine_takes(d: int, metric: str) -> None:
    model = DBSCAN(metric=metric, index="grid")
    rows = np.random.default_rng(0).random((50, d))
    if plan(50, d, metric=metric).index == "grid":
        np.testing.assert_array_equal(model.fit_predict(rows), DBSCAN(metric=metric, index="tree").fit_predict(rows))
    else:
        with pytest.raises(ValueError, match="index='grid' needs 1 to 3 features"):
            model.fit(rows)


def test_little_work_stays_on_one_thread() -> None:
    assert plan(100, 2, cores=8).threads == 1
    assert plan(1_000_000, 2, cores=8).threads == 8
    assert plan(1_000_000, 2, cores=8, workload="predict").threads == 1
    assert plan(1_000_000, 2, cores=8, workload="batch").threads == 8


def test_large_indexes_are_mapped_by_those_who_serve() -> None:
    assert plan(1_000_000, 2, cores=2, workload="predict").memory_map
    assert not plan(1_000, 2, cores=2, workload="predict").memory_map
    assert not plan(1_000_000, 2, cores=2, workload="fit").memory_map


def test_a_limit_makes_batches_smaller_and_is_named_where_it_is_too_small() -> None:
    free = plan(1_000_000, 8, cores=4, workload="batch")
    tight = plan(1_000_000, 8, cores=4, workload="batch", memory_limit=free.index_bytes + 1_000_000)
    assert tight.batch_rows < free.batch_rows
    assert "half of the memory that is left" in tight.reasons["batch_rows"]
    assert "memory" not in tight.reasons
    short = plan(1_000_000, 8, cores=4, memory_limit=10_000_000)
    assert short.reasons["memory"].startswith("needs ")
    assert "may use 10,000,000" in short.reasons["memory"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells a process its cores")
def test_cores_default_to_those_of_the_process() -> None:
    assert plan(10**6, 2).threads == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": -1}, r"The 'n' parameter of plan must be an int in the range \[0, inf\). Got -1 instead."),
        ({"d": 0}, r"The 'd' parameter of plan must be an int in the range \[1, inf\)"),
        ({"metric": "l7"}, "The 'metric' parameter of plan must be a str among"),
        ({"dtype": "int8"}, "The 'dtype' parameter of plan must be a str among {'float32', 'float64'}"),
        ({"memory_limit": 0}, r"must be an int in the range \[1, inf\) or None"),
        ({"cores": 0}, r"must be an int in the range \[1, inf\) or None"),
        ({"workload": "guess"}, "must be a str among {'fit', 'predict', 'batch'}"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan(**{"n": 10, "d": 2, **arguments})

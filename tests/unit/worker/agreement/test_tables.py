"""The indices of two partitions are those of scikit-learn, whatever the labels."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from shoal_worker.agreement import tables
from shoal_worker.agreement.tables import (
    Table,
    adjusted_mutual_information,
    adjusted_rand,
    count_table,
    find_cells,
)

WHOLE = slice(None)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two labellings of the same rows, -1 among the labels."""
    rows = draw(st.integers(1, 60))
    sides = [
        st.lists(st.integers(-1, draw(st.integers(-1, 12))), min_size=rows, max_size=rows) for _ in ("left", "right")
    ]
    left, right = (np.array(draw(side)) for side in sides)
    return left, right


def table_of(left: np.ndarray, right: np.ndarray) -> Table:
    return count_table(find_cells(left, right), WHOLE)


@given(labelled())
def test_the_rand_index_is_that_of_scikit_learn(labels: tuple[np.ndarray, np.ndarray]) -> None:
    with warnings.catch_warnings(action="ignore"):
        assert adjusted_rand(table_of(*labels)) == pytest.approx(adjusted_rand_score(*labels), abs=1e-9)


@given(labelled())
def test_the_mutual_information_is_that_of_scikit_learn(labels: tuple[np.ndarray, np.ndarray]) -> None:
    with warnings.catch_warnings(action="ignore"):
        theirs = adjusted_mutual_info_score(*labels)
    assert adjusted_mutual_information(table_of(*labels)) == pytest.approx(theirs, abs=1e-7)


@given(labelled())
def test_the_expected_information_is_that_of_scikit_learn(labels: tuple[np.ndarray, np.ndarray]) -> None:
    table = table_of(*labels)
    theirs = expected_mutual_information(contingency_matrix(*labels, sparse=True).astype(np.int64), len(labels[0]))
    assert tables.expected_mutual_information(table.rows, table.columns) == pytest.approx(theirs, abs=1e-10)


@given(labelled(), st.randoms(use_true_random=False))
def test_renamed_labels_change_nothing(labels: tuple[np.ndarray, np.ndarray], random: st.DataObject) -> None:
    left, right = labels
    names = list(range(-(1 << 31), -(1 << 31) + 20))
    random.shuffle(names)  # type: ignore[attr-defined]
    renamed = np.array(names)[left + 1]
    for index in (adjusted_rand, adjusted_mutual_information):
        assert index(table_of(renamed, right)) == pytest.approx(index(table_of(left, right)), abs=1e-9)
        assert index(table_of(left, renamed)) == 1.0


@given(labelled(), st.data())
def test_a_table_of_some_rows_is_that_of_their_labels(
    labels: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    left, right = labels
    flags = np.array(data.draw(st.lists(st.booleans(), min_size=len(left), max_size=len(left))))
    if not flags.any():
        flags[0] = True
    some = count_table(find_cells(left, right), flags)
    for index in (adjusted_rand, adjusted_mutual_information):
        assert index(some) == pytest.approx(index(table_of(left[flags], right[flags])), abs=1e-9)


def test_thousands_of_rows_in_hundreds_of_clusters_are_as_scikit_learn_has_them() -> None:
    random = np.random.default_rng(3)
    left = random.integers(0, 300, 4000)
    right = np.where(random.random(4000) < 0.3, random.integers(0, 200, 4000), left)
    table = table_of(left, right)
    assert adjusted_rand(table) == pytest.approx(adjusted_rand_score(left, right), abs=1e-9)
    assert adjusted_mutual_information(table) == pytest.approx(adjusted_mutual_info_score(left, right), abs=1e-7)

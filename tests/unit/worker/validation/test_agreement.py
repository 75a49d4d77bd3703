"""The agreement is scikit-learn's adjusted Rand index, with an interval that holds it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from shoal_worker.validation.agreement import agreement_of

LABELS = st.integers(1, 60).flatmap(
    lambda count: st.tuples(*[st.lists(st.integers(-1, 5), min_size=count, max_size=count)] * 2)
)


@given(LABELS)
def test_it_is_the_index_of_scikit_learn(labels: tuple[list[int], list[int]]) -> None:
    left, right = (np.array(side) for side in labels)
    found = agreement_of(left, right)
    assert found.index == pytest.approx(adjusted_rand_score(left, right), abs=1e-12)
    assert found.low <= found.index <= found.high


@given(LABELS)
def test_names_of_labels_do_not_matter(labels: tuple[list[int], list[int]]) -> None:
    left, right = (np.array(side) for side in labels)
    assert agreement_of(left, right).index == pytest.approx(agreement_of(left * -7 + 3, right).index, abs=1e-12)


def test_more_rows_narrow_the_interval() -> None:
    random = np.random.default_rng(0)

    def width(count: int) -> float:
        left = random.integers(0, 4, count)
        right = np.where(random.random(count) < 0.2, random.integers(0, 4, count), left)
        found = agreement_of(left, right)
        return found.high - found.low

    assert width(5000) < width(200) / 2

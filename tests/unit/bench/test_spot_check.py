"""The check against the definition: right labels pass, each kind of wrong label is seen."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from tests.bench import spot_check

POINTS = np.random.default_rng(3).normal(size=(400, 2))
EPS, MIN_SAMPLES = 0.25, 6
FITTED = DBSCAN(eps=EPS, min_samples=MIN_SAMPLES).fit(POINTS)
LABELS, CORES = FITTED.labels_, FITTED.core_sample_indices_
NOISE = int(np.flatnonzero(LABELS == -1)[0])
BORDER = int(np.setdiff1d(np.flatnonzero(LABELS >= 0), CORES)[0])


def wrong(labels: np.ndarray, cores: np.ndarray) -> int:
    return spot_check.spot_check(POINTS, labels, cores, EPS, MIN_SAMPLES, rows=len(POINTS))[0]


def test_right_labels_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(LABELS, CORES) == 0
    monkeypatch.setattr(spot_check, "CHUNK", 37)
    assert wrong(LABELS, CORES) == 0


@pytest.mark.parametrize(("row", "label"), [(NOISE, 0), (BORDER, -1), (BORDER, 999), (int(CORES[5]), 999)])
def test_a_wrong_label_is_seen(row: int, label: int) -> None:
    changed = LABELS.copy()
    changed[row] = label
    assert wrong(changed, CORES) > 0


def test_wrong_cores_are_seen() -> None:
    assert wrong(LABELS, CORES[1:]) > 0
    assert wrong(LABELS, np.append(CORES, NOISE)) > 0


def test_it_checks_as_many_rows_as_asked() -> None:
    assert spot_check.spot_check(POINTS, LABELS, CORES, EPS, MIN_SAMPLES, rows=17) == (0, 17)

"""edgeCases: no row, one row, duplicates, extreme values, rows far away and rows on a core; called by `run`."""

from collections.abc import Iterator

import numpy as np

from shoal_worker.artifact.files import FloatArray
from shoal_worker.validation.distances import distances_between
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import Subject, draw_rows

NAME = "edgeCases"
_COPIES, _FAR, _CORES = 64, 16, 1000
_ROWS_AT_A_TIME = 100_000
_EXTREMES = (1.7e308, -1.7e308, 1e300, -1e300, 1e154, 5e-324, -0.0)


def judge_edges(subject: Subject) -> Judgement:
    """Whether each case gives the answer that it must."""
    rows = subject.sampled_points
    labels = subject.predict(rows)
    cores = subject.fitted.core_rows
    cores = cores[draw_rows(len(cores), _CORES)]
    far = _far_rows(subject)
    cases = {
        "no row": subject.predict(rows[:0]).shape == (0,),
        "one row": subject.predict(rows[:1]).tolist() == labels[:1].tolist(),
        "duplicates": set(subject.predict(np.repeat(rows[-1:], _COPIES, axis=0)).tolist()) == set(labels[-1:].tolist()),
        "extreme values": all(_answered(subject, extreme) for extreme in _extreme_rows(subject)),
        "far rows": bool((subject.predict(far) == -1).all()),
        "rows on a core": bool((subject.predict(subject.points[cores]) == subject.fitted.labels[cores]).all()),
    }
    failed = [name for name, fine in cases.items() if not fine]
    figures = {
        "cases": len(cases),
        "casesPassed": len(cases) - len(failed),
        "farRows": len(far),
        "coreRows": len(cores),
    }
    if failed:
        return Judgement(NAME, "fail", f"a wrong answer for: {', '.join(failed)}", figures)
    return Judgement(NAME, "pass", f"the right answer for: {', '.join(cases)}", figures)


def _extreme_rows(subject: Subject) -> Iterator[FloatArray]:
    width = subject.points.shape[1]
    yield from (np.full((1, width), value) for value in _EXTREMES)
    yield np.array([[_EXTREMES[column % 2] for column in range(width)]])


def _answered(subject: Subject, rows: FloatArray) -> bool:
    """Whether the rows get a label or a refusal in words."""
    try:
        (label,) = subject.predict(rows).tolist()
    except ValueError as error:
        return bool(str(error))
    return -1 <= label < subject.artifact.manifest.metrics.clusters


def _far_rows(subject: Subject) -> FloatArray:
    """Rows that are farther from every core sample than any cluster reaches; none where there is no such place."""
    metric = subject.algorithm.chosen.metric
    if metric in ("euclidean", "manhattan", "chebyshev"):
        low, high = subject.points.min(axis=0), subject.points.max(axis=0)
        with np.errstate(over="ignore"):
            step = 10 * (high - low).max() + 10 * subject.widest_radius + 1
            far = np.array([high + step, low - step])
            # Beyond the range of floats, or swallowed by rounding: no row is far then.
            apart = np.isfinite(far).all() and (far[0] - high > step / 2).all() and (low - far[1] > step / 2).all()
        return far if apart else far[:0]
    cores = subject.fitted.core_rows
    opposite = subject.points[cores[draw_rows(len(cores), _FAR)]]
    opposite = -opposite if metric == "cosine" else np.column_stack([-opposite[:, 0], _across(opposite[:, 1])])
    nearest = np.full(len(opposite), np.inf)
    for start in range(0, len(cores), _ROWS_AT_A_TIME):
        some = subject.points[cores[start : start + _ROWS_AT_A_TIME]]
        nearest = np.minimum(nearest, distances_between(opposite, some, metric).min(axis=1))
    return np.ascontiguousarray(opposite[nearest > subject.widest_radius * (1 + 1e-9)])


def _across(longitudes: np.ndarray) -> np.ndarray:
    """The longitudes of the other side of the globe, within -pi and pi."""
    return np.asarray(np.where(longitudes > 0, longitudes - np.pi, longitudes + np.pi))

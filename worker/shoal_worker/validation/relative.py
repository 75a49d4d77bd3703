"""The limits relative to the last good version: both label the same rows, which are then compared; called by `run`.

Invariant: what cannot be measured (no such version, one that is gone, other columns) warns or passes, it never fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shoal_engine import silhouette
from shoal_worker.artifact.files import FloatArray, LabelArray
from shoal_worker.artifact.manifest import Metric
from shoal_worker.spec.validation import RelativeLimits
from shoal_worker.validation.agreement import agreement_of
from shoal_worker.validation.dbcv import dbcv
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import draw_rows

_QUALITY_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same rows, labelled by the version under test and by the last good one.

    Both clusterings are measured in the new version's space: on the same points, by the same distance.
    """

    version: int
    points: FloatArray
    metric: Metric
    labels: LabelArray
    baseline_labels: LabelArray


def judge_relative(compared: Comparison | str | None, limits: RelativeLimits) -> tuple[Judgement, ...]:
    """One judgement for each limit that is set; a text says why nothing can be compared, None that nothing is there."""
    return tuple(_judge(compared, limits))


def _judge(compared: Comparison | str | None, limits: RelativeLimits) -> Iterator[Judgement]:
    wanted = {
        "minSilhouetteRatio": limits.min_silhouette_ratio,
        "minDbcvRatio": limits.min_dbcv_ratio,
        "minAgreement": limits.min_agreement,
    }
    for name, limit in wanted.items():
        if limit is None:
            continue
        told = {name: limit}
        if compared is None:
            message = "there is no earlier version to compare with"
            yield Judgement(name, "pass", message, limits=told, dry_run=limits.dry_run)
        elif isinstance(compared, str):
            message = f"not compared with the last good version: {compared}"
            yield Judgement(name, "warn", message, limits=told, dry_run=limits.dry_run)
        elif name == "minAgreement":
            yield _agreement(compared, limit, limits.dry_run)
        else:
            yield _ratio(name, compared, limit, limits.dry_run)


def _ratio(name: str, compared: Comparison, limit: float, dry_run: bool) -> Judgement:
    figure = "silhouette" if name == "minSilhouetteRatio" else "dbcv"
    mine, other = (_measure(figure, compared, labels) for labels in (compared.labels, compared.baseline_labels))
    told = {name: limit}
    figures = {figure: mine, f"baseline{figure.capitalize()}": other, "baselineVersion": compared.version}
    known = {key: value for key, value in figures.items() if value is not None}
    if other is None:
        message = f"version {compared.version} has no {figure} on these rows, with fewer than two clusters"
        return Judgement(name, "warn", message, known, told, dry_run)
    least = least_value(other, limit)
    wanted = f"wanted >= {least:.6g}: {limit:.6g} of version {compared.version}'s {other:.6g} on the same rows"
    if mine is None:
        return Judgement(name, "fail", f"measured none, with fewer than two clusters; {wanted}", known, told, dry_run)
    verdict = "pass" if mine >= least else "fail"
    return Judgement(name, verdict, f"measured {mine:.6g}; {wanted}", known, told, dry_run)  # type: ignore[arg-type]


def least_value(baseline: float, ratio: float) -> float:
    """The least value that keeps a ratio to a figure of -1 to 1; below 0 it gives as much room as above.

    >>> least_value(0.5, 0.9), least_value(-0.5, 0.9)
    (0.45, -0.55)
    """
    return baseline - (1 - ratio) * abs(baseline)


def _measure(figure: str, compared: Comparison, labels: LabelArray) -> float | None:
    rows = draw_rows(len(labels), _QUALITY_ROWS)
    points = np.ascontiguousarray(compared.points[rows])
    if figure == "dbcv":
        return dbcv(points, labels[rows], compared.metric)
    found = silhouette(points, labels[rows], metric=compared.metric, sample_size=_QUALITY_ROWS)
    return found if found is not None and np.isfinite(found) else None


def _agreement(compared: Comparison, limit: float, dry_run: bool) -> Judgement:
    found = agreement_of(compared.baseline_labels, compared.labels)
    figures = {
        "adjustedRand": found.index,
        "low": found.low,
        "high": found.high,
        "rows": len(compared.labels),
        "baselineVersion": compared.version,
    }
    measured = (
        f"adjusted Rand index with version {compared.version} {found.index:.3g} "
        f"(95 % interval {found.low:.3g} to {found.high:.3g}) on {len(compared.labels)} rows; wanted >= {limit:.6g}"
    )
    told = {"minAgreement": limit}
    if found.index >= limit:
        return Judgement("minAgreement", "pass", measured, figures, told, dry_run)
    if found.high >= limit:
        # So few rows do not tell it from an agreement that is good enough.
        return Judgement("minAgreement", "warn", f"{measured}, which the interval holds", figures, told, dry_run)
    return Judgement("minAgreement", "fail", measured, figures, told, dry_run)

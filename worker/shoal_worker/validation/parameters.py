"""parameterValidation: nonsense is refused in words, and the parameters suit the data; called by `run`."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from shoal_engine import DBSCAN, AdaptiveDBSCAN
from shoal_worker.artifact.manifest import DbscanManifest
from shoal_worker.validation.distances import distances_between
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import Subject

NAME = "parameterValidation"
_FEW, _EXTENT_ROWS = 50, 500


def judge_parameters(subject: Subject) -> Judgement:
    """Refusals of bad parameters and bad inputs; eps and counts against the data."""
    cases = [*_bad_parameters(subject), *_bad_inputs(subject)]
    accepted = [name for name, attempt in cases if not _refused(attempt, name)]
    figures: dict[str, float] = {"casesTested": len(cases), "casesRefused": len(cases) - len(accepted)}
    unsuited, measured = _unsuited(subject)
    figures |= measured
    if accepted:
        return Judgement(NAME, "fail", f"not refused, or not in words: {', '.join(accepted)}", figures)
    if unsuited:
        return Judgement(NAME, "warn", "; ".join(unsuited), figures)
    message = f"all {len(cases)} bad parameters and inputs were refused in words; the parameters suit the data"
    return Judgement(NAME, "pass", message, figures)


def _refused(attempt: Callable[[], object], name: str) -> bool:
    """Whether it is refused by an error that says what is wrong; for a parameter, that names it."""
    try:
        attempt()
    except (ValueError, TypeError) as error:
        return name.split("=")[0] in str(error) if "=" in name else bool(str(error))
    return False


def _bad_parameters(subject: Subject) -> Iterator[tuple[str, Callable[[], object]]]:
    rows = subject.sampled_points[:_FEW]
    parameters = subject.artifact.manifest.parameters.model_dump()
    estimator: type[DBSCAN] | type[AdaptiveDBSCAN]
    bad: tuple[tuple[str, Any], ...] = (("min_samples", 0), ("min_samples", 1.5), ("metric", "minkowski"))
    if isinstance(subject.artifact.manifest, DbscanManifest):
        estimator = DBSCAN
        bad = (*bad, *(("eps", value) for value in (0.0, -1.0, float("nan"), float("inf"))))
    else:
        estimator, bad = AdaptiveDBSCAN, (*bad, ("min_cluster_size", 1))
    for name, value in bad:
        yield f"{name}={value}", lambda name=name, value=value: estimator(**{**parameters, name: value}).fit(rows)  # type: ignore[misc]


def _bad_inputs(subject: Subject) -> Iterator[tuple[str, Callable[[], object]]]:
    row = subject.sampled_points[:1]
    width = row.shape[1]
    inputs: dict[str, np.ndarray] = {
        "one column too many": np.zeros((1, width + 1)),
        "a row that is no matrix": np.zeros(width),
        "NaN": np.full((1, width), np.nan),
        "infinity": np.full((1, width), np.inf),
        "whole numbers": np.zeros((1, width), dtype=np.int64),
        "text": np.full((1, width), "a", dtype=object),
    }
    for name, rows in inputs.items():
        yield name, lambda rows=rows: subject.predict(rows)  # type: ignore[misc]


def _unsuited(subject: Subject) -> tuple[list[str], dict[str, float]]:
    """What about the parameters does not suit the data, and the figures that say so."""
    chosen = subject.algorithm.chosen
    rows = len(subject.points)
    some = subject.sampled_points[:: max(1, len(subject.sample) // _EXTENT_ROWS)]
    with np.errstate(over="ignore", invalid="ignore"):
        extent = float(distances_between(some, some, chosen.metric).max())
    figures: dict[str, float] = {"extentOfSample": extent}
    problems = []
    if subject.algorithm.dbscan and (eps := subject.algorithm.dbscan.eps or 0.0):
        figures["eps"] = eps
        if eps >= extent:
            problems.append(f"eps {eps:.6g} reaches across all of the data ({extent:.6g}); give a smaller one")
    if chosen.min_samples > rows:
        problems.append(f"minSamples {chosen.min_samples} is above the number of rows, {rows}")
    elif not len(subject.fitted.core_rows):
        problems.append("no row is a core sample: all is noise; raise eps or lower minSamples")
    size = subject.algorithm.adaptive_dbscan.min_cluster_size if subject.algorithm.adaptive_dbscan else None
    if size is not None and size > rows:
        problems.append(f"minClusterSize {size} is above the number of rows, {rows}")
    return problems, figures

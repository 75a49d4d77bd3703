"""The limits of spec.validation that need no other version; called by `run`, and by the search for its trials.

Invariant: pure; one judgement for each limit that is set.
"""

from collections.abc import Iterator

from shoal_worker.artifact.manifest import ModelMetrics
from shoal_worker.spec.validation import ValidationSpec
from shoal_worker.validation.judgement import Judgement


def judge_limits(metrics: ModelMetrics, limits: ValidationSpec) -> tuple[Judgement, ...]:
    """Compare what was measured with the limits."""
    return tuple(_judge(metrics, limits))


def _judge(metrics: ModelMetrics, limits: ValidationSpec) -> Iterator[Judgement]:
    dry_run = limits.tests.limits.dry_run
    yield _at_least("minClusters", "clusters", metrics.clusters, limits.min_clusters, dry_run)
    if limits.max_clusters is not None:
        yield _at_most("maxClusters", "clusters", metrics.clusters, limits.max_clusters, dry_run)
    if limits.max_noise_ratio is not None:
        yield _at_most("maxNoiseRatio", "noiseRatio", metrics.noise_ratio, limits.max_noise_ratio, dry_run)
    if limits.min_silhouette is not None:
        yield _at_least("minSilhouette", "silhouette", metrics.silhouette, limits.min_silhouette, dry_run)
    if limits.min_dbcv is not None:
        yield _at_least("minDbcv", "dbcv", metrics.dbcv, limits.min_dbcv, dry_run)


def _at_least(name: str, figure: str, measured: float | None, limit: float, dry_run: bool) -> Judgement:
    if measured is None:
        message = f"measured none, with fewer than two clusters, wanted >= {limit:.6g}"
        return Judgement(name, "fail", message, limits={name: limit}, dry_run=dry_run)
    message = f"measured {measured:.6g}, wanted >= {limit:.6g}"
    return Judgement(name, "pass" if measured >= limit else "fail", message, {figure: measured}, {name: limit}, dry_run)


def _at_most(name: str, figure: str, measured: float, limit: float, dry_run: bool) -> Judgement:
    message = f"measured {measured:.6g}, wanted <= {limit:.6g}"
    return Judgement(name, "pass" if measured <= limit else "fail", message, {figure: measured}, {name: limit}, dry_run)

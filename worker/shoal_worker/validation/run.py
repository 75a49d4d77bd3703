"""Runs all tests on one version; called by `train` once there is an artifact, and for imports.

Invariant: an exception in a test is that test's failure, never the training's; being told to stop is neither.
"""

from collections.abc import Callable
from dataclasses import replace

import structlog

from shoal_worker.errors import WorkerError
from shoal_worker.spec.validation import ValidationSpec, ValidationTestSettings
from shoal_worker.training.baseline import Baseline, BaselineLost
from shoal_worker.validation import basics, edges, memory, parameters, performance, reproducibility
from shoal_worker.validation.judgement import Judgement, Judgements
from shoal_worker.validation.limits import judge_limits
from shoal_worker.validation.relative import Comparison, judge_relative
from shoal_worker.validation.subject import Served, Subject

_log = structlog.get_logger(__name__)


def validate(subject: Subject, spec: ValidationSpec, baseline: Baseline | BaselineLost | None) -> Judgements:
    """Test a version, and compare it with its limits and with the last good version."""
    tests = spec.tests
    judged = [
        _judge(basics.NAME, tests.basic_functionality, lambda: basics.judge_basics(subject)),
        _judge(parameters.NAME, tests.parameter_validation, lambda: parameters.judge_parameters(subject)),
        _judge(edges.NAME, tests.edge_cases, lambda: edges.judge_edges(subject)),
        *judge_served(subject.served, spec),
        _judge(reproducibility.NAME, tests.reproducibility, lambda: reproducibility.judge_reproducibility(subject)),
        *judge_limits(subject.artifact.manifest.metrics, spec),
    ]
    if spec.relative.wanted:
        judged += judge_relative(_compare(subject, baseline), spec.relative)
    for judgement in judged:
        tell = _log.info if judgement.verdict == "pass" else _log.warning
        tell("tested", test=judgement.name, verdict=judgement.verdict, message=judgement.message)
    return Judgements(tuple(judged))


def judge_served(served: Served, spec: ValidationSpec) -> tuple[Judgement, ...]:
    """The tests that need no training data."""
    tests = spec.tests
    return (
        _judge(performance.NAME, tests.performance, lambda: performance.judge_performance(served, tests.performance)),
        _judge(memory.NAME, tests.memory, lambda: memory.judge_memory(served, tests.memory)),
    )


def _judge(name: str, settings: ValidationTestSettings, attempt: Callable[[], Judgement]) -> Judgement:
    try:
        judged = attempt()
    except WorkerError as error:
        if error.transient:
            raise
        judged = Judgement(name, "fail", f"the test was refused: {error}")
    except Exception as error:
        _log.exception("a test of the validation failed", test=name)
        judged = Judgement(name, "fail", f"the test met {type(error).__name__}: {error}")
    return replace(judged, dry_run=settings.dry_run)


def _compare(subject: Subject, baseline: Baseline | BaselineLost | None) -> Comparison | str | None:
    """Let both versions label the sample; a text says why that cannot be."""
    if baseline is None:
        return None
    if isinstance(baseline, BaselineLost):
        return f"version {baseline.version} cannot be loaded: {baseline.problem}"
    try:
        before = baseline.labels_of(subject.served.rows)
    except (WorkerError, ValueError) as error:
        if isinstance(error, WorkerError) and error.transient:
            raise
        return f"version {baseline.version} cannot label these rows: {error}"
    points = subject.sampled_points
    metric = subject.algorithm.chosen.metric
    return Comparison(baseline.version, points, metric, subject.predict(points), before)

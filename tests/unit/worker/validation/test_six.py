"""Each of the six tests passes a sound version, and fails one that is broken in its way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shoal_worker.artifact.files import LabelArray
from shoal_worker.model import Model
from shoal_worker.spec.validation import MemoryTestSettings, PerformanceTestSettings
from shoal_worker.training.fit import Fitted
from shoal_worker.validation.basics import judge_basics
from shoal_worker.validation.edges import judge_edges
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.memory import judge_memory
from shoal_worker.validation.parameters import judge_parameters
from shoal_worker.validation.performance import judge_performance
from shoal_worker.validation.reproducibility import affordable_rows, judge_reproducibility, other_threads
from shoal_worker.validation.subject import Subject
from tests.unit.worker.harness import make_spec, make_table
from tests.unit.worker.validation.conftest import take_subject

Predict = Callable[[np.ndarray], LabelArray]


class Broken:
    """A predictor that answers as another one does, but for one thing."""

    def __init__(self, sound: Any, answer: Callable[[Predict, np.ndarray], LabelArray]) -> None:
        self._sound, self._answer = sound, answer

    def predict(self, points: np.ndarray) -> LabelArray:
        return self._answer(self._sound.predict, points)


def broken(subject: Subject, answer: Callable[[Predict, np.ndarray], LabelArray]) -> Subject:
    model: Model = replace(subject.model, predictor=Broken(subject.model.predictor, answer))  # type: ignore[arg-type]
    return replace(subject, model=model)


def all_six(subject: Subject) -> list[Judgement]:
    return [
        judge_basics(subject),
        judge_parameters(subject),
        judge_edges(subject),
        judge_performance(subject.served, PerformanceTestSettings()),
        judge_memory(subject.served, MemoryTestSettings()),
        judge_reproducibility(subject),
    ]


def test_a_sound_version_passes_all(any_subject: Subject) -> None:
    for judged in all_six(any_subject):
        assert judged.verdict == "pass", judged
        assert judged.figures
        assert judged.message


def test_far_rows_were_really_tested(any_subject: Subject) -> None:
    assert judge_edges(any_subject).figures["farRows"] > 0


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda predict, points: predict(points)[:-1], "labels for"),
        (lambda predict, points: predict(points) + np.int32(1), "labels outside -1 to 1"),
        (lambda predict, points: predict(points).astype(np.int64), "int64"),
        (lambda predict, points: np.zeros(len(points), dtype=np.int32), "core samples lost their label"),
    ],
)
def test_wrong_labels_fail_the_basics(subject: Subject, answer: Any, told: str) -> None:
    judged = judge_basics(broken(subject, answer))
    assert judged.verdict == "fail"
    assert told in judged.message


def test_input_that_is_not_refused_fails(subject: Subject) -> None:
    def lenient(predict: Predict, points: np.ndarray) -> LabelArray:
        return np.zeros(1, np.int32) if points.dtype.kind == "f" and np.isnan(points).any() else predict(points)

    judged = judge_parameters(broken(subject, lenient))
    assert judged.verdict == "fail"
    assert "NaN" in judged.message


@pytest.mark.parametrize(
    ("algorithm", "told"),
    [
        ({"dbscan": {"eps": 500.0, "minSamples": 4}}, "reaches across all of the data"),
        ({"dbscan": {"eps": 1e-9, "minSamples": 4}}, "no row is a core sample"),
        ({"dbscan": {"eps": 0.8, "minSamples": 900}}, "above the number of rows"),
        ({"adaptiveDbscan": {"minClusterSize": 900}}, "minClusterSize 900 is above"),
    ],
)
def test_parameters_that_do_not_suit_the_data_are_warned_of(algorithm: dict[str, Any], told: str) -> None:
    judged = judge_parameters(take_subject(make_table(200), make_spec(algorithm=algorithm)))
    assert judged.verdict == "warn"
    assert told in judged.message


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (lambda predict, points: predict(points) if len(points) else np.zeros(1, np.int32), "no row"),
        (lambda predict, points: predict(points) if len(points) != 64 else np.arange(64) % 2, "duplicates"),
        (lambda predict, points: np.maximum(predict(points), 0), "far rows"),
    ],
)
def test_wrong_answers_at_the_edges_fail(subject: Subject, answer: Any, failed: str) -> None:
    judged = judge_edges(broken(subject, answer))
    assert judged.verdict == "fail"
    assert failed in judged.message


def ticking(seconds: float) -> Callable[[], float]:
    """A clock on which everything takes as long."""
    now = [0.0]

    def clock() -> float:
        now[0] += seconds
        return now[0]

    return clock


@pytest.mark.parametrize(
    ("seconds", "limit", "verdict"), [(0.05, 10, "fail"), (0.005, 10, "pass"), (1e-6, 1e-6, "fail")]
)
def test_time_is_judged_by_its_limit(subject: Subject, seconds: float, limit: float, verdict: str) -> None:
    timed = replace(subject, clock=ticking(seconds))
    judged = judge_performance(timed.served, PerformanceTestSettings(max_millis_per_sample=limit))
    assert judged.verdict == verdict
    assert judged.figures["singleP50Millis"] == pytest.approx(1000 * seconds)
    assert judged.limits == {"maxMillisPerSample": limit}


def test_a_slow_model_is_asked_less_often(subject: Subject) -> None:
    judged = judge_performance(replace(subject, clock=ticking(10.0)).served, PerformanceTestSettings())
    assert judged.figures["singleCalls"] == 3
    assert judged.figures["batchRows"] == 64


@pytest.mark.parametrize(("limit", "verdict"), [(1, "fail"), (1 << 40, "pass")])
def test_memory_is_judged_by_its_limit(subject: Subject, limit: int, verdict: str) -> None:
    judged = judge_memory(subject.served, MemoryTestSettings(max_bytes=limit))
    assert judged.verdict == verdict
    held = sum(array.nbytes for array in subject.artifact.tensors.index.values())
    assert held < judged.figures["modelBytes"] <= subject.files.size


def test_memory_above_the_estimate_is_warned_of(subject: Subject) -> None:
    ballast: list[np.ndarray] = []

    def leaking(predict: Predict, points: np.ndarray) -> LabelArray:
        ballast.append(np.ones(1 << 21))
        return predict(points)

    judged = judge_memory(broken(replace(subject, estimated_bytes=1), leaking).served, MemoryTestSettings())
    assert judged.verdict == "warn"
    assert judged.figures["growthBytes"] > 4 << 20


def test_a_fit_that_depends_on_threads_fails(subject: Subject) -> None:
    def fit(points: np.ndarray, threads: int) -> Fitted:
        again = subject.refit.fit(points, threads)
        labels = again.labels.copy()
        labels[0] ^= threads != subject.refit.threads
        return replace(again, labels=labels)

    judged = judge_reproducibility(replace(subject, refit=replace(subject.refit, fit=fit)))
    assert judged.verdict == "fail"
    assert "1 of 401 rows got another label" in judged.message


def test_predictions_that_depend_on_the_batch_fail(subject: Subject) -> None:
    judged = judge_reproducibility(
        broken(subject, lambda predict, points: np.full_like(predict(points), -1 if len(points) == 7 else 0))
    )
    assert judged.verdict == "fail"
    assert "other batches" in judged.message


def test_an_artifact_that_cannot_be_rebuilt_fails(subject: Subject) -> None:
    other = replace(subject.files, manifest=subject.files.manifest + b" ")
    judged = judge_reproducibility(replace(subject, refit=replace(subject.refit, package=lambda _: other)))
    assert judged.verdict == "fail"
    assert other.digest in judged.message


def test_a_dear_fit_is_repeated_on_a_sample(subject: Subject) -> None:
    dear = take_subject(make_table(4000), make_spec())
    dear = replace(dear, refit=replace(dear.refit, seconds=1000.0))
    assert affordable_rows(dear, 2) == 1000
    judged = judge_reproducibility(dear)
    assert judged.verdict == "pass"
    assert judged.figures["refittedRows"] == 1000
    assert "a sample of 1000 rows" in judged.message
    assert affordable_rows(replace(subject, free_bytes=lambda: 0), 2) == 401, "all of so few"


def test_an_artifact_that_memory_cannot_hold_twice_is_not_rebuilt(subject: Subject) -> None:
    def package(_: Fitted) -> Any:
        raise MemoryError

    size = subject.files.size
    narrow = replace(subject, free_bytes=lambda: 2 * size - 1, refit=replace(subject.refit, package=package))
    judged = judge_reproducibility(narrow)
    assert judged.verdict == "warn"
    assert judged.figures["rebuiltArtifacts"] == 0
    assert judge_reproducibility(replace(subject, free_bytes=lambda: 2 * size)).verdict == "pass"


@pytest.mark.parametrize("threads", [1, 2, 3, 64])
def test_the_second_fit_has_other_threads(threads: int) -> None:
    assert 1 <= other_threads(threads) != threads

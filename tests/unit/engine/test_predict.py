"""Predict: the label of the nearest core within eps, equal to brute force over all cores."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from shoal_engine import DBSCAN, Predictor
from tests.unit.engine.reference import METRICS, Case, Points, cases, draw_points, predict_by_brute_force


def rows_near(case: Case) -> Points:
    rng = np.random.default_rng(case.seed + 1)
    n, d = case.points.shape
    steps = rng.choice([0.0, 0.01, 0.25], size=(30, 1)) * rng.integers(-1, 2, size=(30, d))
    return np.vstack([case.points[rng.integers(0, n, 30)] + steps, rng.normal(size=(10, d)), np.zeros((1, d))])


@settings(max_examples=400, deadline=None)
@given(cases())
def test_answers_equal_brute_force(case: Case) -> None:
    model = DBSCAN(case.eps, min_samples=case.min_samples, metric=case.metric).fit(case.points)
    rows = rows_near(case)
    labels = model.labels_[model.core_sample_indices_]
    expected = predict_by_brute_force(case.metric, case.eps, model.components_, labels, rows)
    np.testing.assert_array_equal(model.predict(rows), expected)


@settings(max_examples=100, deadline=None)
@given(cases(metrics=("euclidean", "manhattan", "chebyshev", "haversine")))
def test_core_samples_keep_their_labels_and_noise_stays_noise(case: Case) -> None:
    model = DBSCAN(case.eps, min_samples=case.min_samples, metric=case.metric).fit(case.points)
    answers = model.predict(case.points)
    cores = model.core_sample_indices_
    np.testing.assert_array_equal(answers[cores], model.labels_[cores])
    np.testing.assert_array_equal(answers == -1, model.labels_ == -1)


def blobs() -> tuple[Points, NDArray[np.int32]]:
    cores = draw_points(np.random.default_rng(11), "blobs", 2000, 3)
    return cores, (np.arange(2000) % 7).astype(np.int32)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "cosine"])
def test_batches_on_threads_equal_single_rows(metric: str) -> None:
    cores, labels = blobs()
    rows = draw_points(np.random.default_rng(12), "blobs", 9000, 3)
    one, many = Predictor(cores, labels, 0.3, metric, n_jobs=1), Predictor(cores, labels, 0.3, metric, n_jobs=3)
    expected = one.predict(rows)
    assert expected.dtype == np.int32
    assert expected.shape == (9000,)
    np.testing.assert_array_equal(many.predict(rows), expected)
    singles = [int(one.predict(rows[row : row + 1])[0]) for row in range(200)]
    np.testing.assert_array_equal(singles, expected[:200])


def test_one_predictor_serves_many_threads() -> None:
    cores, labels = blobs()
    predictor = Predictor(cores, labels, 0.3)
    expected = predictor.predict(cores)
    answers: list[NDArray[np.int32]] = []
    threads = [threading.Thread(target=lambda: answers.append(predictor.predict(cores))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(answers) == 8
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def test_float32_rows_answer_like_their_float64_values() -> None:
    cores, labels = blobs()
    predictor = Predictor(cores, labels, 0.3)
    rows = cores.astype(np.float32)
    np.testing.assert_array_equal(predictor.predict(rows), predictor.predict(rows.astype(np.float64)))


def test_read_only_rows_and_no_rows_are_answered() -> None:
    cores, labels = blobs()
    predictor = Predictor(cores, labels, 0.3)
    frozen = np.frombuffer(cores.tobytes(), dtype=np.float64).reshape(cores.shape)
    assert not frozen.flags.writeable
    np.testing.assert_array_equal(predictor.predict(frozen), predictor.predict(cores))
    assert predictor.predict(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("metric", METRICS)
def test_a_model_without_clusters_answers_noise(metric: str) -> None:
    predictor = Predictor(np.empty((0, 2)), np.empty(0, dtype=np.int32), 0.5, metric)
    np.testing.assert_array_equal(predictor.predict(np.ones((3, 2))), [-1, -1, -1])
    assert (predictor.n_features, predictor.n_cores, predictor.eps, predictor.metric) == (2, 0, 0.5, metric)


def test_angles_many_turns_away_are_the_same_place() -> None:
    predictor = Predictor(np.zeros((1, 2)), np.zeros(1, dtype=np.int32), 1e-6, "haversine")
    rows = np.array([[0.0, 2.0e6 * np.pi], [0.0, 1.0e6 * np.pi + 1e-3]])
    np.testing.assert_array_equal(predictor.predict(rows), [0, -1])

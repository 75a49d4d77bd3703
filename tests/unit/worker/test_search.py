"""A search finds what a person would choose, inside the bounds and the limits, the same each time."""

import json
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from shoal_worker.errors import SettingsInvalid
from shoal_worker.spec.algorithm import AlgorithmSpec
from shoal_worker.spec.training import parse_spec
from shoal_worker.spec.validation import ValidationSpec
from shoal_worker.training import search as searching
from shoal_worker.training.fit import Means, fit
from shoal_worker.training.search import SearchTime, search
from tests.unit.worker.harness import make_spec, make_table, train_table

CENTRES = [(-5, -5), (5, 5), (-5, 5), (5, -5)]
BLOBS, TRUTH = make_blobs(2000, centers=CENTRES, cluster_std=0.6, random_state=7)
UNHURRIED = SearchTime(threads=1, deadline_seconds=None)
NO_LIMITS = ValidationSpec()


def dbscan(**fields: Any) -> AlgorithmSpec:
    return AlgorithmSpec.model_validate({"dbscan": fields})


def agreement(algorithm: AlgorithmSpec, points: np.ndarray, truth: np.ndarray) -> float:
    fitted = fit(points, algorithm, Means(1), lambda _stage, _fraction: None)
    return float(adjusted_rand_score(truth, fitted.labels))


def test_without_a_search_nothing_changes() -> None:
    asked = dbscan(eps=0.5)
    assert search(BLOBS, asked, NO_LIMITS, UNHURRIED) == (asked, None)


@pytest.mark.parametrize("objective", ["dbcv", "silhouette"])
def test_it_finds_the_blobs_without_being_told_an_eps(objective: str) -> None:
    asked = dbscan(search={"minSamples": {"min": 3, "max": 12}, "trials": 30, "objective": objective})
    found, record = search(BLOBS, asked, NO_LIMITS, UNHURRIED)
    assert record is not None
    assert found.dbscan is not None
    assert found.dbscan.search is None
    assert agreement(found, BLOBS, TRUTH) > 0.9
    assert 3 <= found.dbscan.min_samples <= 12
    assert record.trials == 30
    assert record.objective == objective
    scores = [trial.score for trial in record.best]
    assert scores == sorted(scores, reverse=True)
    assert (record.best[0].eps, record.best[0].min_samples) == (found.dbscan.eps, found.dbscan.min_samples)


def test_bounds_are_kept_and_it_repeats() -> None:
    asked = dbscan(minSamples=5, search={"eps": {"min": 0.2, "max": 0.4}, "trials": 12})
    found, record = search(BLOBS, asked, NO_LIMITS, UNHURRIED)
    assert record is not None
    assert all(0.2 <= (trial.eps or 0) <= 0.4 for trial in record.best)
    assert found.chosen.min_samples == 5
    assert (found, record) == search(BLOBS, asked, NO_LIMITS, UNHURRIED)


def test_a_degenerate_optimum_never_wins() -> None:
    asked = dbscan(search={"eps": {"min": 0.01, "max": 100.0}, "trials": 25})
    limits = ValidationSpec(min_clusters=3, max_noise_ratio=0.2)
    found, record = search(BLOBS, asked, limits, UNHURRIED)
    assert record is not None
    assert all(trial.clusters >= 3 and trial.noise_ratio <= 0.2 for trial in record.best)
    assert agreement(found, BLOBS, TRUTH) > 0.9


def test_bounds_without_any_good_place_are_refused_in_words() -> None:
    asked = dbscan(search={"eps": {"min": 50.0, "max": 100.0}, "trials": 5})
    with pytest.raises(SettingsInvalid, match="none of 5 trials") as refused:
        search(BLOBS, asked, NO_LIMITS, UNHURRIED)
    assert refused.value.field == "spec.algorithm.dbscan.search"


def test_more_neighbours_than_rows_are_told() -> None:
    bounds = {"min": 5000, "max": 6000}
    asked = AlgorithmSpec.model_validate({"adaptiveDbscan": {"search": {"minSamples": bounds, "trials": 2}}})
    with pytest.raises(SettingsInvalid, match="must be at most the number of samples"):
        search(BLOBS, asked, NO_LIMITS, UNHURRIED)


def test_data_that_suggest_no_eps_are_told() -> None:
    with pytest.raises(SettingsInvalid, match="suggest no eps") as refused:
        search(np.zeros((50, 2)), dbscan(search={}), NO_LIMITS, UNHURRIED)
    assert refused.value.field == "spec.algorithm.dbscan.search.eps"


def test_adaptive_parameters_are_found() -> None:
    asked = AlgorithmSpec.model_validate(
        {
            "adaptiveDbscan": {
                "search": {
                    "minSamples": {"min": 5, "max": 20},
                    "minClusterSize": {"min": 20, "max": 400},
                    "trials": 12,
                }
            }
        }
    )
    found, record = search(BLOBS, asked, NO_LIMITS, UNHURRIED)
    assert record is not None
    assert found.adaptive_dbscan is not None
    assert 20 <= (found.adaptive_dbscan.min_cluster_size or 0) <= 400
    assert agreement(found, BLOBS, TRUTH) > 0.8


def test_what_a_sample_finds_suits_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SEARCH_ROWS", 2000)
    points, truth = make_blobs(40_000, centers=CENTRES, cluster_std=0.6, random_state=3)
    asked = dbscan(search={"minSamples": {"min": 4, "max": 10}, "trials": 20})
    found, record = search(points, asked, NO_LIMITS, UNHURRIED)
    assert record is not None
    assert record.rows == 2000
    assert agreement(found, points, truth) > 0.9


def test_it_stops_at_its_share_of_the_deadline_and_says_so() -> None:
    ticks = iter(range(10_000))
    asked = dbscan(search={"eps": {"min": 0.2, "max": 0.9}, "trials": 200})
    hurried = SearchTime(threads=1, deadline_seconds=100.0, clock=lambda: float(next(ticks)))
    found, record = search(BLOBS, asked, NO_LIMITS, hurried)
    assert record is not None
    assert 0 < record.trials < 30
    assert "activeDeadlineSeconds" in record.stopped
    assert found.dbscan is not None


def test_a_training_records_what_was_found() -> None:
    spec = make_spec(algorithm={"dbscan": {"search": {"trials": 10}}})
    trained = train_table(make_table(), spec)
    manifest = json.loads(trained.files.manifest)
    assert trained.search is not None
    assert manifest["search"]["trials"] == 10
    assert manifest["parameters"]["eps"] == manifest["search"]["best"][0]["eps"]
    assert trained.algorithm.dbscan is not None
    assert trained.algorithm.dbscan.eps == manifest["parameters"]["eps"]
    assert trained.files.digest == train_table(make_table(), spec).files.digest


@pytest.mark.parametrize(
    ("algorithm", "field"),
    [
        ({"dbscan": {}}, "spec.algorithm.dbscan"),
        ({"dbscan": {"search": {"trials": 201}}}, "spec.algorithm.dbscan.search.trials"),
        ({"dbscan": {"search": {"eps": {"min": 2, "max": 1}}}}, "spec.algorithm.dbscan.search.eps"),
        ({"dbscan": {"search": {"objective": "ari"}}}, "spec.algorithm.dbscan.search.objective"),
    ],
)
def test_a_wrong_search_is_named(algorithm: dict[str, Any], field: str) -> None:
    fields = {**make_spec().model_dump(by_alias=True, mode="json"), "algorithm": algorithm}
    with pytest.raises(SettingsInvalid) as error:
        parse_spec(json.dumps(fields))
    assert error.value.field == field

"""Trained models of every shape that a card must show, and their cards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shoal_worker.artifact.manifest import Column
from shoal_worker.card.facts import Facts, facts_of
from shoal_worker.card.making import draw_card
from shoal_worker.card.sketch import Sketch, sketch_training
from shoal_worker.data.frame import Frame
from shoal_worker.models.record import ModelKey, VersionRecord
from shoal_worker.models.reporting import report_of
from shoal_worker.training.outcome import Trained
from tests.unit.worker.harness import make_spec, make_table, make_varied_table, train_table

KEY = ModelKey("demo", "towns")


def as_frame(points: np.ndarray) -> Frame:
    """Rows of columns a, b, c…"""
    return Frame(tuple(Column(name=chr(97 + place), dtype="float64") for place in range(points.shape[1])), points, {})


def blobs(columns: int, clusters: int = 3, rows: int = 100) -> Frame:
    """Far blobs along the diagonal, and one stray."""
    random = np.random.default_rng(1)
    made = [random.normal(20.0 * place, 0.5, (rows, columns)) for place in range(clusters)]
    return as_frame(np.vstack([*made, np.full((1, columns), -40.0)]))


def places() -> Frame:
    """Towns around three cities, in radians."""
    random = np.random.default_rng(2)
    cities = np.radians([[50.7, 7.1], [-33.9, 151.2], [35.7, 139.7]])
    return as_frame(np.vstack([random.normal(city, 0.002, (60, 2)) for city in cities]))


CASES: dict[str, tuple[Frame, dict[str, Any]]] = {
    "plane": (make_table(), {}),
    "line": (blobs(1), {}),
    "eight": (blobs(8), {"algorithm": {"dbscan": {"eps": 3.0, "minSamples": 4}}}),
    "map": (places(), {"algorithm": {"dbscan": {"eps": 0.004, "minSamples": 4, "metric": "haversine"}}}),
    "cosine": (blobs(3), {"algorithm": {"dbscan": {"eps": 0.2, "minSamples": 4, "metric": "cosine"}}}),
    "adaptive": (make_varied_table(), {"algorithm": {"adaptiveDbscan": {"minSamples": 8}}}),
    "noise": (make_table(), {"algorithm": {"dbscan": {"eps": 1e-9, "minSamples": 4}}}),
    "one place": (as_frame(np.zeros((50, 2))), {}),
    "huge": (as_frame(1.7e308 * np.random.default_rng(0).uniform(-1, 1, (60, 3))), {}),
    "many": (blobs(2, 300, 12), {}),
}


def train_case(name: str) -> tuple[Frame, Trained]:
    """Train one of the cases."""
    frame, changes = CASES[name]
    return frame, train_table(frame, make_spec(**changes))


def record_of(trained: Trained, **report: Any) -> VersionRecord:
    """The record of a version, as a store keeps it."""
    made = report_of(trained.files, trained.artifact.manifest, trained.validation, "s3://store/artifacts/x")
    made["identity"] = trained.identity.record.model_dump(by_alias=True, exclude_none=True, mode="json")
    return VersionRecord(
        number=3,
        training_hash="1a2b3c4d",
        created="2026-05-01T00:00:00Z",
        digest=trained.files.digest,
        bytes=trained.files.size,
        passed=trained.validation.verdict == "pass",
        report={**made, **report},
        source="s3://data/towns.parquet",
    )


@pytest.fixture(scope="session", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Frame, Trained]:
    """Each of the cases, trained."""
    return train_case(request.param)


def draw_case(case: tuple[Frame, Trained], *, show_points: bool = True) -> tuple[Facts, Sketch, dict[str, bytes]]:
    """Draw a case's card."""
    frame, trained = case
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact, show_points=show_points)
    facts = facts_of(KEY, record_of(trained))
    return facts, sketch, draw_card(facts, sketch)

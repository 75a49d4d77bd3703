"""A fitted estimator is stored with its own labels, tested, and served as any version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import DBSCAN as SklearnDBSCAN
from sklearn.cluster import HDBSCAN

from shoal_engine import DBSCAN, AdaptiveDBSCAN
from shoal_worker.errors import SettingsInvalid
from shoal_worker.model import build_model
from shoal_worker.models import export, push
from shoal_worker.models.opening import open_models
from shoal_worker.models.record import ModelKey
from tests.unit.models.conftest import Place
from tests.unit.worker.harness import MACHINE, make_table

KEY = ModelKey("default", "towns")


@pytest.fixture
def rows() -> np.ndarray:
    return make_table(400).numbers


@pytest.mark.parametrize(
    "estimator",
    [
        DBSCAN(0.8, min_samples=4),
        AdaptiveDBSCAN(min_samples=8),
        SklearnDBSCAN(eps=0.8, min_samples=4),
    ],
    ids=["engine", "adaptive", "sklearn"],
)
def test_a_pushed_estimator_is_served_with_its_labels(place: Place, rows: np.ndarray, estimator: DBSCAN) -> None:
    estimator.fit(rows)
    record = push(estimator, rows, name="towns", store=place.uri, credentials_dir=place.secret_dir, labels={"by": "me"})
    assert record.number == 1
    assert record.passed, record.report["validation"]
    model = build_model(place.models().load(KEY, 1), name="towns", version="1", machine=MACHINE)
    labels = model.predict(rows, lambda: False)
    cores = estimator.core_sample_indices_
    assert np.array_equal(labels[cores], estimator.labels_[cores])
    assert [column.name for column in model.columns] == ["x0", "x1"]
    again = push(estimator, rows, name="towns", store=place.uri, credentials_dir=place.secret_dir)
    assert again.number == 1, "the same model is the same version"


def test_columns_are_the_data_frame_s_and_limits_are_kept(tmp_path: Path, rows: np.ndarray) -> None:
    frame = pd.DataFrame(rows, columns=["lon", "lat"])
    estimator = DBSCAN(0.8, min_samples=4).fit(frame)
    store = f"file://{tmp_path}"
    record = push(estimator, frame, name="towns", store=store, validation={"minClusters": 3})
    assert not record.passed
    assert [column["name"] for column in record.report["schema"]["columns"]] == ["lon", "lat"]
    assert open_models(store).list(KEY).versions[0].state == "Rejected"


def test_what_does_not_belong_together_is_refused(tmp_path: Path, rows: np.ndarray) -> None:
    estimator = DBSCAN(0.8, min_samples=4).fit(rows)
    with pytest.raises(SettingsInvalid, match="rows that the estimator was fitted on"):
        export(estimator, rows[:5], tmp_path)
    with pytest.raises(SettingsInvalid, match="one name for each"):
        export(estimator, rows, tmp_path, columns=["a"])
    with pytest.raises(TypeError, match="AdaptiveDBSCAN"):
        export(HDBSCAN(copy=True).fit(rows), rows, tmp_path)


def test_an_exported_directory_holds_the_artifact(tmp_path: Path, rows: np.ndarray) -> None:
    digest = export(DBSCAN(0.8, min_samples=4).fit(rows), rows, tmp_path / "m")
    assert digest.startswith("sha256:")
    names = ["card.html", "card.png", "manifest.json", "model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == names
    assert "exported from Python" in (tmp_path / "m" / "card.html").read_text()


def test_a_pushed_estimator_has_a_card(tmp_path: Path, rows: np.ndarray) -> None:
    store = f"file://{tmp_path}"
    estimator = DBSCAN(0.8, min_samples=4).fit(rows)
    push(estimator, rows, name="towns", store=store)
    shown = open_models(store).card(KEY, 1)
    assert "401 rows of the training data are on this card" in shown["card.html"].decode()
    assert shown["card.png"].startswith(b"\x89PNG")
    hidden = push(estimator, rows, name="hidden", store=store, card_points=False)
    assert not hidden.card_points
    page = open_models(store).card(ModelKey("default", "hidden"), 1)["card.html"].decode()
    assert "No row of the training data is on this card" in page

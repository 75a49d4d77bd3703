"""The verb `train` leaves a card beside the artifact, and a training never fails for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal_worker.card import making
from shoal_worker.errors import SettingsInvalid
from shoal_worker.job import SUCCESS
from shoal_worker.models.opening import open_models
from shoal_worker.models.record import ModelKey
from shoal_worker.spec.training import parse_spec
from tests.unit.worker.harness import make_spec
from tests.unit.worker.test_training import Run, run_training

__all__ = ["run_training"]

KEY = ModelKey("default", "blobs")


def test_a_version_has_its_card(run_training: Run, tmp_path: Path) -> None:
    code, report = run_training()
    assert code == SUCCESS
    folder = tmp_path / "artifacts" / report["artifact"]["digest"].replace(":", "-")
    assert {path.name for path in folder.iterdir()} >= {"default.blobs-v1.card.html", "default.blobs-v1.card.png"}
    page = open_models(f"file://{tmp_path}").card(KEY, 1)["card.html"].decode()
    assert f"file://{tmp_path}/blobs.csv" in page
    assert "201 rows of the training data are on this card" in page
    assert run_training()[1] == report
    assert open_models(f"file://{tmp_path}").card(KEY, 1)["card.html"].decode() == page, "equal input, equal bytes"


def test_points_are_left_out_where_the_model_says_so(run_training: Run, tmp_path: Path) -> None:
    run_training(card={"points": False})
    models = open_models(f"file://{tmp_path}")
    assert "No row of the training data is on this card" in models.card(KEY, 1)["card.html"].decode()
    assert not models.record(KEY, 1).card_points, "nor on one that is drawn later"


def test_a_card_that_cannot_be_drawn_costs_a_warning(
    run_training: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise RuntimeError("no ink")

    monkeypatch.setattr(making, "render_picture", fail)
    code, report = run_training()
    assert (code, report["outcome"], report["version"]) == (SUCCESS, "Succeeded", 1)
    assert report["validation"]["verdict"] == "pass"
    assert "no ink" in report["validation"]["warnings"][-1]
    assert open_models(f"file://{tmp_path}").card(KEY, 1) == {}


def test_a_version_that_is_rejected_has_a_card_too(run_training: Run, tmp_path: Path) -> None:
    run_training(validation={"minClusters": 9})
    page = open_models(f"file://{tmp_path}").card(KEY, 1)["card.html"].decode()
    assert "✗ rejected by its validation" in page
    assert "measured 2, wanted &gt;= 9" in page


def test_a_wrong_field_is_named() -> None:
    text = make_spec().model_dump_json(by_alias=True).replace('"points":true', '"points":"perhaps"')
    with pytest.raises(SettingsInvalid) as error:
        parse_spec(text)
    assert error.value.field == "spec.card.points"

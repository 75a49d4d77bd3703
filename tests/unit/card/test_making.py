"""A card that cannot be made costs a warning, never a version."""

from __future__ import annotations

from pathlib import Path

from shoal_worker.card.making import keep_card
from shoal_worker.card.sketch import Sketch, sketch_artifact
from shoal_worker.models.opening import open_models
from shoal_worker.models.record import Draft
from tests.unit.card.conftest import KEY, record_of, train_case


def test_a_card_that_fails_is_a_warning(tmp_path: Path) -> None:
    _, trained = train_case("plane")
    models = open_models(f"file://{tmp_path}")
    record = models.save(KEY, Draft("a", trained.files.digest, record_of(trained).report), trained.files)

    def fail() -> Sketch:
        raise MemoryError("no more")

    report = keep_card(models, KEY, record, fail)
    assert report["validation"]["warnings"] == [
        "card: it was not made (MemoryError: no more); `shoal models card` draws one"
    ]
    assert {**report, "validation": None} == {**record.report, "validation": None}
    assert models.card(KEY, 1) == {}
    assert models.latest(KEY).number == 1


def test_a_sketch_of_another_artifact_is_not_drawn(tmp_path: Path) -> None:
    (_, trained), (_, other) = train_case("plane"), train_case("adaptive")
    models = open_models(f"file://{tmp_path}")
    record = models.save(KEY, Draft("a", trained.files.digest, record_of(trained).report), trained.files)
    assert keep_card(models, KEY, record, lambda: sketch_artifact(other.artifact)) == record.report
    assert models.card(KEY, 1) == {}
    assert keep_card(models, KEY, record, lambda: sketch_artifact(trained.artifact)) == record.report
    assert set(models.card(KEY, 1)) == {"card.html", "card.png"}

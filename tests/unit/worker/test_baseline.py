"""The last good version is loaded like a served one; where it is gone or damaged, that is told and nothing stops."""

from pathlib import Path

import pytest

from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.errors import StoreUnavailable
from shoal_worker.settings import TrainSettings
from shoal_worker.spec.training import BaselineSpec
from shoal_worker.training.baseline import Baseline, BaselineLost, load_baseline
from tests.unit.worker.harness import MACHINE, make_table


@pytest.fixture
def settings(tmp_path: Path) -> TrainSettings:
    return TrainSettings(
        training_spec="{}", file_root=tmp_path, cache_dir=tmp_path / "cache", store_secret_dir=tmp_path / "none"
    )


def spec(stored: Path, files: ArtifactFiles) -> BaselineSpec:
    return BaselineSpec(version=4, uri=f"file://{stored}", digest=files.digest)


def test_a_first_training_has_none(settings: TrainSettings) -> None:
    assert load_baseline(None, "blobs", settings, MACHINE) is None


def test_it_predicts_as_it_did(stored: Path, files: ArtifactFiles, settings: TrainSettings) -> None:
    baseline = load_baseline(spec(stored, files), "blobs", settings, MACHINE)
    assert isinstance(baseline, Baseline)
    assert (baseline.version, baseline.model.digest) == (4, files.digest)
    labels = baseline.model.predict(make_table().numbers, lambda: False)
    assert set(labels.tolist()) == {-1, 0, 1}


@pytest.mark.parametrize("damage", ["deleted", "flipped bit"])
def test_one_that_is_gone_or_damaged_is_told(
    stored: Path, files: ArtifactFiles, settings: TrainSettings, damage: str
) -> None:
    model = stored / "model.safetensors"
    if damage == "deleted":
        model.unlink()
    else:
        model.write_bytes(bytes([files.model[0] ^ 1]) + bytes(files.model[1:]))
    lost = load_baseline(spec(stored, files), "blobs", settings, MACHINE)
    assert isinstance(lost, BaselineLost)
    assert lost.version == 4
    assert {"deleted": "not in the store", "flipped bit": "does not match the manifest"}[damage] in lost.problem


def test_a_store_that_may_come_back_is_worth_another_try(
    files: ArtifactFiles, settings: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    asked = BaselineSpec(version=1, uri="s3://b/artifacts/x", digest=files.digest)
    with pytest.raises(StoreUnavailable):
        load_baseline(asked, "blobs", settings, MACHINE)

"""Which rows lie beyond the training data: of models that know it, and of older ones that do not."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load, save

from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.artifact.ranges import Ranges, measure_ranges
from shoal_worker.errors import ArtifactInvalid
from shoal_worker.settings import ServeSettings
from tests.unit.worker.harness import Running, run_server
from tests.unit.worker.test_inference import raw_request

KNOWN = Ranges.build(np.array([[0.0, -1.0], [1.0, 0.1]]))
finite = st.floats(-1e300, 1e300)


def changed(files: ArtifactFiles, bounds: np.ndarray | None) -> ArtifactFiles:
    """The artifact with other ranges, or without."""
    tensors, manifest = dict(load(files.model)), json.loads(files.manifest)
    if bounds is None:
        del tensors["ranges"], manifest["tensors"]["ranges"]
    else:
        tensors["ranges"] = bounds
        manifest["tensors"]["ranges"]["shape"] = list(bounds.shape)
    model = save(tensors)
    manifest["files"]["model.safetensors"] = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    return ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), model)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("row", "outside"),
    [((0.5, 0.0), 0), ((0.0, -1.0), 0), ((1.0, 0.1), 0), ((1.1, 0.0), 1), ((0.5, -1.1), 1), ((9.0, 9.0), 1)],
)
def test_a_row_is_outside_by_any_of_its_features(row: tuple[float, float], outside: int, dtype: type) -> None:
    points = np.array([row, (0.5, 0.0)], dtype=dtype)
    assert KNOWN.count_outside(points) == outside
    assert KNOWN.find_outside(points).tolist() == [bool(outside), False]


def test_no_rows_are_not_outside() -> None:
    assert KNOWN.count_outside(np.empty((0, 2))) == 0


@pytest.mark.parametrize("rows", [16, 17, 2048, 2049, 10_000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_however_many_rows_there_are_each_is_looked_at(rows: int, dtype: type) -> None:
    points = np.random.default_rng(rows).uniform(-2, 2, (rows, 2)).astype(dtype)
    points[-1] = 9
    low, high = KNOWN.bounds
    outside = ((points < low) | (points > high)).any(axis=1)
    assert KNOWN.count_outside(points) == outside.sum()
    assert np.array_equal(KNOWN.find_outside(points), outside)


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=finite))
def test_no_training_row_is_outside_in_either_precision(points: np.ndarray) -> None:
    ranges = Ranges.build(measure_ranges(points))
    assert ranges.count_outside(points) == 0
    with np.errstate(over="ignore"):
        assert ranges.count_outside(points.astype(np.float32)) == 0


def test_an_artifact_without_ranges_is_served_and_does_not_tell(files: ArtifactFiles) -> None:
    older = changed(files, None)
    assert verify_artifact(older, older.digest).tensors.ranges is None


@pytest.mark.parametrize(
    "bounds",
    [np.array([[0.0, 0.0], [1.0, np.inf]]), np.array([[2.0, 0.0], [1.0, 1.0]]), np.zeros((2, 3)), np.zeros((3, 2))],
    ids=["infinite", "crossed", "too wide", "too long"],
)
def test_ranges_that_cannot_be_are_refused(files: ArtifactFiles, bounds: np.ndarray) -> None:
    wrong = changed(files, bounds)
    with pytest.raises(ArtifactInvalid, match="ranges"):
        verify_artifact(wrong, wrong.digest)


async def read_out_of_reach(running: Running) -> float | None:
    url = f"http://127.0.0.1:{running.server.metrics_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        lines = (await response.text()).splitlines()
    found = [line.split()[1] for line in lines if line.startswith("shoal_out_of_reach_rows_total ")]
    return float(found[0]) if found else None


async def test_rows_beyond_the_training_data_are_counted(running: Running) -> None:
    assert await read_out_of_reach(running) == 0
    await running.stub.ModelInfer(raw_request(np.array([[0.0, 0.0], [50.0, 51.0], [-9.0, 0.0]])))
    assert await read_out_of_reach(running) == 2


async def test_a_model_that_does_not_know_its_ranges_has_no_series(
    files: ArtifactFiles, stored: Path, make_settings: Callable[..., ServeSettings], tmp_path: Path
) -> None:
    older = changed(files, None)
    directory = tmp_path / "older"
    directory.mkdir()
    (directory / "manifest.json").write_bytes(older.manifest)
    (directory / "model.safetensors").write_bytes(older.model)
    changes: dict[str, Any] = {"artifact_uri": f"file://{directory}", "artifact_digest": older.digest}
    async with run_server(make_settings(**changes)) as running:
        await running.stub.ModelInfer(raw_request(np.array([[50.0, 51.0]])))
        assert await read_out_of_reach(running) is None

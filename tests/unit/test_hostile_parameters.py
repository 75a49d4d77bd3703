"""Hostile parameters and data at each place that takes them: the operator, the training, the artifact, the engine.

Each is refused with its field, its value and what to do, or it is work that is bounded.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from shoal_engine import DBSCAN, AdaptiveDBSCAN, WorkBudgetError
from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core import facts
from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.data.dataset import Access
from shoal_worker.data.reading import Bounds, read_training_data
from shoal_worker.errors import ArtifactInvalid, SettingsInvalid, SourceInvalid
from shoal_worker.spec.source import SourceSpec
from shoal_worker.spec.training import parse_spec
from tests.unit.worker.harness import make_spec, make_table, train_table

# Parameters of spec.algorithm.dbscan, the wrong one, and its value as a message shows it.
PARAMETERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "eps of zero": ({"eps": 0}, "eps", "0"),
    "negative eps": ({"eps": -1.5}, "eps", "-1.5"),
    "eps that is no number": ({"eps": math.nan}, "eps", "nan"),
    "infinite eps": ({"eps": math.inf}, "eps", "inf"),
    "huge eps": ({"eps": 1e308}, "eps", "1e+308"),
    "no neighbour": ({"eps": 1, "minSamples": 0}, "minSamples", "0"),
    "more neighbours than an int32": ({"eps": 1, "minSamples": 1 << 31}, "minSamples", "2147483648"),
    "neighbours of 400 digits": ({"eps": 1, "minSamples": 10**400}, "minSamples", ""),
}


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_operator_refuses(case: str) -> None:
    parameters, field, value = PARAMETERS[case]
    spec = {"source": {"uri": "s3://data/a.parquet"}, "algorithm": {"dbscan": parameters}}
    with pytest.raises(ValidationError) as refusal:
        ClusteringModelSpec.model_validate(spec)
    told = facts.refusal(refusal.value)
    assert f"algorithm.dbscan.{field}" in told
    assert value in told
    assert len(told) < 2000


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_training_refuses(case: str) -> None:
    parameters, field, value = PARAMETERS[case]
    fields = make_spec().model_dump(by_alias=True, mode="json") | {"algorithm": {"dbscan": parameters}}
    with pytest.raises(SettingsInvalid) as refusal:
        parse_spec(json.dumps(fields))
    assert refusal.value.field == f"spec.algorithm.dbscan.{field}"
    assert value.lower() in str(refusal.value).lower()
    assert refusal.value.remedy


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_artifact_is_refused(case: str) -> None:
    files = train_table(make_table(), make_spec()).files
    manifest = json.loads(files.manifest)
    manifest["parameters"] |= PARAMETERS[case][0]
    hostile = ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), files.model)
    with pytest.raises(ArtifactInvalid) as refusal:
        verify_artifact(hostile, hostile.digest)
    assert "parameters" in str(refusal.value.field) or PARAMETERS[case][1] in str(refusal.value)


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_engine_refuses_or_does_little(case: str) -> None:
    parameters = PARAMETERS[case][0]
    model = DBSCAN(parameters["eps"], min_samples=parameters.get("minSamples", 5))
    points = np.random.default_rng(0).random((2000, 2))
    if case in ("huge eps", "more neighbours than an int32", "neighbours of 400 digits"):
        assert set(model.fit_predict(points)) <= {0, -1}
        return
    with pytest.raises(ValueError, match=f"'{'min_samples' if 'minSamples' in parameters else 'eps'}' parameter"):
        model.fit(points)


class TestData:
    def test_rows_without_columns_are_refused(self) -> None:
        for estimator in (DBSCAN(1.0), AdaptiveDBSCAN()):
            with pytest.raises(ValueError, match=r"0 feature\(s\)"):
                estimator.fit(np.empty((3, 0)))

    def test_columns_without_end_are_refused_before_they_are_read(self, tmp_path: Path) -> None:
        path = tmp_path / "wide.npy"
        np.save(path, np.zeros((2, 100_000)))
        access, bounds = Access(tmp_path, tmp_path), Bounds(rows=1 << 30, bytes=1 << 30)
        with pytest.raises(SourceInvalid, match="100000 columns to take, and at most 4096") as refusal:
            read_training_data(SourceSpec(uri=f"file://{path}"), access, bounds)
        assert refusal.value.field == "spec.source.columns"
        assert refusal.value.remedy

    def test_the_engine_bears_a_million_columns(self) -> None:
        points = np.zeros((3, 1_000_000))
        points[2] = 1.0
        assert DBSCAN(0.5, min_samples=2).fit_predict(points).tolist() == [0, 0, -1]

    @pytest.mark.parametrize("estimator", [DBSCAN(0.5), DBSCAN(0.5, index="tree"), AdaptiveDBSCAN()], ids=str)
    def test_equal_rows_are_not_compared_all_with_all(self, estimator: Any) -> None:
        # All with all would be 10^10 distances.
        points = np.full((100_000, 3), 7.0)
        began = time.process_time()
        labels = estimator.fit_predict(points)
        assert len(set(labels)) == 1
        assert time.process_time() - began < 10

    def test_neighbours_without_end_are_bounded_by_the_budget(self) -> None:
        points = np.random.default_rng(0).random((20_000, 16))
        began = time.process_time()
        with pytest.raises(WorkBudgetError, match="distance computations"):
            DBSCAN(1.2, min_samples=15_000, work_budget=1e6).fit(points)
        assert time.process_time() - began < 5

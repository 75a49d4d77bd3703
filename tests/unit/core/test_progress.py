"""What is remembered, read from whatever a status and a record hold."""

from __future__ import annotations

from typing import Any

import pytest

from shoal_operator.api.deployment import ClusteringDeploymentSpec, Revision
from shoal_operator.core import names
from shoal_operator.core.progress import read_progress, read_status, write_record
from shoal_operator.core.revision import build_revision
from shoal_operator.core.versions import known_versions
from tests.unit.core import objects

KNOWN = known_versions([objects.version(1), objects.version(2)])
SPEC = ClusteringDeploymentSpec.model_validate({"modelRef": {"name": "cities"}})
ONE, TWO = (build_revision(SPEC, version, "image") for version in KNOWN)


def read(status: Any = None, record: str = "") -> Any:
    annotations = {names.STABLE_RECORD: record} if record else {}
    deployment = objects.deployment(annotations=annotations)
    deployment["status"] = status
    return read_progress(deployment, read_status(deployment), KNOWN)


def test_status_comes_before_the_record() -> None:
    assert read({"stable": ONE.to_wire()}, write_record(TWO)).stable == ONE


def test_the_record_stands_in_for_a_lost_status() -> None:
    assert read(None, write_record(TWO)).stable == TWO


@pytest.mark.parametrize(
    "record",
    [
        "not json",
        "{}",
        write_record(TWO.model_copy(update={"version": 9})),
        write_record(TWO.model_copy(update={"digest": "sha256:" + "f" * 64})),
        write_record(TWO.model_copy(update={"uri": "s3://elsewhere"})),
    ],
    ids=["garbage", "empty", "no such version", "other digest", "other place"],
)
def test_a_record_that_no_version_stands_for_is_not_trusted(record: str) -> None:
    assert read(None, record).stable is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        3,
        "x",
        [],
        {"weight": -1},
        {"weight": 101},
        {"step": -1},
        {"stable": {"revision": "../../etc", "version": 1}},
        {"retiring": [{"revision": "aaaaaaaa"}]},
        {"previous": [{"revision": "aaaaaaaa"}]},
        {"rollback": {"by": "Nobody", "atOnce": True}},
        {"conditions": [{"type": 3}]},
    ],
)
def test_a_status_that_cannot_be_read_counts_as_absent(status: Any) -> None:
    progress = read(status)
    assert progress.stable is None
    assert progress.weight == 0
    assert progress.step is None


def test_a_weight_without_a_candidate_is_none() -> None:
    progress = read({"stable": ONE.to_wire(), "weight": 70, "step": 3})
    assert (progress.weight, progress.step) == (0, None)


def test_a_candidate_that_is_stable_already_is_none() -> None:
    assert read({"stable": ONE.to_wire(), "candidate": ONE.to_wire(), "weight": 70}).candidate is None


def test_a_time_that_is_none_is_absent() -> None:
    status = {"stable": ONE.to_wire(), "candidate": TWO.to_wire(), "stepStartedAt": "yesterday"}
    assert read(status).step_started_at is None


def test_fields_of_another_release_do_not_hurt() -> None:
    wire = {**ONE.to_wire(), "flavour": "new"}
    wire["settings"]["tomorrow"] = 1
    progress = read({"stable": wire, "more": {}})
    assert isinstance(progress.stable, Revision)
    assert progress.stable == ONE

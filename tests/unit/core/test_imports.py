"""A model is trained or imported; an import is told what to fetch and held to the operator's hosts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_operator.api.meta import Reason
from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core.manifests.job import build_job
from shoal_operator.core.plan import Create
from shoal_operator.core.snapshot import ModelSnapshot
from shoal_operator.core.training import hash_training, plan_model
from tests.unit.core import objects

DIGEST = f"sha256:{'b' * 64}"
HOSTS = replace(objects.DEFAULTS, import_allowed_hosts=("models.example.org", "registry.example.org:5000"))


def imported(uri: str = "s3://exports/cities", **more: Any) -> dict[str, Any]:
    raw = objects.model()
    raw["spec"] = {"artifact": {"uri": uri, "digest": DIGEST, **more}}
    return raw


def identity(raw: dict[str, Any]) -> str:
    return hash_training(raw, ClusteringModelSpec.model_validate(raw["spec"]))


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"source": {"uri": "s3://data/cities.parquet"}},
        {"algorithm": {"dbscan": {"eps": 0.5}}},
        {"source": {"uri": "s3://data/cities.parquet"}, "artifact": {"uri": "s3://a/b", "digest": DIGEST}},
        {
            "source": {"uri": "s3://data/cities.parquet"},
            "algorithm": {"dbscan": {"eps": 0.5}},
            "artifact": {"uri": "s3://a/b", "digest": DIGEST},
        },
        {"artifact": {"uri": "s3://a/b", "digest": DIGEST}, "retrain": {"schedule": "@daily"}},
        {"artifact": {"uri": "ftp://a/b", "digest": DIGEST}},
        {"artifact": {"uri": "s3://a/b", "digest": "latest"}},
    ],
)
def test_neither_both_nor_half_of_them_is_accepted(spec: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ClusteringModelSpec.model_validate(spec)


def test_the_job_is_told_what_to_fetch_but_not_where_its_credentials_come_from() -> None:
    raw = imported(secretRef={"name": "theirs"})
    spec = ClusteringModelSpec.model_validate(raw["spec"])
    job = build_job(raw, spec, "1a2b3c4d", (), HOSTS)
    container = job["spec"]["template"]["spec"]["containers"][0]
    told = json.loads({item["name"]: item["value"] for item in container["env"]}["SHOAL_IMPORT_SPEC"])
    assert container["args"] == ["import"]
    assert told["artifact"] == {"uri": "s3://exports/cities", "digest": DIGEST}
    assert told["allowedHosts"] == ["models.example.org", "registry.example.org:5000"]
    assert "theirs" not in json.dumps(told)
    volumes = {item["name"]: item for item in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["source-secret"]["secret"]["secretName"] == "theirs"


def test_its_identity_is_place_digest_and_limits_not_the_secret() -> None:
    base = identity(imported())
    assert identity(imported(secretRef={"name": "theirs"})) == base
    assert identity(imported("s3://exports/other")) != base
    limited = imported()
    limited["spec"]["validation"] = {"minClusters": 3}
    assert identity(limited) != base


@pytest.mark.parametrize(
    "uri", ["https://models.example.org/a", "oci://registry.example.org:5000/team/model", "s3://any/where"]
)
def test_an_allowed_place_is_fetched_from(uri: str) -> None:
    plan = plan_model(ModelSnapshot(imported(uri), defaults=HOSTS), objects.NOW)
    assert [type(action) for action in plan.actions] == [Create]


@pytest.mark.parametrize(
    "uri", ["https://evil.example.org/a", "https://models.example.org@evil.org/a", "oci://registry.example.org/m"]
)
def test_another_host_is_denied_with_the_remedy(uri: str) -> None:
    plan = plan_model(ModelSnapshot(imported(uri), defaults=HOSTS), objects.NOW)
    assert plan.actions == ()
    assert plan.status is not None
    degraded = next(item for item in plan.status.status["conditions"] if item["type"] == "Degraded")
    assert degraded["reason"] == Reason.IMPORT_DENIED
    assert "SHOAL_OPERATOR_IMPORT_ALLOWED_HOSTS" in degraded["message"]

"""The generated definitions: structural, described, and what kubectl shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "crds").glob("*.yaml"))
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "title", "const", "examples", "definitions"}


def loaded(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "crds" / f"shoal.dev_{name}.yaml").read_text(encoding="utf-8"))


def schema_of(definition: dict[str, Any]) -> dict[str, Any]:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, field in node.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in node:
            yield from nodes(node[inner], f"{path}[]")


def test_the_committed_files_are_what_the_types_say() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "hack/generate_crds.py", "--check"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr


def test_there_is_one_file_for_each_kind() -> None:
    kinds = {yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]["names"]["kind"] for file in FILES}
    assert kinds == {
        "ClusteringModel",
        "ClusteringModelVersion",
        "ClusteringDeployment",
        "ClusteringDecision",
        "ClusteringBatch",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_schema_is_structural(file: Path) -> None:
    for path, node in nodes(schema_of(yaml.safe_load(file.read_text(encoding="utf-8")))):
        assert not FORBIDDEN & set(node), path
        assert node.get("type") in {"object", "array", "string", "integer", "number", "boolean"} or (
            node.get("x-kubernetes-int-or-string") is True
        ), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert ("items" in node) == (node.get("type") == "array"), path
        assert isinstance(node.get("exclusiveMinimum", True), bool), path
        assert node.get("default", 0) is not None, path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_field_is_described_in_a_sentence(file: Path) -> None:
    for path, node in nodes(schema_of(yaml.safe_load(file.read_text(encoding="utf-8")))):
        for name, field in node.get("properties", {}).items():
            if f"{path}.{name}" != ".metadata":
                assert field["description"].endswith("."), f"{path}.{name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_rule_says_what_to_do(file: Path) -> None:
    for path, node in nodes(schema_of(yaml.safe_load(file.read_text(encoding="utf-8")))):
        for rule in node.get("x-kubernetes-validations", ()):
            assert len(rule["message"]) > 20, path
            assert "\n" not in rule["message"], path


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_server_says_of_a_status_only_that_nobody_has_seen_the_object(file: Path) -> None:
    status = schema_of(yaml.safe_load(file.read_text(encoding="utf-8")))["properties"].get("status", {})
    told = {"": {"observedGeneration": -1}} if "observedGeneration" in status.get("properties", {}) else {}
    assert {path: node["default"] for path, node in nodes(status) if "default" in node} == told


@pytest.mark.parametrize(
    ("plural", "short", "columns"),
    [
        ("clusteringmodels", "cmodel", ["Phase", "Latest", "Age"]),
        (
            "clusteringmodelversions",
            "cmv",
            ["Model", "Version", "State", "Rows", "Clusters", "Noise", "Silhouette", "Verdict", "Age"],
        ),
        (
            "clusteringdeployments",
            "cdep",
            ["Phase", "Stable", "Candidate", "Weight", "Step", "Ready", "Age"],
        ),
        ("clusteringdecisions", "cdec", ["Deployment", "Decision", "Version", "Weight", "Reason", "Age"]),
    ],
)
def test_kubectl_get_shows_the_essentials(plural: str, short: str, columns: list[str]) -> None:
    spec = loaded(plural)["spec"]
    assert spec["names"]["shortNames"] == [short]
    assert spec["names"]["categories"] == ["shoal"]
    shown = [column["name"] for column in spec["versions"][0]["additionalPrinterColumns"] if "priority" not in column]
    assert shown == columns


@pytest.mark.parametrize(
    "plural", ["clusteringmodels", "clusteringmodelversions", "clusteringdeployments", "clusteringdecisions"]
)
def test_every_column_reads_a_field_that_exists(plural: str) -> None:
    definition = loaded(plural)
    version = definition["spec"]["versions"][0]
    paths = {path for path, _ in nodes(version["schema"]["openAPIV3Schema"])} | {".metadata.creationTimestamp"}
    for column in version["additionalPrinterColumns"]:
        assert column["jsonPath"].split("[")[0] in paths, column


def test_a_deployment_scales_by_its_workers() -> None:
    definition = loaded("clusteringdeployments")
    version = definition["spec"]["versions"][0]
    scale = version["subresources"]["scale"]
    paths = {path for path, _ in nodes(version["schema"]["openAPIV3Schema"])}
    assert {scale["specReplicasPath"], scale["statusReplicasPath"], scale["labelSelectorPath"]} <= paths
    worker = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["worker"]
    assert worker["default"] == {}, "without it an object that says nothing of workers cannot be scaled"
    assert "status" in version["subresources"]


def test_changing_the_strategy_leaves_no_default_of_the_other_behind() -> None:
    strategy = schema_of(loaded("clusteringdeployments"))["properties"]["spec"]["properties"]["strategy"]
    assert [path for path, node in nodes(strategy) if "default" in node] == []


def test_a_decision_is_a_record_without_a_status_that_never_changes() -> None:
    version = loaded("clusteringdecisions")["spec"]["versions"][0]
    assert "subresources" not in version
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    assert "status" not in schema
    assert [rule["rule"] for rule in schema["spec"]["x-kubernetes-validations"]] == ["self == oldSelf"]

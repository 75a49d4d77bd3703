"""The printed manifests are ones that the API server accepts: by the CRDs' schemas and by the operator's types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft4Validator

from hack.crdgen.definition import KINDS, build_schema

ROOT = Path(__file__).resolve().parents[3]
PRINTED = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.DOTALL | re.MULTILINE)
KIND = {kind.kind: kind for kind in KINDS}


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    texts = [(file, file.read_text(encoding="utf-8")) for file in sorted((ROOT / "examples").rglob("*.yaml"))]
    texts += [(file, block) for file in PRINTED for block in BLOCK.findall(file.read_text(encoding="utf-8"))]
    for file, text in texts:
        for manifest in yaml.safe_load_all(text):
            if isinstance(manifest, dict) and manifest.get("kind") in KIND:
                yield f"{file.relative_to(ROOT)}:{manifest['metadata']['name']}", manifest


FOUND = list(manifests())


def closed(node: Any) -> Any:
    """Refuse unknown fields, as kubectl's strict validation does."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    shut = {key: closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        shut["additionalProperties"] = False
    return shut


def test_the_quickstarts_data_come_by_the_charts_default_worker() -> None:
    chart = yaml.safe_load((ROOT / "helm/shoal/Chart.yaml").read_text(encoding="utf-8"))
    job = yaml.safe_load((ROOT / "examples/quickstart/1-data.yaml").read_text(encoding="utf-8"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"docker.io/shoal/worker:{chart['appVersion']}"


def test_there_are_examples_of_both_routers_and_both_strategies() -> None:
    specs = [manifest["spec"] for _, manifest in FOUND if manifest["kind"] == "ClusteringDeployment"]
    assert {next(iter(spec["strategy"])) for spec in specs if "strategy" in spec} == {"blueGreen", "canary"}
    assert {spec.get("traffic", {}).get("router", "Service") for spec in specs} == {"Service", "Gateway"}


@pytest.mark.parametrize("manifest", [manifest for _, manifest in FOUND], ids=[name for name, _ in FOUND])
def test_a_printed_manifest_keeps_the_schema(manifest: dict[str, Any]) -> None:
    kind = KIND[manifest["kind"]]
    problems = Draft4Validator(closed(build_schema(kind))).iter_errors(manifest)
    assert [f"{problem.json_path}: {problem.message}" for problem in problems] == []
    kind.spec.model_validate(manifest["spec"])

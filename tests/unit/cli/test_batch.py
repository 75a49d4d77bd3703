"""`shoal batch` tells what the cluster's objects tell, and sends nothing that cannot be meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from hack.crdgen.definition import KINDS
from shoal_cli.__main__ import main
from tests.unit.cli.test_records import ROOT, records

__all__ = ["records"]

RESULT = {
    "uri": "s3://out/fish/nightly/run1",
    "digest": f"sha256:{'c' * 64}",
    "rows": 900,
    "bytes": 2048,
    "clusters": 3,
    "noiseRatio": 0.25,
    "processingSeconds": 4.5,
}


def batch(name: str = "nightly", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "fish",
            "generation": 1,
            "creationTimestamp": "2026-05-01T10:00:00Z",
        },
        "spec": {"modelRef": {"name": "cities"}, "source": {"uri": "s3://d/"}, "output": {"uri": "s3://out"}},
        "status": {"observedGeneration": 1, "pinned": {"model": "cities", "version": 3}, **status},
    }


PLACES = ("--source", "s3://data/", "--output", "s3://out/x")

RUNNING = {
    "phase": "Running",
    "shards": {"total": 4, "done": 1, "failed": 1, "active": 2},
    "rows": 1500,
    "rowsTotal": 4000,
    "rowsPerSecond": 100,
    "etaSeconds": 25,
}


def test_a_batch_that_runs_shows_how_far_it_is(records: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    records[f"{ROOT}/fish/clusteringbatches/nightly"] = batch(**RUNNING)
    assert main(["batch", "show", "nightly"]) == 0
    shown = capsys.readouterr().out
    for part in ("cities version 3", "1 of 4 shards, 1 failed", "1,500 rows (38%)", "100 rows/s", "25s left"):
        assert part in shown


def test_all_batches_are_listed(records: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    waiting = batch("later")
    del waiting["status"]
    records[f"{ROOT}/fish/clusteringbatches"] = {"items": [batch(**RUNNING), waiting]}
    assert main(["batch", "list", "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["phase"], row["done"], row["ended"]) for row in rows] == [
        ("nightly", "Running", 1, False),
        ("later", "Pending", 0, False),
    ]
    assert main(["batch", "list"]) == 0
    table = capsys.readouterr().out
    assert "cities v3" in table
    assert "1/4" in table


def test_those_of_all_namespaces_are_listed_with_theirs(
    records: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = batch("weekly")
    other["metadata"]["namespace"] = "sea"
    records[f"{ROOT.removesuffix('/namespaces')}/clusteringbatches"] = {"items": [batch(), other]}
    assert main(["batch", "list", "-A"]) == 0
    table = capsys.readouterr().out
    assert "Namespace" in table
    assert ("fish" in table, "sea" in table) == (True, True)


def test_a_name_may_bring_its_namespace(records: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    records[f"{ROOT}/sea/clusteringbatches/nightly"] = batch(**RUNNING)
    assert main(["batch", "show", "sea/nightly"]) == 0
    assert "1 of 4 shards" in capsys.readouterr().out
    assert main(["batch", "create", "sea/nightly", "--model", "cities", "--dry-run", *PLACES]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["metadata"] == {"name": "nightly", "namespace": "sea"}


def test_watching_ends_with_the_result_or_with_the_failure(
    records: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    records[f"{ROOT}/fish/clusteringbatches/nightly"] = batch(phase="Complete", message="All done.", result=RESULT)
    assert main(["batch", "watch", "nightly"]) == 0
    assert capsys.readouterr().out == "All done.\n"
    records[f"{ROOT}/fish/clusteringbatches/nightly"] = batch(phase="Failed", message="shard 3: bad.")
    assert main(["batch", "watch", "nightly"]) == 1
    assert "shard 3: bad" in capsys.readouterr().err


def test_an_end_of_an_earlier_spec_is_no_end(records: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    changed = batch(phase="Complete", result=RESULT)
    changed["metadata"]["generation"] = 2
    records[f"{ROOT}/fish/clusteringbatches/nightly"] = changed
    assert main(["batch", "watch", "nightly", "--timeout", "1s"]) == 4
    assert "has not ended" in capsys.readouterr().err


def test_a_dry_run_prints_what_would_be_applied(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--source", "s3://d/new/", "--output", "s3://o/x", "--secret", "store", "--column", "id", "--shards", "4"]
    assert main(["batch", "create", "nightly", "--model", "towns:3", *words, "--memory", "512Mi", "--dry-run"]) == 0
    manifest = yaml.safe_load(capsys.readouterr().out)
    kind = next(kind for kind in KINDS if kind.kind == "ClusteringBatch")
    kind.spec.model_validate(manifest["spec"])
    assert manifest["spec"]["modelRef"] == {"name": "towns", "version": "3"}
    assert manifest["spec"]["output"] == {"uri": "s3://o/x", "secretRef": {"name": "store"}, "columns": ["id"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", "s3://d/"], "deploymentRef must be set; keep the one that you want. See"),
        (["--model", "m", "--source", "d"], "spec.source.uri"),
        (["--model", "m", "--source", "/d"], '(it is "/d")'),
        (["--model", "m", "--source", "s3://d/", "--shards", "0"], "spec.shards"),
        (["--model", "m", "--source", "s3://d/x"], "set source.format"),
    ],
)
def test_what_cannot_be_meant_is_told_before_a_cluster_is_asked(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["batch", "create", "nightly", "--output", "s3://o/x", *words]) == 2
    assert told in capsys.readouterr().err

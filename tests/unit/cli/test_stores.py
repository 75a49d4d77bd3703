"""Which store the verbs read that are given none: the one that the cluster's record of a version or a batch tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shoal_cli.__main__ import main
from shoal_worker.artifact.files import ArtifactFiles, directory_name
from shoal_worker.models.record import ModelKey
from shoal_worker.results.run import ResultRun
from tests.unit.cli.test_records import ROOT, records
from tests.unit.models.conftest import Place, draft, files, place, s3_server
from tests.unit.results.conftest import fill, key

__all__ = ["files", "place", "records", "s3_server"]


@pytest.fixture
def shoal(place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a verb without --store; return exit code and all that it prints."""
    for name in ("SHOAL_STORE", "SHOAL_RESULTS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> tuple[int, str]:
        code = main([*words, "--credentials-dir", str(place.secret_dir)])
        printed = capsys.readouterr()
        return code, " ".join((printed.out + printed.err).split())

    return run


def only_for_pods(place: Place, code: int, told: str) -> bool:
    """Whether the store is a folder, which is refused: the record means a folder of the cluster's pods."""
    if place.uri.startswith("file:"):
        assert code == 1
        assert f"only the cluster's pods have (it is {place.uri}). Give --store" in told
        return True
    assert code == 0, told
    return False


@pytest.mark.parametrize("version", ["1", "v1", "latest"])
def test_a_card_and_files_come_from_the_store_of_the_version_s_record(
    records: dict[str, Any], shoal: Any, place: Place, files: ArtifactFiles, tmp_path: Path, version: str
) -> None:
    place.models().save(ModelKey("fish", "towns"), draft(files), files)
    artifact = {"uri": f"{place.uri}/artifacts/{directory_name(files.digest)}"}
    record = {"metadata": {"name": "towns-v1", "namespace": "fish"}, "spec": {"artifact": artifact}}
    records[f"{ROOT}/fish/clusteringmodelversions/towns-v1"] = record
    records[f"{ROOT}/fish/clusteringmodels/towns"] = {"metadata": {"name": "towns"}, "status": {"latestVersion": 1}}
    code, told = shoal("models", "card", "towns", version, "-o", str(tmp_path / "card.html"))
    if only_for_pods(place, code, told):
        return
    assert "fish/towns<span> version 1</span>" in (tmp_path / "card.html").read_text()
    assert shoal("models", "pull", "fish/towns", version, str(tmp_path / "m"))[0] == 0
    assert (tmp_path / "m" / "manifest.json").read_bytes() == files.manifest


def test_results_come_from_the_store_of_the_batch(records: dict[str, Any], shoal: Any, place: Place) -> None:
    run = ResultRun(*place.open(), key("r1", batch="weekly"))
    fill(run)
    run.finish()
    batch = {"metadata": {"name": "weekly", "namespace": "demo"}, "spec": {"output": {"uri": place.uri}}}
    records[f"{ROOT}/demo/clusteringbatches/weekly"] = batch
    code, told = shoal("results", "show", "weekly", "-n", "demo")
    if only_for_pods(place, code, told):
        return
    assert "demo/weekly" in told
    assert "r1" in shoal("results", "ls", "demo/weekly")[1]
    assert "1 sound" in shoal("results", "verify", "demo/weekly")[1]
    assert shoal("results", "sql", "demo/weekly", "SELECT count(*) AS n FROM results", "-o", "csv")[1] == "n 20"


def test_without_a_batch_nothing_tells_the_store(records: dict[str, Any], shoal: Any) -> None:
    code, told = shoal("results", "ls")
    assert code == 2
    assert "--store: no store is told. Give it, set SHOAL_RESULTS, or name a batch" in told


def test_a_batch_that_is_gone_is_told(records: dict[str, Any], shoal: Any) -> None:
    missing = {"code": 404, "message": 'clusteringbatches.shoal.dev "weekly" not found'}
    records[f"{ROOT}/demo/clusteringbatches/weekly"] = missing
    code, told = shoal("results", "show", "weekly", "-n", "demo")
    assert code == 1
    assert "batch/weekly: it is not in the cluster" in told
    assert "Give --store" in told

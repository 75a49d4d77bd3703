"""The maintenance Job changes states as it is told, and says what it did or why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.job import PERMANENT, SUCCESS
from shoal_worker.models.maintain import maintain
from shoal_worker.settings import MaintainSettings
from tests.unit.models.conftest import KEY, Place, draft


def run(place: Place, report: Path, **spec: Any) -> tuple[int, dict[str, Any]]:
    told = {"name": KEY.name, "namespace": KEY.namespace, "storeUri": place.uri, **spec}
    settings = MaintainSettings(
        maintenance_spec=json.dumps(told),
        store_secret_dir=place.secret_dir,
        file_root=place.file_root,
        report_path=report,
    )
    return maintain(settings), json.loads(report.read_text())


def test_changes_are_made_and_reported_again_when_repeated(place: Place, files: ArtifactFiles, tmp_path: Path) -> None:
    models = place.models()
    for training, verdict in (("a", "pass"), ("b", "fail"), ("c", "pass")):
        models.save(KEY, draft(files, training, verdict=verdict), files)
    changes = [
        {"version": 1, "digest": files.digest, "to": "Archived"},
        {"version": 2, "digest": files.digest, "to": "Deleted"},
        {"version": 3, "digest": files.digest, "to": "Retired"},
    ]
    for _ in range(2):
        code, report = run(place, tmp_path / "report", changes=changes)
        assert code == SUCCESS
        assert [(each["version"], each["to"]) for each in report["changes"]] == [
            (1, "Archived"),
            (2, "Deleted"),
            (3, "Retired"),
        ]
    assert [models.find(KEY, number).state for number in (1, 2, 3)] == ["Archived", "Deleted", "Retired"]


def test_a_rejected_version_comes_back_as_rejected(place: Place, files: ArtifactFiles, tmp_path: Path) -> None:
    models = place.models()
    models.save(KEY, draft(files, verdict="fail"), files)
    for to in ("Archived", "Active"):
        assert run(place, tmp_path / "report", changes=[{"version": 1, "digest": files.digest, "to": to}])[0] == SUCCESS
    assert models.find(KEY, 1).state == "Rejected"


def test_what_cannot_be_done_is_told(place: Place, files: ArtifactFiles, tmp_path: Path) -> None:
    models = place.models()
    models.save(KEY, draft(files), files)
    change = {"version": 1, "digest": files.digest, "to": "Deleted"}
    code, report = run(place, tmp_path / "report", changes=[change], inUse=[files.digest])
    assert (code, report["reason"]) == (PERMANENT, "VersionInUse")
    code, report = run(place, tmp_path / "report", changes=[{**change, "digest": f"sha256:{'0' * 64}"}])
    assert (code, report["reason"]) == (PERMANENT, "VersionRefused")
    code, report = run(place, tmp_path / "report", changes=[{**change, "to": "Burnt"}])
    assert (code, report["field"]) == (PERMANENT, "changes.0.to")
    assert models.find(KEY, 1).state == "Active"

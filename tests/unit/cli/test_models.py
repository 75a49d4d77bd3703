"""`shoal models` does on a store what it says, and says what to do where it cannot."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from shoal_cli.__main__ import main
from shoal_operator.api.version import ClusteringModelVersionSpec
from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.models.record import ModelKey
from shoal_worker.models.reporting import judge_imported, report_of
from shoal_worker.spec.validation import ValidationSpec
from tests.unit.models.conftest import Place, draft, files, other_files, place, s3_server
from tests.unit.worker.harness import MACHINE

__all__ = ["files", "other_files", "place", "s3_server"]

KEY = ModelKey("demo", "towns")


class Shoal:
    """The command line on one store."""

    def __init__(self, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
        self._place, self._capsys = place, capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        options = ["--store", self._place.uri, "--credentials-dir", str(self._place.secret_dir)]
        assert main(["models", *words, *options]) == code
        printed = self._capsys.readouterr()
        return printed.out if code == 0 else printed.out + printed.err


@pytest.fixture
def shoal(place: Place, files: ArtifactFiles, capsys: pytest.CaptureFixture[str]) -> Shoal:
    """A store of three versions, one of them rejected."""
    models = place.models()
    for training, verdict in (("a", "pass"), ("b", "fail"), ("c", "pass")):
        models.save(KEY, draft(files, training, verdict=verdict, labels={"run": training}), files)
    return Shoal(place, capsys)


def test_list(shoal: Shoal) -> None:
    table = shoal("list")
    assert "demo/towns" in table
    assert "Rejected" in table
    rows = json.loads(shoal("list", "towns", "-n", "demo", "-o", "json"))
    assert [(row["version"], row["state"], row["labels"]) for row in rows] == [
        (1, "Active", {"run": "a"}),
        (2, "Rejected", {"run": "b"}),
        (3, "Active", {"run": "c"}),
    ]
    assert [row["version"] for row in json.loads(shoal("list", "-l", "run=c", "-o", "json"))] == [3]
    assert [row["version"] for row in json.loads(shoal("list", "--state", "Rejected", "-o", "json"))] == [2]
    assert (
        json.loads(shoal("list", "--since", "2026-05-01T00:02", "--until", "2026-05-01T00:03", "-o", "json"))[0][
            "version"
        ]
        == 2
    )
    assert shoal("list", "-n", "other") == "No versions.\n"


def test_a_version_s_life(shoal: Shoal, place: Place) -> None:
    assert shoal("latest", "demo/towns") == "3\n"
    assert "is Retired" in shoal("retire", "towns", "latest", "-n", "demo")
    assert shoal("latest", "demo/towns") == "1\n"
    assert "is Archived" in shoal("archive", "demo/towns", "v3", "--yes")
    assert "is Active" in shoal("unarchive", "demo/towns", "3")
    assert shoal("label", "demo/towns", "3", "stage=prod", "run-") == "stage=prod\n"
    assert "is Deleted" in shoal("delete", "demo/towns", "3", "--yes")
    shown = json.loads(shoal("show", "demo/towns", "3"))
    assert (shown["number"], shown["state"]) == (3, "Deleted")


def test_what_takes_files_away_is_confirmed(shoal: Shoal) -> None:
    assert "Add --yes if no deployment serves it" in shoal("delete", "demo/towns", "1", code=2)
    assert json.loads(shoal("list", "-o", "json"))[0]["state"] == "Active"


def test_pull_and_push(shoal: Shoal, place: Place, tmp_path: Path, files: ArtifactFiles) -> None:
    shoal("pull", "demo/towns", "1", str(tmp_path / "m"))
    assert (tmp_path / "m" / "manifest.json").read_bytes() == files.manifest
    pushed = shoal("push", str(tmp_path / "m"), "--name", "copies", "-n", "demo", "--label", "by=me")
    assert pushed == "demo/copies version 1, passed\n"
    assert b"pushed from the directory m" in place.models().card(ModelKey("demo", "copies"), 1)["card.html"]
    (row,) = json.loads(shoal("list", "copies", "-n", "demo", "-o", "json"))
    assert (row["labels"], row["clusters"]) == ({"by": "me"}, 2)


def test_card_is_drawn_where_the_store_has_none(shoal: Shoal, place: Place, tmp_path: Path) -> None:
    path = tmp_path / "towns.html"
    assert shoal("card", "demo/towns", "2", "-o", str(path)) == f"{path}\n"
    page = path.read_text()
    assert "demo/towns<span> version 2</span>" in page
    assert "rejected by its validation" in page
    assert "made from the artifact" in page
    assert place.models().card(KEY, 2) == {}, "the store is only read"


def test_card_is_the_stored_one(shoal: Shoal, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.models().keep_card(KEY, 3, {"card.html": b"<p>page</p>", "card.png": b"picture"})
    monkeypatch.chdir(tmp_path)
    assert shoal("card", "demo/towns", "latest") == "towns-v3.html\n"
    assert Path("towns-v3.html").read_bytes() == b"<p>page</p>"
    assert shoal("card", "demo/towns", "v3", "--png") == "towns-v3.png\n"
    assert Path("towns-v3.png").read_bytes() == b"picture"
    told = shoal("card", "demo/towns", "3", "-o", str(tmp_path / "none" / "x.html"), code=1)
    assert "Choose another place" in told.replace("\n", " ")


def test_card_opens(shoal: Shoal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda uri: opened.append(uri) or True)
    shoal("card", "demo/towns", "1", "--open", "-o", str(tmp_path / "c.html"))
    assert opened == [f"file://{tmp_path}/c.html"]
    monkeypatch.setattr("webbrowser.open", lambda uri: False)
    assert "Open the file elsewhere" in shoal("card", "demo/towns", "1", "--open", "-o", str(tmp_path / "c"), code=1)


def test_a_pickle_is_refused_with_the_reason(shoal: Shoal, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04.")
    for directory in (tmp_path / "model.pkl", tmp_path):
        told = shoal("push", str(directory), "--name", "towns", code=2)
        assert "reading one runs code" in told.replace("\n", " ")
        assert "shoal_worker.models.export" in told


def test_verify_tells_a_flipped_bit(shoal: Shoal, place: Place, other_files: ArtifactFiles) -> None:
    place.models().save(KEY, draft(other_files, "d"), other_files)
    assert shoal("verify") == "4 sound, 0 not as they were.\n"
    (path,) = (
        each for each in place.folder.rglob("model.safetensors") if each.read_bytes() == bytes(other_files.model)
    )
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    told = shoal("verify", code=1)
    assert "demo/towns version 4" in told
    assert "3 sound, 1 not as they were" in told
    assert shoal("verify", "demo/towns", "3") == "1 sound, 0 not as they were.\n"


def test_rebuild_passes_over_a_record_that_it_cannot_understand(
    shoal: Shoal, capsys: pytest.CaptureFixture[str], place: Place
) -> None:
    """The versions of this store tell no schema: they are told, and nothing is printed for kubectl."""
    assert shoal("rebuild") == "\n"
    options = ["--store", place.uri, "--credentials-dir", str(place.secret_dir)]
    main(["models", "rebuild", *options])
    assert "passed over, its record is not of this release: demo/towns version 1" in capsys.readouterr().err


def test_rebuild_prints_what_the_cluster_had(place: Place, files: ArtifactFiles, shoal: Shoal) -> None:
    artifact = verify_artifact(files, files.digest)
    judged = judge_imported(artifact, ValidationSpec(), MACHINE)
    report = report_of(files, artifact.manifest, judged, f"{place.uri}/artifacts/x")
    key = ModelKey("demo", "whole")
    models = place.models()
    models.save(key, replace(draft(files, "1a2b3c4d"), report=report), files)
    models.retire(key, 1)
    models.delete(KEY, 1)
    models.delete(KEY, 2)
    models.delete(KEY, 3)
    (manifest,) = yaml.safe_load_all(shoal("rebuild", "-n", "demo"))
    assert manifest["metadata"]["name"] == "whole-v1"
    assert manifest["metadata"]["annotations"] == {"shoal.dev/state": "Retired"}
    assert manifest["metadata"]["labels"]["shoal.dev/training-hash"] == "1a2b3c4d"
    spec = ClusteringModelVersionSpec.model_validate(manifest["spec"])
    assert (spec.version, spec.training_hash, spec.artifact.digest) == (1, "1a2b3c4d", files.digest)
    assert spec.to_wire() == manifest["spec"]
    (moved,) = yaml.safe_load_all(shoal("rebuild", "-n", "demo", "--as", "s3://elsewhere/store/"))
    assert moved["spec"]["artifact"]["uri"].startswith("s3://elsewhere/store/artifacts/sha256-")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "demo/towns", "9"), "the store has no such version"),
        (("show", "demo/towns", "newest"), "Write 3, v3 or latest"),
        (("list", "--state", "Gone"), "Choose among Active"),
        (("list", "--since", "lately"), "7d, 12h, 30m"),
        (("list", "-l", "x"), "Write name=value"),
        (("latest", "../etc/passwd"), "lower-case letters"),
    ],
)
def test_what_was_typed_wrong_is_told_with_the_remedy(shoal: Shoal, words: tuple[str, ...], told: str) -> None:
    assert told in shoal(*words, code=2).replace("\n", " ")


def test_a_store_out_of_reach_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert main(["models", "list", "--store", "s3://bucket/x"]) == 1
    assert "cannot be reached" in capsys.readouterr().err

"""`shoal explain version` and `model`: what the cluster's records say, against an API server of a few lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from shoal_cli.__main__ import main
from tests.unit.core import objects

ROOT = "/apis/shoal.dev/v1alpha1/namespaces"


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the cluster of the kubeconfig answers by path, to a POST by "POST path"; an int or a code refuses."""
    held: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # How many are asked for at a time is no matter here.
            self._answer(re.sub(r"[?&]limit=\d+$", "", self.path))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(f"POST {self.path.partition('?')[0]}")

        def _answer(self, asked: str) -> None:
            found = held.get(asked, 404)
            self.send_response(found if isinstance(found, int) else found.get("code", 200))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(None if isinstance(found, int) else found).encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    write_kubeconfig(tmp_path / "kubeconfig", server.server_port)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


def write_kubeconfig(path: Path, port: int) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me", "namespace": "fish"}}],
    }
    path.write_text(yaml.safe_dump(config))


def version(**spec: Any) -> dict[str, Any]:
    record = objects.version(3)
    record["spec"] |= {"plan": objects.PLAN, **spec}
    return record


def test_a_version_shows_the_plan_that_it_was_trained_by(
    records: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    records[f"{ROOT}/fish/clusteringmodelversions/cities-v3"] = version()
    assert main(["explain", "version", "cities-v3", "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["training"]["plan"] == objects.PLAN
    assert told["training"]["about"] == "fish/cities-v3, 10 rows × 1 columns, euclidean, as recorded"
    assert told["serving"]["about"] == "its 5 core samples"


def test_versions_are_listed_by_a_name_with_its_namespace(
    records: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found = version()
    found["metadata"]["creationTimestamp"] = "2026-05-01T10:00:00Z"
    records[f"{ROOT}/sea/clusteringmodelversions"] = {"items": [found]}
    assert main(["models", "list", "sea/cities", "-o", "json"]) == 0
    assert [row["version"] for row in json.loads(capsys.readouterr().out)] == [3]


def test_a_model_shows_its_newest_version(records: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    records[f"{ROOT}/demo/clusteringmodels/cities"] = objects.model(status={"latestVersion": 3})
    records[f"{ROOT}/demo/clusteringmodelversions/cities-v3"] = version()
    for words in (["model/cities", "-n", "demo"], ["model", "cities", "-n", "demo"], ["model", "demo/cities"]):
        assert main(["explain", *words]) == 0
        out = capsys.readouterr().out
        assert "Training: demo/cities-v3" in out
        assert objects.PLAN["reasons"]["index"] in out  # type: ignore[index]


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (404, ("does not know this kind", "docs/install.md")),
        (
            403,
            ("may not get clusteringmodelversions.shoal.dev in namespace fish", "403", "a Role that grants the verb"),
        ),
        (500, ("refused to get", "500")),
    ],
)
def test_a_record_that_cannot_be_read_is_told(
    records: dict[str, Any], capsys: pytest.CaptureFixture[str], found: int, told: tuple[str, ...]
) -> None:
    records[f"{ROOT}/fish/clusteringmodelversions/cities-v3"] = found
    assert main(["explain", "version/cities-v3"]) == 1
    err = capsys.readouterr().err
    for part in ("clusteringmodelversions.shoal.dev/cities-v3", *told):
        assert part in err


def test_what_has_no_plan_yet_says_what_to_do(records: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    records[f"{ROOT}/fish/clusteringmodels/cities"] = objects.model()
    assert main(["explain", "model/cities"]) == 1
    assert "no version that can be served yet" in capsys.readouterr().err
    records[f"{ROOT}/fish/clusteringmodelversions/cities-v3"] = objects.version(3)
    assert main(["explain", "version/cities-v3"]) == 1
    assert "Train the model again" in capsys.readouterr().err


def test_a_cluster_out_of_reach_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["explain", "version/a"]) == 1
    assert "kubeconfig" in capsys.readouterr().err
    write_kubeconfig(tmp_path / "kubeconfig", 9)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    assert main(["explain", "version/a"]) == 1
    assert "does not answer" in capsys.readouterr().err

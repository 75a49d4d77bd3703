"""Artifacts are imported from stores, https and registries; what is not allowed, too large or altered is refused."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.errors import SettingsInvalid
from shoal_worker.importing.hosts import AllowedHosts
from shoal_worker.importing.job import import_version
from shoal_worker.job import PERMANENT, SUCCESS, TRANSIENT
from shoal_worker.models.record import ModelKey
from shoal_worker.settings import ImportSettings
from tests.unit.models.conftest import LIMIT, Place

Answer = tuple[int, dict[str, str], bytes]


class Host:
    """An HTTP server on loopback: paths and what they answer; remembers what was asked."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.answers: dict[str, Answer | Callable[[dict[str, str]], Answer]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                outer.asked.append((self.path, dict(self.headers)))
                answer = outer.answers.get(path, (404, {}, b""))
                status, headers, body = answer(dict(self.headers)) if callable(answer) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.place = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def give(self, path: str, body: bytes, status: int = 200, **headers: str) -> None:
        self.answers[path] = (status, headers, body)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    subprocess.run([*request, *names, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def web(certificate: Path, tmp_path: Path) -> Iterator[Host]:
    secret = tmp_path / "source-secret"
    secret.mkdir()
    (secret / "ca.crt").write_text(Path(f"{certificate}.crt").read_text())
    host = Host(certificate)
    yield host
    host.close()


@pytest.fixture
def registry() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture
def store(tmp_path: Path) -> Place:
    (tmp_path / "store").mkdir()
    return Place(f"file://{tmp_path}/store", tmp_path / "none", tmp_path, tmp_path / "store")


@pytest.fixture
def run(store: Place, tmp_path: Path, files: ArtifactFiles) -> Callable[..., tuple[int, dict[str, Any]]]:
    def run(uri: str, *allowed: str, limit: int = LIMIT, digest: str = "", **more: Any) -> tuple[int, dict[str, Any]]:
        told = {
            "name": "towns",
            "namespace": "fish",
            "artifact": {"uri": uri, "digest": digest or files.digest},
            "allowedHosts": allowed,
            "storeUri": store.uri,
            "trainingHash": "1a2b3c4d",
            **more,
        }
        settings = ImportSettings(
            import_spec=json.dumps(told),
            store_secret_dir=tmp_path / "none",
            source_secret_dir=tmp_path / "source-secret",
            file_root=tmp_path,
            report_path=tmp_path / "report",
            max_artifact_bytes=limit,
        )
        return import_version(settings), json.loads((tmp_path / "report").read_text())

    return run


Run = Callable[..., tuple[int, dict[str, Any]]]


def serve_files(host: Host, files: ArtifactFiles, folder: str = "/m") -> None:
    host.give(f"{folder}/manifest.json", files.manifest)
    host.give(f"{folder}/model.safetensors", bytes(files.model))


class TestStores:
    def test_an_artifact_in_a_store_becomes_a_version(
        self, run: Run, store: Place, files: ArtifactFiles, tmp_path: Path
    ) -> None:
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        (folder / "manifest.json").write_bytes(files.manifest)
        (folder / "model.safetensors").write_bytes(bytes(files.model))
        code, report = run(f"file://{folder}", labels={"from": "notebook"})
        assert (code, report["outcome"], report["version"]) == (SUCCESS, "Succeeded", 1)
        assert report["algorithm"] == {"dbscan": {"eps": 0.8, "minSamples": 4, "metric": "euclidean"}}
        assert report["validation"]["verdict"] == "pass"
        tests = [test["name"] for test in report["validation"]["tests"]]
        assert tests == ["selfTest", "performance", "memory", "minClusters"]
        assert run(f"file://{folder}")[1] == report, "once only"
        (card,) = store.folder.rglob("*.card.html")
        assert "made from the artifact" in card.read_text()
        models = store.models()
        assert models.load(ModelKey("fish", "towns"), 1).digest == files.digest
        assert models.find(ModelKey("fish", "towns"), 1).labels == {"from": "notebook"}

    def test_limits_that_it_breaks_reject_it(self, run: Run, files: ArtifactFiles, web: Host) -> None:
        serve_files(web, files)
        code, report = run(f"https://{web.place}/m", web.place, validation={"minClusters": 5})
        assert (code, report["validation"]["verdict"]) == (SUCCESS, "fail")

    def test_limits_that_need_its_data_are_told_not_to_hold(self, run: Run, files: ArtifactFiles, web: Host) -> None:
        serve_files(web, files)
        _, report = run(f"https://{web.place}/m", web.place, validation={"relative": {"minAgreement": 0.9}})
        assert report["validation"]["verdict"] == "pass"
        assert "brings no rows" in report["validation"]["warnings"][0]

    def test_what_is_missing_is_told(self, run: Run, tmp_path: Path) -> None:
        code, report = run(f"file://{tmp_path}/nowhere")
        assert (code, report["reason"], report["field"]) == (PERMANENT, "SourceUnreadable", "spec.artifact.uri")


class TestWeb:
    def test_https_with_a_private_authority(self, run: Run, web: Host, files: ArtifactFiles) -> None:
        serve_files(web, files)
        code, report = run(f"https://{web.place}/m", web.place)
        assert (code, report["artifact"]["digest"]) == (SUCCESS, files.digest)

    def test_an_unknown_certificate_is_refused(self, run: Run, web: Host, files: ArtifactFiles, tmp_path: Path) -> None:
        (tmp_path / "source-secret" / "ca.crt").unlink()
        serve_files(web, files)
        code, report = run(f"https://{web.place}/m", web.place)
        assert (code, report["reason"]) == (TRANSIENT, "SourceUnreadable")

    def test_a_host_that_is_not_allowed_is_not_asked(self, run: Run, web: Host, files: ArtifactFiles) -> None:
        serve_files(web, files)
        code, report = run(f"https://{web.place}/m")
        assert (code, report["reason"]) == (PERMANENT, "ImportDenied")
        assert web.asked == []

    def test_redirects_stay_within_the_allowed_and_leave_secrets_behind(
        self, run: Run, web: Host, registry: Host, files: ArtifactFiles, tmp_path: Path
    ) -> None:
        (tmp_path / "source-secret" / "token").write_text("secret-token")
        serve_files(registry, files, "/there")
        for name in ("manifest.json", "model.safetensors"):
            web.give(f"/m/{name}", b"", 302, Location=f"http://{registry.place}/there/{name}")
        code, report = run(f"https://{web.place}/m", web.place)
        assert (code, report["reason"]) == (PERMANENT, "ImportDenied")
        assert registry.asked == []
        code, report = run(f"https://{web.place}/m", web.place, f"http://{registry.place}")
        assert (code, report["version"]) == (SUCCESS, 1)
        assert web.asked[-1][1]["Authorization"] == "Bearer secret-token"
        assert all("Authorization" not in headers for _, headers in registry.asked)

    def test_endless_redirects_end(self, run: Run, web: Host) -> None:
        web.give("/m/manifest.json", b"", 302, Location="/m/manifest.json")
        code, report = run(f"https://{web.place}/m", web.place)
        assert code == PERMANENT
        assert "too many redirects" in report["message"]

    def test_altered_bytes_are_refused(self, run: Run, web: Host, files: ArtifactFiles, store: Place) -> None:
        serve_files(web, files)
        model = bytearray(files.model)
        model[-1] ^= 1
        web.give("/m/model.safetensors", bytes(model))
        code, report = run(f"https://{web.place}/m", web.place)
        assert (code, report["reason"]) == (PERMANENT, "ArtifactRefused")
        assert store.models().models() == ()

    def test_more_bytes_than_the_limit_are_not_read(self, run: Run, web: Host, files: ArtifactFiles) -> None:
        serve_files(web, files)
        code, report = run(f"https://{web.place}/m", web.place, limit=1000)
        assert code == PERMANENT
        assert "the limit of 1000" in report["message"]

    @pytest.mark.parametrize(
        ("status", "code", "reason"),
        [
            (404, PERMANENT, "SourceUnreadable"),
            (403, TRANSIENT, "CredentialsRejected"),
            (503, TRANSIENT, "SourceUnreadable"),
        ],
    )
    def test_answers_are_told_apart(self, run: Run, web: Host, status: int, code: int, reason: str) -> None:
        web.give("/m/manifest.json", b"", status)
        told = run(f"https://{web.place}/m", web.place)
        assert (told[0], told[1]["reason"]) == (code, reason)

    @pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
    def test_a_name_must_not_lead_to_an_address_that_is_not_public(self, address: str) -> None:
        with pytest.raises(SettingsInvalid, match="not a public address"):
            AllowedHosts(frozenset({"models.example.org"})).check_address(address, "models.example.org")

    def test_unless_the_address_is_listed(self) -> None:
        allowed = AllowedHosts(frozenset({"models.example.org", "10.0.0.0/8"}))
        allowed.check_address("10.1.2.3", "models.example.org")
        allowed.check_address("1.1.1.1", "models.example.org")
        with pytest.raises(SettingsInvalid):
            allowed.check_address("192.168.0.1", "models.example.org")


class TestRegistries:
    @pytest.fixture
    def pushed(self, registry: Host, files: ArtifactFiles) -> str:
        """An artifact as `oras push` leaves it; returns the image's digest."""
        layers = []
        for title, content in (("manifest.json", files.manifest), ("model.safetensors", bytes(files.model))):
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            annotations = {"org.opencontainers.image.title": title}
            layers.append({"digest": digest, "size": len(content), "annotations": annotations, "mediaType": "x"})
            registry.give(f"/v2/team/towns/blobs/{digest}", content)
        image = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
        digest = f"sha256:{hashlib.sha256(image).hexdigest()}"
        for reference in (digest, "latest"):
            registry.give(f"/v2/team/towns/manifests/{reference}", image)
        return digest

    def test_by_tag_and_by_digest(self, run: Run, registry: Host, pushed: str, files: ArtifactFiles) -> None:
        for reference in (":latest", f"@{pushed}"):
            code, report = run(f"oci://{registry.place}/team/towns{reference}", f"http://{registry.place}")
            assert (code, report["artifact"]["digest"]) == (SUCCESS, files.digest)

    def test_without_leave_http_is_not_spoken(self, run: Run, registry: Host, pushed: str) -> None:
        code, report = run(f"oci://{registry.place}/team/towns:latest", registry.place)
        assert (code, report["reason"]) == (TRANSIENT, "SourceUnreadable")
        assert registry.asked == []

    def test_another_image_under_the_digest_is_refused(self, run: Run, registry: Host, pushed: str) -> None:
        registry.give(f"/v2/team/towns/manifests/{pushed}", b'{"layers":[]}')
        code, report = run(f"oci://{registry.place}/team/towns@{pushed}", f"http://{registry.place}")
        assert (code, report["reason"]) == (PERMANENT, "ArtifactRefused")

    def test_a_token_is_fetched_with_user_and_password(
        self, run: Run, registry: Host, pushed: str, tmp_path: Path
    ) -> None:
        secret = tmp_path / "source-secret"
        secret.mkdir()
        (secret / "username").write_text("me")
        (secret / "password").write_text("pass")
        challenge = f'Bearer realm="http://{registry.place}/token",service="r",scope="repository:team/towns:pull"'
        for path, answer in list(registry.answers.items()):

            def guarded(headers: dict[str, str], answer: Any = answer) -> Answer:
                if headers.get("Authorization") != "Bearer given":
                    return 401, {"WWW-Authenticate": challenge}, b""
                return answer  # type: ignore[no-any-return]

            registry.answers[path] = guarded
        registry.answers["/token"] = lambda headers: (
            (200, {}, b'{"token":"given"}') if headers.get("Authorization") == "Basic bWU6cGFzcw==" else (401, {}, b"")
        )
        code, report = run(f"oci://{registry.place}/team/towns:latest", f"http://{registry.place}")
        assert (code, report["version"]) == (SUCCESS, 1)

    @pytest.mark.parametrize(
        "uri", ["oci://host", "oci://host/a b:c", "oci://host/../x:1", "oci://host/x", "oci://u@h/x:1"]
    )
    def test_what_is_no_reference_is_told(self, run: Run, uri: str) -> None:
        code, report = run(uri, "host")
        assert (code, report["field"]) == (PERMANENT, "spec.artifact.uri")

    def test_an_image_of_something_else_is_told(self, run: Run, registry: Host) -> None:
        registry.give("/v2/team/towns/manifests/latest", b'{"layers":[]}')
        code, report = run(f"oci://{registry.place}/team/towns:latest", f"http://{registry.place}")
        assert (code, report["reason"]) == (PERMANENT, "ArtifactRefused")
        assert "no layer with the title manifest.json" in report["message"]

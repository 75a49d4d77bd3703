"""The store tells apart what an operator must tell apart: missing, refused, unreachable, misnamed."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shoal_worker.errors import (
    CredentialsRejected,
    ObjectChanged,
    ObjectMissing,
    SettingsInvalid,
    StoreError,
    StoreUnavailable,
)
from shoal_worker.store.clients import read_credentials
from shoal_worker.store.failures import explain
from shoal_worker.store.objects import Location, ObjectInfo, Store, open_store, parse_uri


def open_file_store(root: Path, uri: str) -> tuple[Store, Location]:
    return open_store(uri, field="storeUri", secret_dir=root / "none", file_root=root)


class TestUris:
    @pytest.mark.parametrize(
        ("uri", "location"),
        [
            ("s3://bucket/a/b.csv", Location("s3", "bucket", "a/b.csv")),
            ("s3://bucket", Location("s3", "bucket", "")),
            ("s3://bucket/a/", Location("s3", "bucket", "a")),
            ("gs://bucket/a", Location("gs", "bucket", "a")),
            ("az://container/a", Location("az", "container", "a")),
            ("file:///a/b", Location("file", "", "a/b")),
        ],
    )
    def test_a_plain_uri_is_parsed(self, uri: str, location: Location) -> None:
        assert parse_uri(uri, "uri") == location

    @pytest.mark.parametrize(
        "uri",
        [
            "",
            "data.csv",
            "/etc/passwd",
            "http://169.254.169.254/latest",
            "gcs://bucket/a",
            "gs:///a",
            "s3:///a",
            "s3://user:password@bucket/a",
            "s3://bucket:9000/a",
            "s3://bucket/a/../../b",
            "s3://bucket/a//b",
            "s3://bucket/a%2e%2e/b",
            "s3://bucket/a\\..\\b",
            "s3://bucket/a?versionId=1",
            "s3://bucket/a#b",
            "s3://bucket/a\nb",
            "file://host/a",
            "file:///a/./b",
            "file:///../etc/passwd",
            "FILE:///%2e%2e/etc/passwd",
        ],
    )
    def test_what_could_mean_two_things_is_refused(self, uri: str) -> None:
        with pytest.raises(SettingsInvalid, match=r"s3://bucket/path|..") as error:
            parse_uri(uri, "spec.source.uri")
        assert error.value.field == "spec.source.uri"
        assert not error.value.transient


class TestFiles:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        store, location = open_file_store(tmp_path, f"file://{tmp_path}")
        store.write(location.child("a").child("b"), b"content")
        assert store.read(location.child("a").child("b"), 7) == b"content"
        assert (tmp_path / "a" / "b").read_bytes() == b"content"
        store.check_reachable()

    def test_an_empty_object_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        store, location = open_file_store(tmp_path, f"file://{tmp_path}/empty")
        assert store.read(location, 10) == b""

    def test_an_object_over_the_limit_is_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "large").write_bytes(b"12345678")
        store, location = open_file_store(tmp_path, f"file://{tmp_path}/large")
        with pytest.raises(StoreUnavailable, match="8 bytes") as error:
            store.read(location, 7)
        assert not error.value.transient

    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        store, location = open_file_store(tmp_path, f"file://{tmp_path}/none.csv")
        with pytest.raises(ObjectMissing) as error:
            store.read(location, 10)
        assert str(tmp_path) in error.value.value

    @pytest.mark.parametrize("uri", ["file:///etc/passwd", "file:///proc/self/environ", "file:///"])
    def test_files_out_of_the_root_do_not_exist(self, tmp_path: Path, uri: str) -> None:
        with pytest.raises(SettingsInvalid, match="must lie below"):
            open_file_store(tmp_path, uri)

    def test_a_link_does_not_lead_out_of_the_root(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        root.mkdir()
        (tmp_path / "secret").write_text("secret")
        (root / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(SettingsInvalid, match="must lie below"):
            open_file_store(root, f"file://{root}/link")
        store, location = open_file_store(root, f"file://{root}")
        with pytest.raises(SettingsInvalid, match="must lie below"):
            store.read(location.child("link"), 100)


def test_credentials_are_the_known_files_of_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "from-environment")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("key\n")
    (tmp_path / "password").write_text("other")
    assert read_credentials(tmp_path) == {"AWS_ACCESS_KEY_ID": "key", "AWS_REGION": "from-environment"}
    assert read_credentials(tmp_path / "none") == {"AWS_REGION": "from-environment"}


def test_a_full_disk_is_told_as_such() -> None:
    error = explain(OSError(28, "No space left on device"), uri="file:///a", field="storeUri", listing=False)
    assert (error.message, error.transient) == ("the disk is full", True)


Answer = tuple[int, str]


def error_body(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"


class S3:
    """An HTTP server that gives one answer to everything, as a store in trouble does."""

    def __init__(self) -> None:
        self.answer: Answer = (200, "")
        self.hold = threading.Event()
        self.hold.set()
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                outer.hold.wait()
                status, body = outer.answer
                outer.authorizations.append(self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header("ETag", '"tag"')
                if status == 206:
                    self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{len(body)}")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body.encode())

            do_GET = do_HEAD = do_PUT = _answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def s3() -> Iterator[S3]:
    server = S3()
    yield server
    server.close()


@pytest.fixture
def make_secret(tmp_path: Path) -> Callable[..., Path]:
    def make(endpoint: str, **changes: str | None) -> Path:
        directory = tmp_path / "secret"
        directory.mkdir()
        defaults = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "access",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
        }
        for key, value in {**defaults, **changes}.items():
            if value is not None:
                (directory / key).write_text(value)
        return directory

    return make


def open_s3(secret: Path) -> tuple[Store, Location]:
    return open_store("s3://models/a", field="storeUri", secret_dir=secret, file_root=Path("/nowhere"))


class TestS3:
    @pytest.mark.parametrize(
        ("answer", "error", "text", "transient"),
        [
            ((403, error_body("InvalidAccessKeyId")), CredentialsRejected, "AWS_ACCESS_KEY_ID", True),
            ((403, error_body("SignatureDoesNotMatch")), CredentialsRejected, "AWS_SECRET_ACCESS_KEY", True),
            ((404, error_body("InvalidAccessKeyId")), CredentialsRejected, "InvalidAccessKeyId", True),
            ((404, error_body("XAdminUserNotFound")), CredentialsRejected, "XAdminUserNotFound", True),
            ((401, ""), CredentialsRejected, "refused", True),
            ((404, error_body("NoSuchBucket")), StoreUnavailable, "no such bucket", False),
            ((404, error_body("ContainerNotFound")), StoreUnavailable, "no such bucket", False),
            ((500, error_body("InternalError")), StoreUnavailable, "did not answer as expected", True),
            ((503, error_body("SlowDown")), StoreUnavailable, "did not answer as expected", True),
        ],
    )
    @pytest.mark.parametrize("operation", ["check", "read"])
    def test_trouble_is_told_apart(
        self,
        s3: S3,
        make_secret: Callable[..., Path],
        answer: Answer,
        error: type[StoreError],
        text: str,
        transient: bool,
        operation: str,
    ) -> None:
        s3.answer = answer
        store, location = open_s3(make_secret(s3.url))
        with pytest.raises(error) as raised:
            store.check_reachable() if operation == "check" else store.read(location, 100)
        assert text in str(raised.value)
        assert raised.value.transient is transient
        assert "very-secret" not in str(raised.value)

    def test_a_listing_that_is_none_is_told(self, s3: S3, make_secret: Callable[..., Path]) -> None:
        s3.answer = (200, "not XML")
        store, _ = open_s3(make_secret(s3.url))
        with pytest.raises(StoreUnavailable, match="did not answer as expected"):
            store.check_reachable()

    def test_a_missing_object_in_a_bucket_that_exists(self, s3: S3, make_secret: Callable[..., Path]) -> None:
        store, location = open_s3(make_secret(s3.url))
        s3.answer = (404, error_body("NoSuchKey"))
        store.check_reachable = lambda: None  # type: ignore[method-assign]  # the listing would succeed
        with pytest.raises(ObjectMissing):
            store.read(location, 100)

    def test_who_may_not_list_may_still_write(self, s3: S3, make_secret: Callable[..., Path]) -> None:
        store, location = open_s3(make_secret(s3.url))
        s3.answer = (403, error_body("AccessDenied"))
        store.check_reachable()
        with pytest.raises(CredentialsRejected, match="refused access"):
            store.write(location, b"x")

    def test_an_etag_is_the_same_with_quotes_and_without(self, s3: S3, make_secret: Callable[..., Path]) -> None:
        store, location = open_s3(make_secret(s3.url))
        s3.answer = (206, "abc")
        assert bytes(store.read_range(ObjectInfo(location, 3, "tag"), 0, 3)) == b"abc"
        with pytest.raises(ObjectChanged):
            store.read_range(ObjectInfo(location, 3, "other"), 0, 3)

    def test_an_unreachable_store_is_told_soon(self, make_secret: Callable[..., Path]) -> None:
        store, location = open_s3(make_secret("http://127.0.0.1:9"))
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="AWS_ENDPOINT_URL") as error:
            store.read(location, 100)
        assert error.value.transient
        assert "cannot be reached" in error.value.message
        assert time.monotonic() - started < 20

    def test_a_store_that_hangs_is_told_soon(self, s3: S3, make_secret: Callable[..., Path]) -> None:
        s3.hold.clear()
        store, location = open_s3(make_secret(s3.url))
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            store.read(location, 100)
        assert time.monotonic() - started < 20

    def test_plain_http_must_be_allowed(self, make_secret: Callable[..., Path]) -> None:
        secret = make_secret("http://store.example", AWS_ALLOW_HTTP=None)
        with pytest.raises(SettingsInvalid, match="AWS_ALLOW_HTTP"):
            open_s3(secret)

    def test_without_credentials_calls_are_unsigned(
        self, s3: S3, make_secret: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        store, location = open_s3(make_secret(s3.url, AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None))
        store.write(location, b"x")
        assert s3.authorizations == [None]


@pytest.mark.parametrize(
    ("uri", "secret", "part"),
    [
        ("az://container/a", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://container/a", {"AZURE_STORAGE_ACCOUNT_NAME": "me", "AZURE_STORAGE_ACCOUNT_KEY": "?"}, "base64"),
        ("gs://bucket/a", {"GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "hidden"'}, "GOOGLE_SERVICE_ACCOUNT_KEY"),
        ("gs://bucket/a", {"GOOGLE_BASE_URL": "http://127.0.0.1:9"}, "GOOGLE_ALLOW_HTTP"),
    ],
)
def test_credentials_that_cannot_be_used_are_told_and_not_shown(
    tmp_path: Path, uri: str, secret: dict[str, str], part: str
) -> None:
    for name, value in secret.items():
        (tmp_path / name).write_text(value)
    with pytest.raises(SettingsInvalid, match=part) as error:
        open_store(uri, field="spec.source.uri", secret_dir=tmp_path, file_root=Path("/nowhere"))
    assert "hidden" not in str(error.value)


def test_the_remedy_names_the_keys_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "GOOGLE_BASE_URL").write_text("http://127.0.0.1:9")
    (tmp_path / "GOOGLE_ALLOW_HTTP").write_text("true")
    store, location = open_store("gs://b/a", field="uri", secret_dir=tmp_path, file_root=Path("/nowhere"))
    with pytest.raises(StoreUnavailable, match="GOOGLE_BASE_URL"):
        store.read(location, 1)

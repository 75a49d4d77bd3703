"""Objects in s3://, gs://, az:// and file:// stores: read, write, list; called by `data`, `artifact` and `models`.

Invariant: every call ends in bounded time with the bytes or with a StoreError that names the URI and the remedy; one
that is unreachable or hangs is told within three seconds, since each use begins with a small question. Never follows a
URI out of its bucket or, for files, out of the configured root; never puts a credential into an error.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from shoal_worker.errors import (
    CredentialsRejected,
    ObjectChanged,
    ObjectMissing,
    SettingsInvalid,
    StoreError,
    StoreUnavailable,
)
from shoal_worker.store.clients import build_client, read_credentials
from shoal_worker.store.failures import explain

SCHEMES = ("s3", "gs", "az", "file")
# Of one request: a larger one could meet a timeout, smaller ones would wait for each other.
_RANGE_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_UPLOAD_BYTES = 8 << 20
_METADATA_TIMEOUT = timedelta(seconds=2)
_CONTENT_TIMEOUT = timedelta(seconds=30)
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed store URI: scheme, bucket (empty for files), and a path without leading or trailing slash."""

    scheme: str
    bucket: str
    path: str

    @property
    def uri(self) -> str:
        """The URI in its canonical form."""
        return f"{self.scheme}://{self.bucket}/{self.path}"

    def child(self, name: str) -> "Location":
        """The location of `name` below this one."""
        return Location(self.scheme, self.bucket, f"{self.path}/{name}" if self.path else name)


def parse_uri(uri: str, field: str) -> Location:
    """Parse a store URI once, refusing what could mean two things to two readers."""
    remedy = (
        "Use s3://bucket/path, gs://bucket/path, az://container/path or file:///absolute/path, without '..', '%', "
        "'\\', '?', '#' or a user"
    )
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise SettingsInvalid("the scheme is not supported", field=field, value=uri, remedy=remedy)
    path = parts.path.strip("/")
    unclear = any(mark in uri for mark in ("%", "\\", "?", "#")) or not uri.isprintable()
    if unclear or any(segment in ("", ".", "..") for segment in path.split("/") if path):
        raise SettingsInvalid("the path is not canonical", field=field, value=uri, remedy=remedy)
    bucket = parts.netloc
    if (parts.scheme == "file") == bool(bucket) or not set("@:").isdisjoint(bucket):
        raise SettingsInvalid(
            f"{parts.scheme}:// {'takes no host' if parts.scheme == 'file' else 'needs a plain bucket'}",
            field=field,
            value=uri,
            remedy=remedy,
        )
    return Location(parts.scheme, bucket, path)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as its store tells of it."""

    location: Location
    size: int
    etag: str
    modified: datetime = _UNKNOWN
    """When it was last written; the least of all times where it is not known, as of an object of an older record."""


class Store:
    """One bucket, or the file system below one root."""

    def __init__(
        self,
        location: Location,
        *,
        credentials: Mapping[str, str],
        file_root: Path,
        field: str,
    ) -> None:
        self._field = field
        self._location = location
        self._root = file_root.resolve()
        if location.scheme == "file":
            self._check_below_root(location)
        self._metadata = build_client(location.scheme, location.bucket, credentials, field, _METADATA_TIMEOUT)
        self._content = build_client(location.scheme, location.bucket, credentials, field, _CONTENT_TIMEOUT)

    def size(self, location: Location) -> int:
        """Size of an object in bytes."""
        return self.describe(location).size

    def describe(self, location: Location) -> ObjectInfo:
        """Size and ETag of an object; the ETag is empty where the store tells none."""
        try:
            found = obstore.head(self._metadata, self._key(location))
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, location) from None
        return ObjectInfo(location, found["size"], _etag(found["e_tag"]), found["last_modified"])

    def read_range(self, info: ObjectInfo, start: int, end: int) -> memoryview:
        """Read the bytes of [start, end), or raise ObjectChanged where the object is no more the one described."""
        try:
            answer = obstore.get(self._content, self._key(info.location), options={"range": (start, end)})
            if info.etag and _etag(answer.meta["e_tag"]) != info.etag:
                raise _changed(self._field, info.location)
            content = memoryview(answer.bytes())
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, info.location) from None
        if len(content) != end - start:
            raise _changed(self._field, info.location)
        return content

    def read(self, location: Location, limit: int) -> bytes:
        """Read a whole object of at most `limit` bytes."""
        return b"".join(self.read_chunks(location, limit))

    def read_chunks(self, location: Location, limit: int) -> Iterator[memoryview]:
        """Read an object of at most `limit` bytes in ranges, so that a large one does not meet a timeout."""
        size = self.size(location)
        if size > limit:
            raise StoreUnavailable(
                f"the object has {size} bytes, more than the limit of {limit}",
                field=self._field,
                value=location.uri,
                remedy="Use a smaller object or raise the limit",
                transient=False,
            )
        for start in range(0, size, _RANGE_BYTES):
            end = min(start + _RANGE_BYTES, size)
            received = 0
            for chunk in self._stream(location, start, end):
                received += len(chunk)
                yield chunk
            if received != end - start:
                raise _changed(self._field, location)

    def _stream(self, location: Location, start: int, end: int) -> Iterator[memoryview]:
        try:
            answer = obstore.get(self._content, self._key(location), options={"range": (start, end)})
            for chunk in answer.stream(min_chunk_size=_CHUNK_BYTES):
                yield memoryview(chunk)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, location) from None

    def write(self, location: Location, content: bytes | memoryview) -> None:
        """Write an object, replacing one of the same name."""
        try:
            obstore.put(self._content, self._key(location), content)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, location) from None

    def upload(self, location: Location, file: Path) -> None:
        """Write a local file as an object, in parts, so that its size costs no memory and meets no timeout."""
        try:
            obstore.put(self._content, self._key(location), file, chunk_size=_UPLOAD_BYTES, max_concurrency=2)
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, location) from None

    def create(self, location: Location, content: bytes | memoryview) -> bool:
        """Write an object unless there is one of this name; tell whether it was written.

        Of any number of writers at once exactly one is told so: on object stores by a conditional put
        (If-None-Match: *), on files by a hard link, so an object never shows half its content.
        """
        try:
            obstore.put(self._content, self._key(location), content, mode="create", use_multipart=False)
        except (AlreadyExistsError, FileExistsError):
            return False
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, location) from None
        return True

    def has(self, location: Location) -> bool:
        """Tell whether there is such an object."""
        try:
            self.size(location)
        except ObjectMissing:
            return False
        return True

    def list_names(self, folder: Location, after: str = "") -> list[str]:
        """Names of the objects right in a folder, in order; with `after` those behind it only."""
        if folder.scheme == "file":
            return sorted(each for each, is_folder in self._scan(folder) if not is_folder and each > after)
        prefix = f"{self._key(folder)}/"
        offset = f"{prefix}{after}" if after else None
        try:
            pages = obstore.list(self._content, prefix=prefix, offset=offset)
            names = [each["path"].removeprefix(prefix) for page in pages for each in page]
        except (BaseError, OSError, ValueError) as error:
            raise self._listing_failure(error, folder) from None
        return sorted(name for name in names if name and "/" not in name)

    def list_objects(self, folder: Location) -> Iterator[ObjectInfo]:
        """All objects in a folder and the folders below it, in no order."""
        if folder.scheme == "file":
            yield from self._walk(folder)
            return
        try:
            for page in obstore.list(self._content, prefix=self._key(folder) or None):
                for each in page:
                    location = Location(folder.scheme, folder.bucket, each["path"])
                    yield ObjectInfo(location, each["size"], _etag(each["e_tag"]), each["last_modified"])
        except (BaseError, OSError, ValueError) as error:
            raise self._listing_failure(error, folder) from None

    def _walk(self, folder: Location) -> Iterator[ObjectInfo]:
        for name, is_folder in self._scan(folder):
            if is_folder:
                yield from self._walk(folder.child(name))
            else:
                yield self.describe(folder.child(name))

    def list_folders(self, folder: Location) -> list[str]:
        """Names of the folders right in a folder, in order."""
        if folder.scheme == "file":
            return sorted(each for each, is_folder in self._scan(folder) if is_folder)
        key = self._key(folder)
        try:
            found = obstore.list_with_delimiter(self._content, prefix=f"{key}/" if key else None)
        except (BaseError, OSError, ValueError) as error:
            raise self._listing_failure(error, folder) from None
        return sorted(each.rstrip("/").rpartition("/")[2] for each in found["common_prefixes"])

    def copy(self, source: Location, target: Location) -> None:
        """Copy an object within the store, replacing one of the target's name."""
        try:
            obstore.copy(self._content, self._key(source), self._key(target))
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, source) from None

    def delete(self, location: Location) -> None:
        """Delete an object; one that is gone already is fine."""
        try:
            obstore.delete(self._content, self._key(location))
        except FileNotFoundError:
            return
        except (BaseError, OSError, ValueError) as error:
            raise self._translated(error, location) from None

    def remove_empty(self, folder: Location) -> None:
        """Remove a folder of files that is empty; object stores have no folders."""
        if folder.scheme == "file":
            self._check_below_root(folder)
            with contextlib.suppress(OSError):
                Path("/" + folder.path).rmdir()

    def _scan(self, folder: Location) -> Iterator[tuple[str, bool]]:
        """Entries of a folder of files; the library would fail on a name that it cannot read, instead of passing it."""
        self._check_below_root(folder)
        try:
            with os.scandir("/" + folder.path) as entries:
                # A write in progress lies beside its name as name#number.
                yield from ((each.name, each.is_dir()) for each in entries if "#" not in each.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._listing_failure(error, folder) from None

    def _listing_failure(self, error: Exception, folder: Location) -> StoreError:
        return explain(error, uri=folder.uri, field=self._field, listing=True)

    def check_reachable(self) -> None:
        """Raise a StoreError unless the store answers, knows the bucket and knows us; writes nothing."""
        if self._location.scheme == "file":
            return
        try:
            next(self._list_one(), None)
        except (BaseError, OSError, ValueError) as error:
            # Who may not list may still read and write; the use will tell.
            if "AccessDenied" not in str(error):
                raise explain(error, uri=self._location.uri, field=self._field, listing=True) from None

    def _list_one(self) -> Iterator[object]:
        return iter(obstore.list(self._metadata, prefix=self._key(self._location) or None, chunk_size=1))

    def _key(self, location: Location) -> str:
        if location.scheme == "file":
            self._check_below_root(location)
        return location.path

    def _check_below_root(self, location: Location) -> None:
        # resolve() follows symbolic links, so a link inside the root that leads out of it is refused as well.
        path = Path("/" + location.path).resolve()
        if path != self._root and self._root not in path.parents:
            raise SettingsInvalid(
                f"file:// paths must lie below {self._root}",
                field=self._field,
                value=location.uri,
                remedy="Move the file there, or set SHOAL_FILE_ROOT",
            )

    def _translated(self, error: Exception, location: Location) -> StoreError:
        found = explain(error, uri=location.uri, field=self._field, listing=False)
        if location.scheme != "file" and isinstance(found, ObjectMissing | CredentialsRejected):
            # The answer to a HEAD has no body, and 404 may mean the bucket, or even the key: a listing tells which.
            try:
                self.check_reachable()
            except StoreError as exact:
                return exact
        return found


def _etag(text: str | None) -> str:
    """The mark itself: Azure quotes it in headers, as HTTP has it, and not in listings."""
    return (text or "").removeprefix("W/").strip('"')


def _changed(field: str, location: Location) -> ObjectChanged:
    return ObjectChanged(
        "the object changed while it was read",
        field=field,
        value=location.uri,
        remedy="Write data under new names instead of over old ones",
    )


def open_store(uri: str, *, field: str, secret_dir: Path, file_root: Path) -> tuple[Store, Location]:
    """Open the store that a URI lies in, with the credentials of a mounted Secret."""
    location = parse_uri(uri, field)
    return Store(location, credentials=read_credentials(secret_dir), file_root=file_root, field=field), location

"""A model's log in the store: entries created one after the other, and a catalog that sums them up; used by `store`.

    <store>/models/<namespace>/<name>/log/000000000001.json   an entry: one change, immutable
    <store>/models/<namespace>/<name>/catalog.json            the sum of the first entries; derived

Invariant: an entry is created at the position behind the last one, by a conditional create, and never written again.
So of two writers one wins, and the other decides anew on what the winner did: every change is made on a known state.
The catalog saves reading all entries; losing or spoiling it costs time only.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, TypeVar

import structlog
from pydantic import Field, TypeAdapter

from shoal_worker.errors import ObjectMissing, StoreError, StoreUnavailable
from shoal_worker.models.history import History, fold
from shoal_worker.models.record import Change, ModelKey, Problem, Stored, StoredVersion
from shoal_worker.store.objects import Location, Store

ENTRY_LIMIT = 1 << 20
CATALOG_LIMIT = 256 << 20
FOLD_AFTER = 32
"""Entries behind the catalog after which it is written anew."""
_ATTEMPTS = 200
_READERS = 16
_ENTRY_NAME = re.compile(r"(\d{12})\.json")
_CATALOG = "catalog.json"

_log = structlog.get_logger(__name__)
_VERSIONS = TypeAdapter(list[StoredVersion])
Outcome = TypeVar("Outcome")


class _Head(Stored):
    format: Annotated[int, Field(ge=1, le=1)] = 1
    position: int = Field(ge=0, lt=10**12)
    unreadable: tuple[int, ...] = Field(default=(), max_length=100_000)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Entry(Stored):
    format: Annotated[int, Field(ge=1, le=1)] = 1
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    change: dict[str, object]


class ModelLog:
    """The log of one model."""

    def __init__(self, store: Store, base: Location, key: ModelKey) -> None:
        self._store = store
        self._folder = base.child("models").child(key.namespace).child(key.name)
        self._entries = self._folder.child("log")
        self._catalog = self._folder.child(_CATALOG)
        self.problems: list[Problem] = []
        """What reading passed over."""

    def read(self, *, whole: bool = False) -> History:
        """Return the history up to now; `whole` reads every entry and takes no catalog's word."""
        history = History() if whole else self._read_catalog()
        history, taken = self._advance(history)
        for position in history.unreadable:
            self._tell(self._place(position), "the entry cannot be read; what it said is lost")
        if taken >= FOLD_AFTER or (whole and taken):
            self._write_catalog(history)
        return history

    def read_entry(self, position: int) -> Change | None:
        """Return one entry; None where there is none that can be read."""
        place = self._place(position)
        try:
            return decode_entry(self._store.read(place, ENTRY_LIMIT))
        except (ObjectMissing, ValueError) as error:
            _log.warning("log entry passed over", place=place.uri, message=str(error)[:300])
            return None
        except StoreUnavailable as error:
            if error.transient:
                raise
            _log.warning("log entry passed over", place=place.uri, message=str(error)[:300])
            return None

    def commit(self, decide: Callable[[History], Change | None]) -> History:
        """Append what `decide` makes of the history, or nothing where it makes None; return the history then."""
        history = self.read()
        for _ in range(_ATTEMPTS):
            change = decide(history)
            if change is None:
                return history
            position = history.position + 1
            if self._store.create(self._place(position), encode_entry(change)):
                return fold(history, {position: change})
            # Another writer was faster: decide again on what it did.
            history, _taken = self._advance(history)
        raise StoreUnavailable(
            "too many writers change this model at once", field="storeUri", value=self._folder.uri, remedy="Try again"
        )

    def _advance(self, history: History) -> tuple[History, int]:
        """Take in the entries behind the history; return how many there were."""
        after = f"{history.position:012d}.json" if history.position else ""
        positions = []
        for name in self._store.list_names(self._entries, after):
            if match := _ENTRY_NAME.fullmatch(name):
                positions.append(int(match[1]))
            else:
                self._tell(self._entries.child(name), "it is no entry of a log")
        return fold(history, dict(zip(positions, self._read_entries(positions), strict=True))), len(positions)

    def _read_entries(self, positions: list[int]) -> Iterable[Change | None]:
        if len(positions) < 2:
            return [self.read_entry(position) for position in positions]
        with ThreadPoolExecutor(min(_READERS, len(positions))) as readers:
            return list(readers.map(self.read_entry, positions))

    def _read_catalog(self) -> History:
        try:
            return decode_catalog(self._store.read(self._catalog, CATALOG_LIMIT))
        except ObjectMissing:
            return History()
        except ValueError as error:
            self._tell(self._catalog, f"the catalog is spoilt and made anew from the log: {str(error)[:200]}")
            return History()

    def _write_catalog(self, history: History) -> None:
        """Write the catalog; who may only read goes without."""
        try:
            self._store.write(self._catalog, encode_catalog(history))
        except StoreError as error:
            _log.info("catalog not written", place=self._catalog.uri, message=str(error)[:300])

    def _place(self, position: int) -> Location:
        return self._entries.child(f"{position:012d}.json")

    def _tell(self, place: Location, message: str) -> None:
        self.problems.append(Problem(place.uri, message))


def encode_entry(change: Change) -> bytes:
    """Serialize a change with its sha256, so that a flipped bit is noticed.

    >>> decode_entry(encode_entry(Change())) == Change()
    True
    """
    fields = change.model_dump(by_alias=True, mode="json", exclude_none=True)
    entry = {"format": 1, "sha256": _digest(fields), "change": fields}
    return json.dumps(entry, separators=(",", ":"), allow_nan=False).encode("ascii")


def decode_entry(content: bytes) -> Change:
    """Parse an entry, or raise ValueError."""
    entry = _Entry.model_validate_json(content)
    if _digest(entry.change) != entry.sha256:
        raise ValueError("the entry does not have its sha256")
    return Change.model_validate(entry.change)


def encode_catalog(history: History) -> bytes:
    """Serialize a history: one line about the other, which holds the versions."""
    versions = _VERSIONS.dump_json(list(history.versions.values()), by_alias=True, exclude_none=True)
    head = _Head(position=history.position, unreadable=history.unreadable, sha256=hashlib.sha256(versions).hexdigest())
    return head.model_dump_json(by_alias=True).encode() + b"\n" + versions


def decode_catalog(content: bytes) -> History:
    """Parse a catalog, or raise ValueError."""
    first, _, versions = content.partition(b"\n")
    head = _Head.model_validate_json(first[:ENTRY_LIMIT])
    if hashlib.sha256(versions).hexdigest() != head.sha256:
        raise ValueError("the catalog does not have its sha256")
    known = {version.number: version for version in _VERSIONS.validate_json(versions)}
    return History(head.position, known, head.unreadable)


def _digest(fields: object) -> str:
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()

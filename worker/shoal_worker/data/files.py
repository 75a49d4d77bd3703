"""Which files a source means: one object, or those of a folder, with what their folders' names tell; see `dataset`.

Invariant: the files come in the order of their paths, so equal folders are read equally. What is no data by its name
(_SUCCESS, .crc) is left out; what may be data is never left out silently.
"""

import re
from itertools import islice
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from shoal_worker.data.formats.format import FORMAT_FIELD, SUFFIXES, URI_FIELD
from shoal_worker.data.records import DataFile
from shoal_worker.errors import ObjectMissing, SourceInvalid
from shoal_worker.spec.source import SourceFormat, SourceSpec
from shoal_worker.store.objects import Location, ObjectInfo, Store

MOST_FILES = 10_000
_MISSING = "__HIVE_DEFAULT_PARTITION__"
# "007" and "1_000" are names rather than numbers.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?", re.ASCII)


def find_files(store: Store, location: Location, source: SourceSpec) -> tuple[DataFile, ...]:
    """Find the object of the uri, or the files of the folder; a uri that ends in / is a folder."""
    if not source.uri.endswith("/"):
        try:
            return (_described(store.describe(location), location),)
        except ObjectMissing:
            if not (found := _list(store, location)):
                raise
            return found
    if not (found := _list(store, location)):
        raise SourceInvalid(
            "the folder holds no data files",
            field=URI_FIELD,
            value=source.uri,
            remedy="Point to a folder with files; names that begin with _ or . are left out",
        )
    return found


def detect_format(source: SourceSpec, files: tuple[DataFile, ...]) -> SourceFormat:
    """The declared format, else the one of the files' suffixes."""
    if source.format:
        return source.format
    formats = {SUFFIXES.get(PurePosixPath(file.path).suffix.lower()): file.path for file in files}
    if None in formats:
        raise _unclear("the format cannot be told from the suffix", formats[None])
    if len(formats) > 1:
        raise _unclear(
            f"the folder holds files of several formats ({', '.join(sorted(map(str, formats)))})", source.uri
        )
    return next(found for found in formats if found)


def partition_fields(files: tuple[DataFile, ...]) -> "list[pa.Field[Any]]":
    """The columns that the folders name: whole numbers, numbers, else texts."""
    first = files[0].partition
    for file in files:
        if tuple(file.partition) != tuple(first):
            raise SourceInvalid(
                f"the folders name the columns {', '.join(file.partition) or 'none'}, those of the first file "
                f"{', '.join(first) or 'none'}",
                reason="SourceFormatInvalid",
                field=URI_FIELD,
                value=file.path,
                remedy="Give all files folders of the same form: key=value/key=value",
            )
    return [pa.field(name, _type_of([file.partition[name] for file in files])) for name in first]


def partition_value(text: str, dtype: pa.DataType) -> str | float | int | None:
    """The value that a folder's name stands for; None where it is missing."""
    if text == _MISSING:
        return None
    if pa.types.is_integer(dtype):
        return int(text)
    return float(text) if pa.types.is_floating(dtype) else text


def _list(store: Store, folder: Location) -> tuple[DataFile, ...]:
    found = (
        _described(info, folder)
        for info in store.list_objects(folder)
        if not _is_hidden(info.location.path, folder) and (info.size or PurePosixPath(info.location.path).suffix)
    )
    files = list(islice(found, MOST_FILES + 1))
    if len(files) > MOST_FILES:
        raise SourceInvalid(
            f"the folder holds more than {MOST_FILES} files",
            field=URI_FIELD,
            value=folder.uri,
            remedy="Point to a folder further down, or write fewer and larger files",
        )
    return tuple(sorted(files, key=lambda file: file.path))


def _described(info: ObjectInfo, folder: Location) -> DataFile:
    folders = info.location.path.removeprefix(folder.path).split("/")[:-1]
    pairs = [each.partition("=") for each in folders if "=" in each]
    partition = {unquote(key): unquote(value) for key, _, value in pairs}
    return DataFile(path=info.location.path, size=info.size, etag=info.etag, partition=partition)


def _is_hidden(path: str, folder: Location) -> bool:
    parts = path.removeprefix(folder.path).strip("/").split("/")
    return any(part.startswith((".", "_")) and "=" not in part for part in parts)


def _type_of(texts: list[str]) -> pa.DataType:
    known = [text for text in texts if text != _MISSING]
    if not known or not all(map(_NUMBER.fullmatch, known)):
        return pa.string()
    return pa.float64() if any("." in text for text in known) else pa.int64()


def _unclear(message: str, value: str) -> SourceInvalid:
    return SourceInvalid(
        message,
        reason="SourceFormatInvalid",
        field=FORMAT_FIELD,
        value=value,
        remedy="Set the format to parquet, csv, arrow or npy",
    )

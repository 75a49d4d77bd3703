"""YAML and JSON files as documents that know the line of each field. Used by `lint` and `diff`.

Invariant: a file is data: no tag makes anything but plain values, sizes and depths are bounded, and whatever cannot be
read is a UsageError that names file and line.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shoal_cli.errors import ShoalError, UsageError

Path_ = tuple[str | int, ...]

_LARGEST_FILE = 3 << 20
_MOST_VALUES = 200_000
_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: its plain value, and the line (from 1) of each field by path."""

    file: str
    value: dict[str, Any]
    lines: dict[Path_, int] = field(repr=False)

    @property
    def kind(self) -> str:
        """What kind of object it says it is."""
        return str(self.value.get("kind", ""))

    @property
    def name(self) -> str:
        """The object's name."""
        metadata = self.value.get("metadata")
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    @property
    def namespace(self) -> str:
        """The object's namespace; empty where it names none."""
        metadata = self.value.get("metadata")
        return str(metadata.get("namespace") or "") if isinstance(metadata, dict) else ""

    def line(self, path: Path_) -> int:
        """Return the line of a field, or of the nearest field around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_documents(names: Sequence[str]) -> list[Document]:
    """Read the documents of files, of the manifests below folders, and of standard input for -; Lists are unfolded."""
    found: list[Document] = []
    for file, text in _texts(names):
        found += _parse(file, text)
    return found


def _texts(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name == "-":
            yield "standard input", sys.stdin.read(_LARGEST_FILE)
            continue
        path = Path(name)
        files = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES) if path.is_dir() else [path]
        if path.is_dir() and not files:
            raise UsageError("no manifest lies in it", field="FILE", value=name, remedy="Name .yaml or .json files")
        for each in files:
            yield str(each), _read(each)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(
                f"it is larger than {_LARGEST_FILE >> 20} MiB", field="FILE", value=path, remedy="Name a manifest"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ShoalError(f"it cannot be read: {error}", field="FILE", value=path, remedy="Check the path") from None


def _parse(file: str, text: str) -> Iterator[Document]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            lines: dict[Path_, int] = {}
            reader = _Reader(file, loader, lines)
            value = reader.read(node, ())
            if value is None:
                continue
            if not isinstance(value, dict):
                raise UsageError(
                    "it is no object", field=f"{file}:{lines[()]}", remedy="Begin with apiVersion, kind and metadata"
                )
            yield from _unfold(Document(file, value, lines))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else file
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"it is not YAML: {problem}", field=where, remedy="Correct the file") from None
    finally:
        loader.dispose()


class _Reader:
    """Turns nodes into plain values and remembers lines; anchors may not blow a small file up."""

    def __init__(self, file: str, loader: yaml.SafeLoader, lines: dict[Path_, int]) -> None:
        self._file, self._loader, self._lines = file, loader, lines
        self._count = 0

    def read(self, node: yaml.Node, path: Path_) -> Any:
        self._count += 1
        line = node.start_mark.line + 1
        self._lines.setdefault(path, line)
        if self._count > _MOST_VALUES or len(path) > 64:
            raise UsageError("it is too large or too deep", field=f"{self._file}:{line}", remedy="Split the file")
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
            raise UsageError(
                "a tag makes no sense in a manifest", field=f"{self._file}:{line}", value=node.tag, remedy="Remove it"
            )
        if isinstance(node, yaml.MappingNode):
            self._loader.flatten_mapping(node)
            found: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(self._scalar(key_node))
                if key in found:
                    raise UsageError(
                        f"the field {key} comes twice",
                        field=f"{self._file}:{key_node.start_mark.line + 1}",
                        remedy="Keep the one that you want",
                    )
                self._lines[(*path, key)] = key_node.start_mark.line + 1
                found[key] = self.read(value_node, (*path, key))
            return found
        if isinstance(node, yaml.SequenceNode):
            return [self.read(each, (*path, place)) for place, each in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        value = self._loader.construct_object(node)
        # kubectl sends JSON, which has neither dates nor bytes.
        return (
            value if value is None or isinstance(value, str | int | float | bool) else str(getattr(node, "value", ""))
        )


def _unfold(document: Document) -> Iterator[Document]:
    """Return a List's items as documents of their own."""
    items = document.value.get("items")
    if document.kind != "List" or not isinstance(items, list):
        yield document
        return
    for place, item in enumerate(items):
        if isinstance(item, dict):
            before = ("items", place)
            lines = {path[2:]: line for path, line in document.lines.items() if path[:2] == before}
            yield from _unfold(Document(document.file, item, lines))

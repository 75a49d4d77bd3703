"""What an image is made from, and the hash of it that becomes the image's tag. Called by cli.py and wheels.py.

Unchanged inputs keep their tag, so nothing is built, loaded or restarted for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.binaries import digest
from hack.cluster.process import run, succeeds

IGNORED_FOLDERS = frozenset({"tests", "target", "dist", "__pycache__", ".venv", "node_modules"})
IGNORED_SUFFIXES = frozenset({".so", ".pyc", ".pyi.tmp"})


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the workspace that goes into an image as a wheel of our own."""

    folder: str

    @property
    def label(self) -> str:
        """Its name in file names."""
        return self.folder.replace("/", "-")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What `uv export` says of a package: our own members and everybody else's pinned packages."""

    members: tuple[Member, ...]
    others: str


def split_requirements(exported: str) -> Requirements:
    """Split an export into the workspace's members and the rest, which keeps its hashes.

    >>> split_requirements("-e ./worker\\nnumpy==2 \\\\\\n    --hash=sha256:00\\n").members
    (Member(folder='worker'),)
    """
    members, others = [], []
    for line in exported.splitlines():
        word = line.removeprefix("-e ").strip()
        if word.startswith("./"):
            members.append(Member(word.removeprefix("./").split(" ")[0]))
        elif line and not line.startswith("#"):
            others.append(line)
    return Requirements(tuple(members), "\n".join(others) + "\n")


def split_off(requirements: str, names: Iterable[str]) -> tuple[str, str]:
    """Split pinned requirements, hashes included, into those of other packages and those of the named ones."""
    chosen: list[str] = []
    rest: list[str] = []
    into = rest
    for line in requirements.splitlines(keepends=True):
        if not line.startswith(" "):
            into = chosen if line.partition("==")[0] in set(names) else rest
        into.append(line)
    return "".join(rest), "".join(chosen)


def belongs(path: str, nested: Iterable[str]) -> bool:
    """Say whether a file (relative to its member) can change the member's wheel."""
    parts = Path(path).parts
    if any(path.startswith(f"{folder}/") for folder in nested):
        return False
    return not IGNORED_FOLDERS.intersection(parts) and Path(path).suffix not in IGNORED_SUFFIXES


def listed(folder: Path) -> list[str]:
    """List a folder's files: what git tracks or would track, or, outside a repository, all of them."""
    if succeeds(["git", "-C", folder, "rev-parse", "--is-inside-work-tree"]):
        command = ["git", "-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard"]
        return [line for line in run(command).splitlines() if (folder / line).is_file()]
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def member_hash(repository: Path, member: Member, members: Iterable[Member]) -> str:
    """Hash the sources of a member; other members in folders below it are not its own."""
    folder = repository / member.folder
    prefix = f"{member.folder}/"
    nested = [other.folder.removeprefix(prefix) for other in members if other.folder.startswith(prefix)]
    files = sorted(file for file in listed(folder) if belongs(file, nested))
    return digest(part for file in files for part in (file.encode(), (folder / file).read_bytes()))

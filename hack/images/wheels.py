"""Prepares the wheels that an image installs: others' by their locked hashes, ours from the sources.

Called by build.py. Everything is cached by its inputs, and nothing is written into the checkout.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.binaries import HASH_LENGTH, digest
from hack.cluster.layout import Layout
from hack.cluster.process import ClusterError, run
from hack.cluster.progress import Steps
from hack.images.sources import Member, Requirements, member_hash, split_off, split_requirements

# The interpreter of the base image; wheels are chosen for it, whatever Python this machine has.
PYTHON = "3.11"
PIP = "26.3"
# Spelled out, so that the wheels of "worker" are told from those of "worker-engine".
ANY_HASH = "[0-9a-f]" * HASH_LENGTH
# Published as sources only; pure Python, so that a wheel built here fits everywhere.
WITHOUT_WHEEL = ("nkeys",)
GLIBC_MINORS = (17, 24, 26, 27, 28, 31, 34, 35, 36)


@dataclass(frozen=True, slots=True)
class Wheels:
    """What one image installs, ready to be found by pip without a network."""

    requirements: str
    folder: Path
    members: tuple[Member, ...]
    hashes: tuple[str, ...]


def exported(layout: Layout, package: str) -> Requirements:
    """Ask uv for a package's locked requirements, fitted to the image's interpreter; kept until the lock changes."""
    lock = (layout.repository / "uv.lock").read_bytes()
    projects = [file.read_bytes() for file in sorted(layout.repository.glob("*/pyproject.toml"))]
    file = layout.cache / "requirements" / f"{package}-{digest([lock, *projects, PYTHON.encode()])}.txt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        uv, plain = str(layout.tools / "uv"), ["--quiet", "--no-header", "--no-annotate"]
        whole = run([uv, "export", "--frozen", "--no-dev", "--package", package, *plain], cwd=layout.repository)
        split = split_requirements(whole)
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "requirements.txt")
            source.write_text(split.others)
            target = ["--python-version", PYTHON, "--python-platform", f"{platform.machine()}-manylinux_2_36"]
            fitted = run([uv, "pip", "compile", "--no-deps", "--generate-hashes", *target, *plain, str(source)])
        text = "".join(f"-e ./{member.folder}\n" for member in split.members) + fitted
        file.write_text(text)
    return split_requirements(file.read_text())


def platforms(machine: str) -> list[str]:
    """List the wheel platforms that the base image can load, as arguments of pip."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in reversed(GLIBC_MINORS)] + [f"manylinux2014_{machine}"]
    return [word for tag in tags for word in ("--platform", tag)]


def others(layout: Layout, steps: Steps, package: str, requirements: str) -> Path:
    """Fetch others' wheels, and pip to install them with; build the wheels of those that publish none.

    All are checked against the lock's hashes. The folder that is returned has `wheels` and `built`.
    """
    inputs = [requirements.encode(), PIP.encode(), *(name.encode() for name in WITHOUT_WHEEL)]
    target = layout.cache / "wheels" / f"others-{package}-{digest(inputs)}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch, steps.step(f"fetching the wheels of {package}"):
        found, source, bare = Path(scratch, "found"), Path(scratch, "requirements.txt"), Path(scratch, "bare.txt")
        wheels, built = found / "wheels", found / "built"
        built.mkdir(parents=True)
        with_wheel, without = split_off(requirements, WITHOUT_WHEEL)
        source.write_text(with_wheel)
        pip = [str(layout.tools / "pip"), "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        pip += ["--dest", str(wheels)]
        chosen = ["--implementation", "cp", "--python-version", PYTHON, *platforms(platform.machine())]
        run([*pip, *chosen, "--require-hashes", "--requirement", str(source)])
        run([*pip, f"pip=={PIP}"])
        if without:
            bare.write_text(without)
            build = [str(layout.tools / "pip"), "wheel", "--quiet", "--no-deps", "--wheel-dir", str(built)]
            run([*build, "--require-hashes", "--requirement", str(bare)])
        for older in target.parent.glob(f"others-{package}-{ANY_HASH}"):
            shutil.rmtree(older)
        found.rename(target)
    return target


def own(layout: Layout, steps: Steps, member: Member, members: Iterable[Member], hashed: str) -> Path:
    """Build the wheel of a member unless these very sources were built before; return its folder."""
    target = layout.cache / "wheels" / f"own-{member.label}-{hashed}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent) as scratch,
        steps.step(f"building the wheel of {member.folder}"),
    ):
        built = Path(scratch, "wheel")
        # A release build for any processor of this kind, in a folder that outlives the checkout.
        environment = {"CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(layout.cache / "cargo-target"))}
        command: list[str | Path] = [
            layout.tools / "uv",
            "build",
            "--quiet",
            "--wheel",
            "--out-dir",
            built,
            member.folder,
        ]
        run(command, cwd=layout.repository, env=environment, log=layout.cache / "logs" / f"wheel-{member.label}.log")
        for other in built.iterdir():
            if other.suffix != ".whl":
                other.unlink()
        if member_hash(layout.repository, member, members) != hashed:
            raise ClusterError(f"the sources in {member.folder}/ changed while its wheel was built; run it again")
        for older in target.parent.glob(f"own-{member.label}-{ANY_HASH}"):
            shutil.rmtree(older)
        built.rename(target)
    return target


def describe(layout: Layout, package: str) -> tuple[Requirements, tuple[str, ...]]:
    """Return a package's requirements and the hashes of its members' sources, without fetching or building."""
    requirements = exported(layout, package)
    hashes = [member_hash(layout.repository, member, requirements.members) for member in requirements.members]
    return requirements, tuple(hashes)

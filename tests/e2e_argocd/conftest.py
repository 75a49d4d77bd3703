"""The fixtures of the end-to-end tests, and a running Argo CD."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hack.lab.kube import Kube
from tests.e2e.conftest import kube, pytest_runtest_makereport, scene
from tests.e2e_argocd.argocd import ArgoCD, run_argocd

__all__ = ["argocd", "kube", "pytest_runtest_makereport", "scene"]


@pytest.fixture(scope="session")
def argocd(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArgoCD]:
    """Run Argo CD for the session."""
    with run_argocd(kube, tmp_path_factory.mktemp("argocd")) as running:
        yield running

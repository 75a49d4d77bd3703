"""The real cluster for the end-to-end tests: the chart installed once, a namespace of its own for every test.

A test that fails prints what the cluster looked like. Tests wait on conditions with deadlines; none sleeps blindly.
Several processes run tests beside each other (`make e2e`); a test that changes the release or stops the operator is
marked `alone`, and the others wait for it.
"""

from __future__ import annotations

import fcntl
import io
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from sklearn.datasets import make_blobs

from hack.lab.install import SYSTEM_NAMESPACE, build_cities, install_chart, prepare_namespace, upload
from hack.lab.kube import Kube, kubeconfig
from tests.e2e.scene import Scene

_failed = pytest.StashKey[bool]()
_TURN = Path(tempfile.gettempdir()) / "shoal-e2e.lock"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember failures, so that the namespace fixture can tell of the cluster's state."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@contextmanager
def take_turn(*, alone: bool) -> Iterator[None]:
    """Wait until no test that must be alone runs in another process; with `alone` until no test at all does."""
    with _TURN.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


@pytest.fixture(autouse=True)
def turn(kube: Kube, request: pytest.FixtureRequest) -> Iterator[None]:
    """Run beside the tests of other processes, or alone where the test says so."""
    with take_turn(alone=request.node.get_closest_marker("alone") is not None):
        yield


def build_blobs() -> pa.Table:
    """2,000 rows of four blobs, with a third column that is not needed."""
    points, _ = make_blobs(2000, centers=[(-5, -5), (5, 5), (-5, 5), (5, -5)], cluster_std=0.6, random_state=7)
    extra = np.linspace(0, 1, len(points))
    return pa.table({"x": points[:, 0], "y": points[:, 1], "z": extra, "name": ["a"] * len(points)})


def build_varied() -> NDArray[np.float64]:
    """2,000 rows: a dense blob, one forty times as wide, and noise around both, which no single eps tells apart."""
    random = np.random.default_rng(11)
    dense, wide = random.normal(0.0, 0.05, (900, 2)), random.normal(12.0, 2.0, (900, 2))
    return np.concatenate([dense, wide, random.uniform(-20, 30, (200, 2))])


def parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def csv(table: pa.Table) -> bytes:
    """Write a table as CSV."""
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    return sink.getvalue()


@pytest.fixture(scope="session")
def kube() -> Kube:
    """Return the cluster, with the chart installed and the data in the store."""
    kube = Kube(kubeconfig())
    with take_turn(alone=True):
        install_chart(kube)
    blobs = build_blobs()
    holes = blobs.set_column(0, "x", pa.array([None, *blobs["x"].to_pylist()[1:]], pa.float64()))
    varied = build_varied()
    upload(
        kube,
        {
            "e2e/varied.parquet": parquet(pa.table({"x": varied[:, 0], "y": varied[:, 1]})),
            "e2e/blobs.parquet": parquet(blobs),
            "e2e/reversed.parquet": parquet(blobs.take(np.arange(len(blobs))[::-1])),
            "e2e/blobs.csv": csv(blobs),
            "e2e/holes.parquet": parquet(holes),
            "e2e/truncated.parquet": parquet(blobs)[:500],
            "e2e/cities.parquet": build_cities(),
        },
    )
    return kube


@pytest.fixture
def scene(kube: Kube, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Return a fresh namespace to act in; prints its state when the test fails, and deletes it."""
    namespace = f"e2e-{uuid.uuid4().hex[:8]}"
    prepare_namespace(kube, namespace)
    yield Scene(kube, namespace)
    if request.node.stash.get(_failed, False):
        print_state(kube, namespace)
    kube.kubectl("delete", "namespace", namespace, "--wait=false")


def print_state(kube: Kube, namespace: str) -> None:
    """Print what a person would look at first."""
    looks = (
        ("get", "cmodel,cmv,cdep,cbatch,deploy,svc,pods,jobs", "-o", "wide", "-n", namespace),
        ("get", "cmodel,cdep,cbatch", "-o", "yaml", "-n", namespace),
        ("get", "grpcroutes", "-o", "yaml", "-n", namespace),
        ("get", "events", "--sort-by=.lastTimestamp", "-n", namespace),
        ("logs", "-l", "app.kubernetes.io/name=shoal-worker", "--tail=40", "--prefix", "-n", namespace),
        ("logs", "-l", "app.kubernetes.io/name=shoal", "--tail=120", "-n", SYSTEM_NAMESPACE),
    )
    for look in looks:
        print(f"\n$ kubectl {' '.join(look)}\n{kube.kubectl(*look, check=False)}")

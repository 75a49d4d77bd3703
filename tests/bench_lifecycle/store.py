"""The model store's speed: a listing of 10,000 versions, a save among them, and bytes written and read a second.

`measure()` returns the figures; alone: `python -m tests.bench_lifecycle.store`. Both kinds of store are measured:
files, and the real S3 server of the cluster on a loopback port, over the same temporary folder.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from shoal_engine import DBSCAN
from shoal_worker.artifact.files import ArtifactFiles
from shoal_worker.artifact.manifest import MANIFEST_NAME, MODEL_NAME
from shoal_worker.models import export
from shoal_worker.models.log import encode_entry
from shoal_worker.models.record import Change, Draft, ModelKey, StateChange, VersionRecord
from shoal_worker.models.store import ModelStore
from shoal_worker.store.objects import Location, Store, open_store
from tests.s3 import BUCKET, run_s3

VERSIONS = 10_000
ROWS = 400_000
_REPEATS = 5
_KEY = ModelKey("bench", "towns")
_NOW = "2026-05-01T00:00:00Z"


def measure() -> dict[str, Any]:
    """Measure both kinds of store."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = _artifact(folder / "artifact")
        on_files = _measure(f"file://{folder}/files", folder / "none", folder, files)
        with run_s3(folder / "buckets") as server:
            on_s3 = _measure(f"s3://{BUCKET}/bench", server.write_secret(folder / "secret"), folder, files)
    return {"versions": VERSIONS, "artifactBytes": files.size, "file": on_files, "s3": on_s3}


def _measure(uri: str, secret_dir: Path, root: Path, files: ArtifactFiles) -> dict[str, float]:
    store, base = open_store(uri, field="store", secret_dir=secret_dir, file_root=root)
    models = ModelStore(store, base, limit=1 << 30)
    report = {
        "metrics": {"rows": ROWS, "clusters": 12, "noiseRatio": 0.01},
        "validation": {"verdict": "pass"},
        "artifact": {"uri": models.artifact_uri(files.digest), "digest": files.digest, "bytes": files.size},
    }
    draft = Draft("bench", files.digest, report, labels={"team": "maps"})
    _fill(store, base, draft)
    without_catalog = _seconds(lambda: models.list(_KEY))
    listed = [_seconds(lambda: _check(models)) for _ in range(_REPEATS)]
    drafts = [replace(draft, training_hash=f"again-{i}") for i in range(_REPEATS)]
    saved = [_seconds(partial(models.save, _KEY, each, files)) for each in drafts]
    loaded = [_seconds(lambda: models.load(_KEY, VERSIONS)) for _ in range(_REPEATS)]
    megabytes = files.size / 1e6
    return {
        "listSeconds": round(median(listed), 4),
        "listWithoutCatalogSeconds": round(without_catalog, 3),
        "saveSeconds": round(median(saved), 4),
        "saveMegabytesPerSecond": round(megabytes / median(saved), 1),
        "loadMegabytesPerSecond": round(megabytes / median(loaded), 1),
    }


def _fill(store: Store, base: Location, draft: Draft) -> None:
    """Write the log that 10,000 trainings leave, with a state change for every tenth; saving them would take long."""
    log = base.child("models").child(_KEY.namespace).child(_KEY.name).child("log")
    changes: list[Change] = []
    for number in range(1, VERSIONS + 1):
        record = VersionRecord(
            number=number,
            training_hash=f"{number:08x}",
            created=_NOW,
            digest=draft.digest,
            bytes=1,
            passed=True,
            labels=draft.labels,
            report=draft.report,
        )
        changes.append(Change(version=record))
        if number % 10 == 0:
            changes.append(Change(state=StateChange(number=number - 1, to="Retired", at=_NOW)))

    def write(position: int) -> bool:
        return store.create(log.child(f"{position:012d}.json"), encode_entry(changes[position - 1]))

    with ThreadPoolExecutor(16) as pool:
        if not all(pool.map(write, range(1, len(changes) + 1))):
            raise RuntimeError("the store was not empty")


def _check(models: ModelStore) -> None:
    listing = models.list(_KEY)
    if len(listing.versions) < VERSIONS or listing.problems:
        raise RuntimeError(f"{len(listing.versions)} versions, {listing.problems[:3]}")


def _artifact(folder: Path) -> ArtifactFiles:
    random = np.random.default_rng(3)
    rows = np.concatenate([random.normal(centre, 1.0, (ROWS // 4, 2)) for centre in (0, 20, 40, 60)])
    export(DBSCAN(0.2, min_samples=5).fit(rows), rows, folder)
    return ArtifactFiles((folder / MANIFEST_NAME).read_bytes(), (folder / MODEL_NAME).read_bytes())


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))

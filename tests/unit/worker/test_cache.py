"""The local copies of artifacts: shared by workers, bounded in size, never half a file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal_worker.artifact.files import Artifact, ArtifactFiles, directory_name
from shoal_worker.store.cache import load_artifact
from shoal_worker.store.eviction import evict
from shoal_worker.store.objects import open_store
from tests.unit.worker.harness import MACHINE, make_spec, make_table, train_table


def store_files(root: Path, files: ArtifactFiles) -> None:
    folder = root / "artifacts" / directory_name(files.digest)
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(files.manifest)
    (folder / "model.safetensors").write_bytes(files.model)


def load(root: Path, files: ArtifactFiles, cache_limit: int) -> Artifact:
    uri = f"file://{root}/artifacts/{directory_name(files.digest)}"
    store, location = open_store(uri, field="artifact.uri", secret_dir=root / "none", file_root=root)
    return load_artifact(
        store,
        location,
        files.digest,
        cache_dir=root / "cache",
        limit=1 << 30,
        machine=MACHINE,
        cache_limit=cache_limit,
    )


@pytest.fixture(scope="module")
def models() -> list[ArtifactFiles]:
    return [train_table(make_table(rows), make_spec()).files for rows in (100, 120, 140)]


def copies(root: Path) -> set[str]:
    return {path.name for path in (root / "cache").iterdir()}


def test_the_longest_unused_copies_go(tmp_path: Path, models: list[ArtifactFiles]) -> None:
    for files in models:
        store_files(tmp_path, files)
    first, second, third = models
    limit = first.size + second.size + third.size - 1
    for age, files in ((20, first), (10, second)):
        load(tmp_path, files, limit)
        manifest = tmp_path / "cache" / directory_name(files.digest) / "manifest.json"
        os.utime(manifest, (1_700_000_000 - age, 1_700_000_000 - age))
    load(tmp_path, first, limit)
    load(tmp_path, third, limit)
    assert copies(tmp_path) == {directory_name(first.digest), directory_name(third.digest)}, "first was used again"


def test_what_is_larger_than_the_limit_alone_is_kept_while_it_is_used(
    tmp_path: Path, models: list[ArtifactFiles]
) -> None:
    store_files(tmp_path, models[0])
    assert load(tmp_path, models[0], 1).digest == models[0].digest
    assert copies(tmp_path) == {directory_name(models[0].digest)}


def test_nothing_else_in_the_folder_is_touched(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine" * 100)
    (tmp_path / "sha256-short").mkdir()
    (tmp_path / f"sha256-{'0' * 64}").symlink_to(tmp_path / "sha256-short")
    assert evict(tmp_path, "", 0) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_workers_that_share_a_folder_all_get_what_they_asked_for(tmp_path: Path, models: list[ArtifactFiles]) -> None:
    """Writers, readers and removals at once: each worker has its model, from the copy, the store or memory."""
    for files in models:
        store_files(tmp_path, files)
    smallest = min(files.size for files in models)

    def work(turn: int) -> bool:
        files = models[turn % 3]
        return load(tmp_path, files, smallest).digest == files.digest

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(90)))
    for folder in (tmp_path / "cache").iterdir():
        left = {path.name for path in folder.iterdir()}
        assert left <= {"manifest.json", "model.safetensors"}, "no scratch file stays"

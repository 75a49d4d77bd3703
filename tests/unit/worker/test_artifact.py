"""A model artifact is exactly what was trained, or it is refused, whatever was done to its bytes."""

import errno
import hashlib
import io
import json
import pickle
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from shoal_engine import Predictor
from shoal_worker.artifact.files import ArtifactFiles, directory_name, verify_artifact
from shoal_worker.artifact.manifest import MANIFEST_LIMIT, Column, digest_of
from shoal_worker.artifact.safetensors_view import TensorSpec, view_tensors
from shoal_worker.data.frame import Frame
from shoal_worker.errors import ArtifactInvalid, DeadlinePassed
from shoal_worker.model import _measure_hard, build_model
from shoal_worker.store.cache import load_artifact
from shoal_worker.store.objects import open_store
from tests.unit.worker.harness import MACHINE, make_spec, make_table, train_table

FILES = train_table(make_table(), make_spec()).files
LIMIT = 1 << 20


def refitted(model: bytes, **changes: Any) -> ArtifactFiles:
    """An artifact around other model bytes whose every digest is right: what an attacker with the store can do."""
    manifest = json.loads(FILES.manifest)
    manifest["files"]["model.safetensors"] = {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    manifest.update(changes)
    return ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), model)


def with_header(header: Any, data: bytes = b"") -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content + data


def test_a_sound_artifact_gives_the_trained_numbers() -> None:
    artifact = verify_artifact(FILES, FILES.digest)
    reference = load(FILES.model)
    assert artifact.digest == digest_of(FILES.manifest)
    tensors = {**artifact.tensors.index, "probe_points": artifact.tensors.probes.numbers}
    tensors["probe_labels"] = artifact.tensors.probe_labels
    tensors["cluster_ids"] = artifact.tensors.cluster_ids
    assert artifact.tensors.ranges is not None
    assert np.array_equal(artifact.tensors.ranges.bounds, reference.pop("ranges"))
    assert tensors.keys() == reference.keys()
    for name, values in reference.items():
        assert np.array_equal(tensors[name], values)
        assert not tensors[name].flags.writeable
    assert artifact.manifest.to_bytes() == FILES.manifest


def test_the_manifest_is_canonical_and_timeless() -> None:
    again = train_table(make_table(), make_spec()).files
    assert again == FILES
    assert FILES.manifest == json.dumps(json.loads(FILES.manifest), sort_keys=True, separators=(",", ":")).encode()


def test_other_parameters_or_data_have_another_digest() -> None:
    other = make_spec(algorithm={"dbscan": {"eps": 0.81, "minSamples": 4}})
    assert train_table(make_table(), other).files.digest != FILES.digest
    assert train_table(make_table(202), make_spec()).files.digest != FILES.digest


@given(st.data())
@settings(deadline=None)
def test_no_flipped_bit_is_accepted(data: st.DataObject) -> None:
    which = data.draw(st.sampled_from(["manifest", "model"]))
    content = bytearray(getattr(FILES, which))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    changed = {"manifest": FILES.manifest, "model": FILES.model, which: bytes(content)}
    with pytest.raises(ArtifactInvalid):
        verify_artifact(ArtifactFiles(**changed), FILES.digest)


@given(st.data())
@settings(deadline=None)
def test_no_truncation_is_accepted(data: st.DataObject) -> None:
    which = data.draw(st.sampled_from(["manifest", "model"]))
    content = getattr(FILES, which)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(ArtifactInvalid):
        verify_artifact(ArtifactFiles(**{"manifest": FILES.manifest, "model": FILES.model, which: cut}), FILES.digest)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_under_right_digests_never_crashes(data: st.DataObject) -> None:
    """Even who can write digests gets either a refusal or a model of sane numbers, never a crash."""
    content = bytearray(FILES.model)
    # The header is where a lie could do harm.
    content[data.draw(st.integers(0, 600))] ^= 1 << data.draw(st.integers(0, 7))
    files = refitted(bytes(content))
    try:
        model = build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)
    except ArtifactInvalid:
        return
    assert model.predict(np.zeros((1, 2)), lambda: False).shape == (1,)


@given(st.binary(max_size=4096))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    files = refitted(content)
    with pytest.raises(ArtifactInvalid):
        verify_artifact(files, files.digest)


TENSOR = {"dtype": "F64", "shape": [1, 2], "data_offsets": [0, 16]}
HEADERS = {
    "no tensor": with_header({}),
    "length beyond the file": (1 << 40).to_bytes(8, "little") + b"{}",
    "length beyond the limit": with_header(b"{" + b" " * (1 << 17) + b"}"),
    "deep nesting": with_header(b"[" * 60_000),
    "not JSON": with_header(b"\x80\x04."),
    "huge shape": with_header({"t": {**TENSOR, "shape": [10**6, 10**6]}}),
    "overflowing shape": with_header({"t": {**TENSOR, "shape": [2**63, 2**63]}}),
    "negative shape": with_header({"t": {**TENSOR, "shape": [-1, -2]}}, b"\0" * 16),
    "fractional shape": with_header({"t": {**TENSOR, "shape": [0.5, 4]}}, b"\0" * 16),
    "many dimensions": with_header({"t": {**TENSOR, "shape": [1] * 1000}}, b"\0" * 8),
    "object dtype": with_header({"t": {**TENSOR, "dtype": "O"}}, b"\0" * 16),
    "offsets beyond the file": with_header({"t": {**TENSOR, "data_offsets": [1 << 30, (1 << 30) + 16]}}),
    "reversed offsets": with_header({"t": {**TENSOR, "data_offsets": [16, 0]}}, b"\0" * 16),
    "negative offsets": with_header({"t": {**TENSOR, "data_offsets": [-16, 0]}}, b"\0" * 16),
    "truncated data": with_header({"t": TENSOR}, b"\0" * 8),
    "trailing bytes": with_header({"t": TENSOR}, b"\0" * 24),
    "unknown field": with_header({"t": {**TENSOR, "code": "x"}}, b"\0" * 16),
    "metadata": with_header({"__metadata__": {"a": "b"}, "t": TENSOR}, b"\0" * 16),
    "a pickle": pickle.dumps({"t": 1}),
    "an npy file": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }" + b" " * 60,
    "a zip file": b"PK\x03\x04" + b"\0" * 60,
    "nothing": b"",
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_lying_header_is_refused(case: str) -> None:
    with pytest.raises(ArtifactInvalid):
        view_tensors(HEADERS[case], {"t": TensorSpec("F64", (1, 2))})


def test_overlapping_tensors_are_refused() -> None:
    header = with_header({"a": TENSOR, "b": TENSOR}, b"\0" * 16)
    with pytest.raises(ArtifactInvalid, match="offsets"):
        view_tensors(header, {"a": TensorSpec("F64", (1, 2)), "b": TensorSpec("F64", (1, 2))})


def test_numbers_that_make_no_model_are_refused() -> None:
    tensors = dict(load(FILES.model))
    for name, value in {"probe_points": np.inf, "labels": -1, "rows": 1 << 31, "meta": 1 << 40}.items():
        wrong = {key: array.copy() for key, array in tensors.items()}
        wrong[name].flat[0] = value
        files = refitted(save(wrong))
        with pytest.raises(ArtifactInvalid, match=r"the engine refuses|the preprocessing refuses"):
            build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)


def test_an_index_without_one_of_its_arrays_is_refused() -> None:
    tensors = dict(load(FILES.model))
    for name in sorted(set(tensors) - {"probe_points", "probe_labels", "ranges"}):
        fewer = {key: array for key, array in tensors.items() if key != name}
        records = json.loads(FILES.manifest)["tensors"]
        del records[name]
        files = refitted(save(fewer), tensors=records)
        with pytest.raises(ArtifactInvalid, match=name):
            build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)


def test_a_model_that_fails_its_probes_is_refused() -> None:
    tensors = {key: array.copy() for key, array in load(FILES.model).items()}
    tensors["probe_labels"][0] += 1
    files = refitted(save(tensors))
    artifact = verify_artifact(files, files.digest)
    with pytest.raises(ArtifactInvalid, match="1 of 33 probes") as error:
        build_model(artifact, name="blobs", version="1", machine=MACHINE)
    assert error.value.reason == "SelfTestFailed"


def test_parameters_that_the_engine_refuses_are_an_invalid_artifact() -> None:
    table = make_table(columns=("x", "y"))
    wide = Frame(tuple(Column(name=n, dtype="float64") for n in "abcd"), np.hstack([table.numbers, table.numbers]), {})
    files = train_table(wide, make_spec()).files
    manifest = json.loads(files.manifest)
    manifest["parameters"]["metric"] = "haversine"
    hostile = ArtifactFiles(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode(), files.model)
    with pytest.raises(ArtifactInvalid, match="the engine refuses"):
        build_model(verify_artifact(hostile, hostile.digest), name="blobs", version="1", machine=MACHINE)


def test_an_artifact_of_the_first_format_is_refused_with_the_remedy() -> None:
    files = refitted(FILES.model, formatVersion=1)
    with pytest.raises(ArtifactInvalid, match=r"format 3 only \(got 1\)\. Train the model again"):
        verify_artifact(files, files.digest)


TENSORS = json.loads(FILES.manifest)["tensors"]
MANIFESTS = {
    "another format": {"formatVersion": 4},
    "another kind": {"kind": "pickle"},
    "the other kind": {"kind": "adaptiveDbscan"},
    "the other kind's parameters": {
        "kind": "adaptiveDbscan",
        "parameters": {"minSamples": 4, "minClusterSize": 5, "metric": "euclidean"},
    },
    "an unknown field": {"hook": "os.system"},
    "eps of zero": {"parameters": {"eps": 0, "minSamples": 4, "metric": "euclidean"}},
    "an unknown metric": {"parameters": {"eps": 1, "minSamples": 4, "metric": "../../etc"}},
    "no columns": {"schema": {"columns": []}},
    "more columns than the tensors": {"schema": {"columns": [{"name": n, "dtype": "float64"} for n in "xyz"]}},
    "a path for a file name": {"files": {"../../etc/passwd": {"bytes": 1, "sha256": "0" * 64}}},
    "no probes": {"probe": {"count": 0}},
    "huge tensors": {
        "tensors": {
            **TENSORS,
            "points": {"dtype": "F64", "shape": [2 * 10**9]},
            "labels": {"dtype": "I32", "shape": [10**9]},
        }
    },
    "a tensor too many": {"tensors": {**TENSORS, "more": {"dtype": "F64", "shape": [1]}}},
    "a tensor named as a path": {"tensors": {**TENSORS, "../x": {"dtype": "F64", "shape": [1]}}},
    "a hundred tensors": {"tensors": {**TENSORS, **{f"t{n}": {"dtype": "F64", "shape": [1]} for n in range(100)}}},
    "a tensor of objects": {"tensors": {**TENSORS, "points": {"dtype": "O", "shape": [2]}}},
    "probes of another width": {"tensors": {**TENSORS, "probe_points": {"dtype": "F64", "shape": [33, 3]}}},
    "probe labels that are floats": {"tensors": {**TENSORS, "probe_labels": {"dtype": "F64", "shape": [33]}}},
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_manifest_that_lies_under_its_right_digest_is_refused(case: str) -> None:
    files = refitted(FILES.model, **MANIFESTS[case])
    with pytest.raises(ArtifactInvalid):
        verify_artifact(files, files.digest)


def test_a_deeply_nested_manifest_is_refused() -> None:
    files = ArtifactFiles(b"[" * 100_000, FILES.model)
    with pytest.raises(ArtifactInvalid):
        verify_artifact(files, files.digest)


def backing(view: np.ndarray) -> object:
    """What an array's numbers lie in, in the end."""
    base: Any = view
    while isinstance(base, np.ndarray | memoryview):
        base = base.obj if isinstance(base, memoryview) else base.base
    return base


class TestCache:
    """Loading through the local copy."""

    def _load(self, root: Path, uri: str | None = None, limit: int = LIMIT) -> Any:
        store, location = open_store(
            uri or f"file://{root}/artifacts/{directory_name(FILES.digest)}",
            field="artifact.uri",
            secret_dir=root / "no-secret",
            file_root=root,
        )
        return load_artifact(store, location, FILES.digest, cache_dir=root / "cache", limit=limit, machine=MACHINE)

    def test_the_store_is_not_needed_twice(self, stored: Path, tmp_path: Path) -> None:
        first = self._load(tmp_path)
        for file in stored.iterdir():
            file.unlink()
        assert self._load(tmp_path).manifest == first.manifest

    def test_a_small_index_is_read(self, stored: Path, tmp_path: Path) -> None:
        for _ in ("from the store", "from the copy"):
            views = self._load(tmp_path).tensors.index.values()
            assert all(isinstance(backing(view), bytes) for view in views)

    def test_a_large_index_is_used_where_the_copy_lies(
        self, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shoal_engine._plan._BYTES_TO_MAP", 0)
        for _ in ("from the store", "from the copy"):
            views = self._load(tmp_path).tensors.index.values()
            assert all(isinstance(backing(view), mmap) for view in views)

    def test_the_copy_may_be_replaced_while_it_is_used(self, stored: Path, tmp_path: Path) -> None:
        artifact = self._load(tmp_path)
        copy = tmp_path / "cache" / stored.name / "model.safetensors"
        other = copy.with_suffix(".other")
        other.write_bytes(b"rubbish")
        other.replace(copy)
        assert build_model(artifact, name="m", version="1", machine=MACHINE).clusters == 2

    def test_no_copy_keeps_its_name_unverified(self, stored: Path, tmp_path: Path) -> None:
        (stored / "model.safetensors").write_bytes(FILES.model[:-1] + b"x")
        with pytest.raises(ArtifactInvalid, match="does not match"):
            self._load(tmp_path)
        assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]

    def test_an_empty_model_is_refused(self, stored: Path, tmp_path: Path) -> None:
        (stored / "model.safetensors").write_bytes(b"")
        with pytest.raises(ArtifactInvalid, match="does not match"):
            self._load(tmp_path)

    def test_a_full_disk_costs_memory_only(self, stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class FullDisk(io.BytesIO):
            def write(self, *_: object) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("shoal_worker.store.cache.os.fdopen", lambda *_: FullDisk())
        artifact = self._load(tmp_path)
        assert all(isinstance(backing(view), bytes) for view in artifact.tensors.index.values())
        assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]

    def test_a_corrupt_copy_is_fetched_anew(self, stored: Path, tmp_path: Path) -> None:
        self._load(tmp_path)
        copy = tmp_path / "cache" / stored.name / "model.safetensors"
        copy.write_bytes(b"rubbish")
        assert self._load(tmp_path).digest == FILES.digest
        assert copy.read_bytes() == FILES.model

    def test_a_copy_that_cannot_be_written_stops_nothing(self, stored: Path, tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("in the way")
        assert self._load(tmp_path).digest == FILES.digest

    def test_a_missing_artifact_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactInvalid) as error:
            self._load(tmp_path)
        assert error.value.reason == "ArtifactMissing"

    def test_a_stale_manifest_is_refused(self, stored: Path, tmp_path: Path) -> None:
        (stored / "manifest.json").write_bytes(refitted(b"other").manifest)
        with pytest.raises(ArtifactInvalid, match="digest does not match"):
            self._load(tmp_path)

    def test_nothing_beyond_the_limits_is_read(self, stored: Path, tmp_path: Path) -> None:
        with pytest.raises(ArtifactInvalid, match="more than the limit"):
            self._load(tmp_path, limit=100)
        (stored / "manifest.json").write_bytes(b" " * (MANIFEST_LIMIT + 1))
        with pytest.raises(Exception, match="more than the limit"):
            self._load(tmp_path)

    def test_an_attacker_with_the_store_cannot_name_other_files(self, tmp_path: Path) -> None:
        files = refitted(FILES.model, files={"../secret": {"bytes": 6, "sha256": "0" * 64}})
        directory = tmp_path / "artifacts" / "evil"
        directory.mkdir(parents=True)
        (directory / "manifest.json").write_bytes(files.manifest)
        store, location = open_store(
            f"file://{directory}", field="artifact.uri", secret_dir=tmp_path, file_root=tmp_path
        )
        with pytest.raises(ArtifactInvalid, match="files"):
            load_artifact(store, location, files.digest, cache_dir=tmp_path / "cache", limit=LIMIT, machine=MACHINE)


def test_slow_models_look_often_whether_the_answer_is_still_wanted(
    files: ArtifactFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal_worker.model._measure", lambda *_: 0.001)
    model = build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)
    assert model.batch_rows == 50
    looks = iter([False] * 3 + [True])
    with pytest.raises(DeadlinePassed):
        model.predict(np.zeros((1000, 2)), lambda: next(looks))
    assert next(looks, None) is None


def test_rows_that_may_be_hard_are_labelled_a_few_at_first(
    files: ArtifactFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal_worker.model._measure_hard", lambda *_: 0.005)
    model = build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)
    assert (model.first_rows, model.loop_rows) == (10, 1)
    looks: list[int] = []
    points = np.random.default_rng(0).normal(5.0, 5.0, (3000, 2))
    labels = model.predict(points, lambda: bool(looks.append(1)))
    # At most four times as many from one look to the next, and the same labels however they are cut.
    assert len(looks) >= 5
    np.testing.assert_array_equal(labels, model.predictor.predict(points))


def test_extreme_probes_can_be_made_into_hard_rows() -> None:
    rows = np.array([[-1.7e308], [1.7e308], [0.0]])
    assert _measure_hard(Predictor(rows, np.zeros(3, dtype=np.int32), 1.0), rows) > 0

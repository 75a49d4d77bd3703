"""A training leaves an artifact and a report, or a report that says what to change; exit codes tell which."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from shoal_worker.artifact.files import Artifact, ArtifactFiles, verify_artifact
from shoal_worker.artifact.manifest import Column
from shoal_worker.data.frame import Frame
from shoal_worker.errors import SettingsInvalid, WorkerError
from shoal_worker.job import PERMANENT, SUCCESS, TRANSIENT
from shoal_worker.model import Model, build_model
from shoal_worker.models.record import ModelKey
from shoal_worker.models.store import ModelStore
from shoal_worker.report import REPORT_LIMIT, encode_report, failure_report
from shoal_worker.settings import TrainSettings
from shoal_worker.spec.training import parse_spec
from shoal_worker.store.objects import open_store
from shoal_worker.training.job import train
from tests.unit.worker.harness import MACHINE, make_spec, make_table, train_table

TESTS = ("basicFunctionality", "parameterValidation", "edgeCases", "performance", "memory", "reproducibility")


class TestModel:
    def test_the_served_labels_are_those_of_the_fit(self) -> None:
        table = make_table(400)
        trained = train_table(table, make_spec())
        model = build_model(
            verify_artifact(trained.files, trained.files.digest), name="m", version="1", machine=MACHINE
        )
        reference = DBSCAN(eps=0.8, min_samples=4).fit(table.numbers)
        cores = reference.core_sample_indices_
        labels = model.predict(table.numbers, lambda: False)
        assert np.array_equal(labels[cores], reference.labels_[cores])
        assert np.array_equal(labels == -1, reference.labels_ == -1)

    def test_the_metrics_are_those_of_the_data(self) -> None:
        trained = train_table(make_table(), make_spec())
        assert trained.metrics.rows == 201
        assert trained.metrics.clusters == 2
        assert trained.metrics.noise_ratio == pytest.approx(1 / 201)
        assert 0.8 < (trained.metrics.silhouette or 0) < 1
        assert trained.validation.verdict == "pass"
        assert 0.8 < (trained.metrics.dbcv or 0) < 1
        assert [test.name for test in trained.validation.tests] == [*TESTS, "minClusters"]

    @pytest.mark.parametrize("eps", [1e-9, 1e-3])
    def test_all_noise_is_a_model_that_fails_its_validation(self, eps: float) -> None:
        trained = train_table(make_table(), make_spec(algorithm={"dbscan": {"eps": eps, "minSamples": 4}}))
        assert trained.validation.verdict == "fail"
        assert trained.metrics.silhouette is None
        artifact = verify_artifact(trained.files, trained.files.digest)
        model = build_model(artifact, name="m", version="1", machine=MACHINE)
        assert model.predict(np.zeros((2, 2)), lambda: False).tolist() == [-1, -1]

    @pytest.mark.parametrize(
        ("limits", "failing"),
        [
            ({"minClusters": 3}, "minClusters"),
            ({"maxClusters": 1}, "maxClusters"),
            ({"maxNoiseRatio": 0.001}, "maxNoiseRatio"),
            ({"minSilhouette": 0.999}, "minSilhouette"),
            ({"minClusters": 2, "maxClusters": 2, "maxNoiseRatio": 0.01, "minSilhouette": 0.5}, None),
        ],
    )
    def test_limits_are_judged(self, limits: dict[str, Any], failing: str | None) -> None:
        trained = train_table(make_table(), make_spec(validation=limits))
        assert [test.name for test in trained.validation.tests if test.verdict == "fail"] == (
            [failing] if failing else []
        )
        assert trained.validation.verdict == ("fail" if failing else "pass")
        assert all("wanted" in test.message for test in trained.validation.tests if test.name not in TESTS)

    @pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "cosine", "haversine"])
    def test_every_metric_trains_and_passes_its_self_test(self, metric: str) -> None:
        random = np.random.default_rng(1)
        points = random.uniform(-1, 1, (300, 2))
        table = Frame((Column(name="lat", dtype="float64"), Column(name="lon", dtype="float64")), points, {})
        spec = make_spec(algorithm={"dbscan": {"eps": 0.05, "minSamples": 4, "metric": metric}})
        files = train_table(table, spec).files
        build_model(verify_artifact(files, files.digest), name="m", version="1", machine=MACHINE)

    def test_haversine_teaches_radians_and_two_columns(self) -> None:
        spec = make_spec(algorithm={"dbscan": {"eps": 0.01, "metric": "haversine"}})
        columns = (Column(name="lat", dtype="float64"), Column(name="lon", dtype="float64"))
        with pytest.raises(SettingsInvalid, match="radians") as error:
            train_table(Frame(columns, np.array([[50.7, 7.1], [59.9, 10.7]]), {}), spec)
        assert error.value.reason == "DataInvalid"
        with pytest.raises(SettingsInvalid, match="two columns"):
            train_table(Frame(columns[:1], np.zeros((3, 1)), {}), spec)

    def test_an_index_that_cannot_go_with_the_data_is_told_by_its_field(self) -> None:
        spec = make_spec(algorithm={"dbscan": {"eps": 0.1, "metric": "cosine"}}, plan={"index": "grid"})
        with pytest.raises(SettingsInvalid, match="use index='auto'") as error:
            train_table(make_table(), spec)
        assert error.value.field == "spec.training.plan.index"

    def test_a_fit_that_cannot_end_in_time_is_refused_before_it_starts(self) -> None:
        points = np.random.default_rng(0).random((20_000, 16))
        table = Frame(tuple(Column(name=f"c{number}", dtype="float64") for number in range(16)), points, {})
        wide = {"dbscan": {"eps": 1.2, "minSamples": 15_000}}
        with pytest.raises(SettingsInvalid, match="distance computations") as refused:
            train_table(table, make_spec(algorithm=wide, deadlineSeconds=0.001))
        assert refused.value.field == "spec.algorithm.dbscan.eps"
        assert "activeDeadlineSeconds" in refused.value.remedy

    def test_hostile_data_is_only_data(self) -> None:
        columns = (Column(name="x", dtype="float64"),)
        for points in (np.zeros((2000, 1)), np.full((10, 1), 1e308), np.array([[-1.7e308], [1.7e308]])):
            for eps in (5e-324, 1.0, 1e300):
                spec = make_spec(algorithm={"dbscan": {"eps": eps, "minSamples": 1_000_000}})
                assert train_table(Frame(columns, points, {}), spec).metrics.clusters == 0


class TestSpec:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"algorithm": {"dbscan": {"eps": 0}}}, "spec.algorithm.dbscan.eps"),
            ({"algorithm": {"dbscan": {"eps": -1}}}, "spec.algorithm.dbscan.eps"),
            ({"algorithm": {"dbscan": {"eps": 1e308}}}, "spec.algorithm.dbscan.eps"),
            ({"algorithm": {"dbscan": {"eps": float("nan")}}}, "spec.algorithm.dbscan.eps"),
            ({"algorithm": {"dbscan": {"eps": 1, "minSamples": 2**31}}}, "spec.algorithm.dbscan.minSamples"),
            ({"algorithm": {"dbscan": {"eps": 1, "metric": "minkowski"}}}, "spec.algorithm.dbscan.metric"),
            ({"algorithm": {}}, "spec.algorithm"),
            ({"algorithm": {"dbscan": {"eps": 1}, "adaptiveDbscan": {}}}, "spec.algorithm"),
            ({"algorithm": {"adaptiveDbscan": {"eps": 1}}}, "spec.algorithm.adaptiveDbscan.eps"),
            ({"algorithm": {"adaptiveDbscan": {"minSamples": 0}}}, "spec.algorithm.adaptiveDbscan.minSamples"),
            ({"algorithm": {"adaptiveDbscan": {"minClusterSize": 1}}}, "spec.algorithm.adaptiveDbscan.minClusterSize"),
            ({"plan": {"index": "ball"}}, "spec.training.plan.index"),
            ({"plan": {"threads": 0}}, "spec.training.plan.threads"),
            ({"source": {"uri": "s3://b/a.csv", "columns": []}}, "spec.source.columns"),
            ({"source": {"uri": "s3://b/a.csv", "delimiter": ";"}}, "spec.source.delimiter"),
            ({"validation": {"maxNoiseRatio": 2}}, "spec.validation.maxNoiseRatio"),
            ({"storeUri": None}, "storeUri"),
        ],
    )
    def test_a_wrong_field_is_named_as_the_user_knows_it(self, change: dict[str, Any], field: str) -> None:
        fields = {**make_spec().model_dump(by_alias=True, mode="json"), **change}
        with pytest.raises(SettingsInvalid) as error:
            parse_spec(json.dumps(fields))
        assert error.value.field == field
        assert error.value.reason == "ParametersInvalid"

    def test_what_the_operator_sends_is_understood(self) -> None:
        fields = make_spec().model_dump(by_alias=True, mode="json")
        fields["source"] |= {"secretRef": {"name": "store"}, "format": None, "columns": None}
        fields["futureField"] = 1
        dbscan = parse_spec(json.dumps(fields)).algorithm.dbscan
        assert dbscan is not None
        assert dbscan.eps == 0.8

    @pytest.mark.parametrize("text", ["{}", "nonsense", "[" * 5000, '{"name": 3}'])
    def test_nonsense_is_refused(self, text: str) -> None:
        with pytest.raises(SettingsInvalid):
            parse_spec(text)


@pytest.fixture
def run_training(tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run the verb in process against a file store; return exit code and report."""
    rows = "\n".join(f"{x},{y}" for x, y in make_table().numbers)
    (tmp_path / "blobs.csv").write_text(f"x,y\n{rows}\n")

    def run(**changes: Any) -> tuple[int, dict[str, Any]]:
        fields = {
            "name": "blobs",
            "namespace": "default",
            "source": {"uri": f"file://{tmp_path}/blobs.csv"},
            "algorithm": {"dbscan": {"eps": 0.8, "minSamples": 4}},
            "storeUri": f"file://{tmp_path}",
            **changes,
        }
        arguments: dict[str, Any] = {
            "training_spec": json.dumps(fields),
            "file_root": tmp_path,
            "report_path": tmp_path / "report.json",
            "store_secret_dir": tmp_path / "store-secret",
            "source_secret_dir": tmp_path / "source-secret",
        }
        code = train(TrainSettings(**arguments))
        content = (tmp_path / "report.json").read_bytes()
        assert len(content) <= REPORT_LIMIT
        return code, json.loads(content)

    return run


Run = Callable[..., tuple[int, dict[str, Any]]]


NOTHING: dict[str, Any] = {"rows": 0, "problem": "", "events": []}


def load(root: Path, report: dict[str, Any]) -> Artifact:
    """The stored artifact of a report."""
    directory = root / "artifacts" / report["artifact"]["digest"].replace(":", "-")
    files = ArtifactFiles((directory / "manifest.json").read_bytes(), (directory / "model.safetensors").read_bytes())
    return verify_artifact(files, report["artifact"]["digest"])


def ids_at(model: Model, places: np.ndarray) -> list[int]:
    """Public ids of some points."""
    ids: list[int] = model.public_ids(model.predict(places, lambda: False)).tolist()
    return ids


def make_wide_model(run_training: Run, root: Path) -> dict[str, str]:
    """Train a version with one cluster where later there are two; return its uri and digest."""
    random = np.random.default_rng(4)
    parts = [random.uniform((-2.0, -0.6), (2.0, 0.6), (400, 2)), random.normal((10.0, 10.0), 0.3, (100, 2))]
    rows = "\n".join(f"{x},{y}" for x, y in np.concatenate(parts))
    (root / "blobs.csv").write_text(f"x,y\n{rows}\n")
    report = run_training(trainingHash="wide")[1]
    assert (report["version"], report["metrics"]["clusters"]) == (2, 2)
    return {name: report["artifact"][name] for name in ("uri", "digest")}


class TestVerb:
    def test_success_leaves_a_loadable_artifact_and_a_report(self, run_training: Run, tmp_path: Path) -> None:
        code, report = run_training(validation={"minClusters": 2})
        assert code == SUCCESS
        directory = tmp_path / "artifacts" / report["artifact"]["digest"].replace(":", "-")
        assert report["artifact"]["uri"] == f"file://{directory}"
        files = ArtifactFiles(
            (directory / "manifest.json").read_bytes(), (directory / "model.safetensors").read_bytes()
        )
        assert files.size == report["artifact"]["bytes"]
        verify_artifact(files, report["artifact"]["digest"])
        assert report["outcome"] == "Succeeded"
        assert report["schema"] == {"columns": [{"name": "x", "dtype": "float64"}, {"name": "y", "dtype": "float64"}]}
        assert set(report["metrics"]) == {
            "rows",
            "clusters",
            "noiseRatio",
            "coreSamples",
            "silhouette",
            "dbcv",
            "fitSeconds",
        }
        assert report["validation"]["verdict"] == "pass"
        assert report["frameworkVersions"]["shoal-engine"]
        assert report["plan"]["index"] == "grid"
        assert set(report["plan"]["reasons"]) >= {"index", "threads", "batchRows", "memoryMap"}

    def test_the_plan_tells_what_the_user_decided(self, run_training: Run) -> None:
        first = run_training()[1]
        baseline = {"version": 1, **{name: first["artifact"][name] for name in ("uri", "digest")}}
        code, report = run_training(plan={"index": "tree", "threads": 3}, baseline=baseline)
        assert code == SUCCESS
        assert (report["plan"]["index"], report["plan"]["threads"]) == ("tree", 3)
        assert report["plan"]["reasons"]["threads"] == "spec.training.plan.threads"
        assert report["artifact"] == first["artifact"], "a plan changes no label"

    def test_a_search_is_reported_with_its_best_trials(self, run_training: Run, tmp_path: Path) -> None:
        code, report = run_training(algorithm={"dbscan": {"search": {"minSamples": {"min": 3, "max": 9}}}})
        assert code == SUCCESS
        assert report["search"]["trials"] == 40
        best = report["search"]["best"][0]
        found = {"eps": best["eps"], "minSamples": best["minSamples"], "metric": "euclidean"}
        assert report["algorithm"] == {"dbscan": found}
        directory = tmp_path / "artifacts" / report["artifact"]["digest"].replace(":", "-")
        assert len(json.loads((directory / "manifest.json").read_bytes())["search"]["best"]) == 20

    def test_a_repetition_writes_the_same_artifact(self, run_training: Run) -> None:
        first, second = run_training()[1], run_training()[1]
        assert first["artifact"] == second["artifact"]

    def test_clusters_keep_their_ids_over_versions(self, run_training: Run, tmp_path: Path) -> None:
        """The second data have the rows in another order, one cluster in two parts, and one more."""
        first = run_training()[1]
        assert first["identity"] == {"kept": 0, "born": 2, "died": 0, "split": 0, "merged": 0, "nextId": 2, **NOTHING}
        random = np.random.default_rng(3)
        centres = [(10.0, 10.0), (1.2, 0.0), (-1.2, 0.0), (20.0, 0.0)]
        sizes = [100, 70, 50, 80]
        parts = [random.normal(centre, 0.2, (size, 2)) for centre, size in zip(centres, sizes, strict=True)]
        rows = "\n".join(f"{x},{y}" for x, y in np.concatenate(parts))
        wide = make_wide_model(run_training, tmp_path)
        (tmp_path / "blobs.csv").write_text(f"x,y\n{rows}\n")
        code, report = run_training(trainingHash="third", baseline={"version": 2, **wide})
        assert code == SUCCESS
        told = report["identity"]
        assert (told["kept"], told["born"], told["died"], told["split"]) == (2, 2, 0, 1)
        (split,) = [event for event in told["events"] if event["kind"] == "Split"]
        assert [portion["share"] for portion in split["portions"]] == pytest.approx([70 / 120, 50 / 120], abs=0.02)
        assert split["portions"][0]["cluster"] == split["cluster"]
        artifact = load(tmp_path, report)
        model = build_model(artifact, name="m", version="3", machine=MACHINE)
        earlier = build_model(load(tmp_path, {"artifact": wide}), name="m", version="2", machine=MACHINE)
        places = np.array(centres)
        before, after = ids_at(earlier, places), ids_at(model, places)
        assert before[0] == after[0], "the cluster that stayed where it was"
        assert before[1] == before[2] == after[1], "the larger part of the one that broke"
        assert before[3] == -1
        assert min(after[2], after[3]) >= told["nextId"] - 2 >= 2, "ids that were never used"

    def test_a_lost_version_costs_the_ids_only(self, run_training: Run, tmp_path: Path) -> None:
        first = run_training()[1]
        baseline = {"version": 1, "uri": f"file://{tmp_path}/artifacts/none", "digest": "sha256:" + "0" * 64}
        code, report = run_training(trainingHash="second", baseline=baseline)
        assert code == SUCCESS
        assert report["identity"]["baseline"] == 1
        assert "not in the store" in report["identity"]["problem"]
        artifact = load(tmp_path, report)
        assert artifact.tensors.cluster_ids.tolist() == [2, 3], "not those that are in use"
        assert load(tmp_path, first).tensors.cluster_ids.tolist() == [0, 1]

    def test_a_failed_validation_is_a_success_with_a_verdict(self, run_training: Run) -> None:
        code, report = run_training(validation={"minClusters": 9})
        assert code == SUCCESS
        assert report["validation"]["verdict"] == "fail"
        assert report["validation"]["tests"][len(TESTS)] == {
            "name": "minClusters",
            "verdict": "fail",
            "message": "measured 2, wanted >= 9",
            "figures": {"clusters": 2},
            "limits": {"minClusters": 9},
        }

    @pytest.mark.parametrize(
        ("source", "reason", "field"),
        [
            ({"uri": "file://{root}/none.csv"}, "SourceUnreadable", "spec.source.uri"),
            ({"uri": "file:///etc/passwd", "format": "csv"}, "ParametersInvalid", "spec.source.uri"),
            ({"uri": "ftp://host/a.csv"}, "ParametersInvalid", "spec.source.uri"),
            ({"uri": "file://{root}/blobs.csv", "columns": ["x", "lon"]}, "ColumnMissing", "spec.source.columns"),
            ({"uri": "file://{root}/blobs.csv", "format": "parquet"}, "SourceFormatInvalid", "spec.source.uri"),
        ],
    )
    def test_a_source_that_must_change_is_permanent(
        self, run_training: Run, tmp_path: Path, source: dict[str, Any], reason: str, field: str
    ) -> None:
        source["uri"] = source["uri"].replace("{root}", str(tmp_path))
        code, report = run_training(source=source)
        assert code == PERMANENT
        assert report["outcome"] == "Failed"
        assert (report["reason"], report["field"], report["transient"]) == (reason, field, False)
        assert report["message"]
        assert report["remedy"]

    @pytest.mark.parametrize("which", ["source", "store"])
    def test_an_unreachable_store_is_transient(
        self, run_training: Run, tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        changes = {"source": {"source": {"uri": "s3://b/a.csv"}}, "store": {"storeUri": "s3://b"}}[which]
        code, report = run_training(**changes)
        assert code == TRANSIENT
        assert report["transient"] is True
        assert report["reason"] == {"source": "SourceUnreadable", "store": "StoreUnavailable"}[which]
        assert not (tmp_path / "artifacts").exists()

    def test_a_bug_is_told_and_retried(self, run_training: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("surprise")

        monkeypatch.setattr("shoal_worker.training.outcome.train_model", fail)
        code, report = run_training()
        assert (code, report["reason"]) == (TRANSIENT, "TrainingFailed")

    def test_exhausted_memory_is_not_retried(self, run_training: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr("shoal_worker.training.outcome.train_model", fail)
        assert run_training()[0] == PERMANENT


class TestProcess:
    """The console script, as a Job starts it."""

    def _run(self, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shoal_worker", *arguments],
            env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_an_unreachable_store_is_reported_and_not_waited_for(self, tmp_path: Path) -> None:
        fields = make_spec(source={"uri": "s3://b/a.parquet"}, storeUri="s3://b").model_dump(by_alias=True, mode="json")
        started = time.monotonic()
        done = self._run(
            {
                "SHOAL_TRAINING_SPEC": json.dumps(fields),
                "SHOAL_REPORT_PATH": str(tmp_path / "report"),
                "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
                "AWS_ALLOW_HTTP": "true",
            },
            "train",
        )
        assert done.returncode == TRANSIENT
        assert json.loads((tmp_path / "report").read_text())["reason"] == "SourceUnreadable"
        # Not after the minutes that retries would take; how busy the machine is decides the rest.
        assert time.monotonic() - started < 30
        assert json.loads(done.stderr.splitlines()[-1])["event"] == "training failed"

    def test_sigterm_ends_a_fit_at_once_with_a_report(self, tmp_path: Path) -> None:
        points = np.random.default_rng(1).uniform(size=(100_000, 48))
        table = pa.table({f"c{column}": points[:, column] for column in range(48)})
        pq.write_table(table, tmp_path / "noise.parquet")
        spec = make_spec(
            source={"uri": f"file://{tmp_path}/noise.parquet"},
            algorithm={"dbscan": {"eps": 1.5, "minSamples": 50}},
            storeUri=f"file://{tmp_path}",
        )
        environment = {
            "PATH": "/usr/bin:/bin",
            "SHOAL_TRAINING_SPEC": spec.model_dump_json(by_alias=True),
            "SHOAL_FILE_ROOT": str(tmp_path),
            "SHOAL_REPORT_PATH": str(tmp_path / "report"),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "shoal_worker", "train"], env=environment, stderr=subprocess.PIPE, text=True
        ) as training:
            assert training.stderr
            for line in training.stderr:
                if json.loads(line)["event"] == "fitting":
                    break
            training.send_signal(signal.SIGTERM)
            assert training.wait(timeout=10) == TRANSIENT
        report = json.loads((tmp_path / "report").read_text())
        assert "SIGTERM" in report["message"]
        assert report["transient"] is True

    @pytest.mark.parametrize("verb", ["serve", "train"])
    def test_a_missing_variable_is_named(self, tmp_path: Path, verb: str) -> None:
        done = self._run({"SHOAL_REPORT_PATH": str(tmp_path / "report")}, verb)
        assert done.returncode == PERMANENT
        missing = {"serve": "SHOAL_MODEL_NAME", "train": "SHOAL_TRAINING_SPEC"}[verb]
        assert missing in done.stderr
        assert json.loads((tmp_path / "report").read_text())["field"] == missing

    def test_help_lists_verbs_variables_and_examples(self) -> None:
        done = self._run({}, "--help")
        assert done.returncode == 0
        for text in ("serve", "train", "examples", "SHOAL_ARTIFACT_DIGEST", "SHOAL_TRAINING_SPEC"):
            assert text in done.stdout


class TestReport:
    @given(st.text(max_size=20_000), st.text(max_size=20_000), st.text(max_size=20_000))
    @settings(deadline=None)
    def test_a_failure_fits_whatever_it_holds(self, message: str, value: str, remedy: str) -> None:
        error = WorkerError(message, field="spec.source.uri", value=value, remedy=remedy)
        content = encode_report(failure_report(error))
        assert len(content) <= REPORT_LIMIT
        assert json.loads(content)["field"] == "spec.source.uri"

    @given(st.integers(1, 256), st.text(st.characters(codec="utf-8"), min_size=1, max_size=256), st.integers(0, 1000))
    @settings(deadline=None)
    def test_a_success_with_many_columns_and_reasons_fits(self, count: int, name: str, length: int) -> None:
        report = {
            "outcome": "Succeeded",
            "artifact": {"uri": "s3://" + "b" * 1100, "digest": "sha256:" + "0" * 64, "bytes": 1},
            "schema": {"columns": [{"name": name, "dtype": "float64"}] * count},
            "plan": {
                "index": "grid",
                "threads": 2,
                "reasons": {f"choice{number}": "w" * length for number in range(7)},
            },
        }
        content = encode_report(report)
        assert len(content) <= REPORT_LIMIT
        told = json.loads(content)
        assert told["artifact"] == report["artifact"]
        assert told["plan"]["index"] == "grid"
        columns = told["schema"]["columns"]
        assert columns == report["schema"]["columns"][: len(columns)]  # type: ignore[index]
        assert told["schema"].get("truncated", False) == (len(columns) < count)

    @given(st.lists(st.sampled_from(["pass", "fail", "warn"]), max_size=14), st.integers(0, 1000), st.integers(0, 20))
    @settings(deadline=None)
    def test_a_success_with_many_tests_and_trials_fits(self, verdicts: list[str], length: int, trials: int) -> None:
        figures = {f"figureNumber{number}": 0.123456 for number in range(8)}
        tests = [
            {"name": f"test{number}", "verdict": verdict, "message": "m" * length, "figures": figures}
            for number, verdict in enumerate(verdicts)
        ]
        report = {
            "outcome": "Succeeded",
            "artifact": {"uri": "s3://" + "b" * 300, "digest": "sha256:" + "0" * 64, "bytes": 1},
            "schema": {"columns": [{"name": "x", "dtype": "float64"}]},
            "validation": {"verdict": "fail", "tests": tests, "warnings": ["w" * length] * len(tests)},
            "search": {"objective": "dbcv", "best": [{"eps": 0.123456, "minSamples": 5, "score": 0.5}] * trials},
        }
        given = json.dumps(report)
        content = encode_report(report)
        assert len(content) <= REPORT_LIMIT
        assert json.dumps(report) == given, "the full report goes to the store"
        told = json.loads(content)["validation"]["tests"]
        assert [test["name"] for test in told] == [test["name"] for test in tests], "each verdict is told"
        for short, full in zip(told, tests, strict=True):
            assert short["verdict"] == full["verdict"]
            assert full["message"].startswith(short["message"].removesuffix("..."))


class TestVersions:
    """What a Job stores of the version that it makes; `shoal_worker.models` has the rest."""

    @staticmethod
    def run(tmp_path: Path, **changes: Any) -> dict[str, Any]:
        rows = make_table()
        pq.write_table(pa.table({"x": rows.numbers[:, 0], "y": rows.numbers[:, 1]}), tmp_path / "blobs.parquet")
        told = {
            "name": "blobs",
            "namespace": "fish",
            "source": {"uri": f"file://{tmp_path}/blobs.parquet"},
            "algorithm": {"dbscan": {"eps": 0.8, "minSamples": 4}},
            "storeUri": f"file://{tmp_path}",
            "trainingHash": "1a2b3c4d",
            "labels": {"team": "maps"},
            **changes,
        }
        settings = TrainSettings(
            training_spec=json.dumps(told),
            file_root=tmp_path,
            store_secret_dir=tmp_path / "none",
            source_secret_dir=tmp_path / "none",
            report_path=tmp_path / "report.json",
        )
        assert train(settings) == SUCCESS
        report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
        return report

    def test_a_training_run_again_reports_the_same_version(self, tmp_path: Path) -> None:
        first = self.run(tmp_path)
        assert first["version"] == 1
        assert self.run(tmp_path) == first

    def test_another_training_gets_the_next_number(self, tmp_path: Path) -> None:
        self.run(tmp_path)
        assert self.run(tmp_path, trainingHash="other")["version"] == 2
        assert self.run(tmp_path, trainingHash="other", modelUid="of-a-new-model")["version"] == 3
        assert self.run(tmp_path, after=7)["version"] == 8

    def test_data_that_gives_the_last_good_version_once_more_gets_no_number(self, tmp_path: Path) -> None:
        first = self.run(tmp_path)
        baseline = {"version": 1, **{name: first["artifact"][name] for name in ("uri", "digest")}}
        again = self.run(tmp_path, trainingHash="tuesday", baseline=baseline)
        assert (again["version"], again["artifact"]) == (1, first["artifact"])
        other = self.run(
            tmp_path, trainingHash="other", baseline=baseline, algorithm={"dbscan": {"eps": 0.7, "minSamples": 4}}
        )
        assert other["version"] == 2

    def test_a_verdict_that_changed_is_recorded_though_the_model_is_the_same(self, tmp_path: Path) -> None:
        first = self.run(tmp_path)
        baseline = {"version": 1, **{name: first["artifact"][name] for name in ("uri", "digest")}}
        again = self.run(tmp_path, trainingHash="strict", baseline=baseline, validation={"minClusters": 99})
        assert (again["version"], again["validation"]["verdict"]) == (2, "fail")

    def test_the_record_has_what_was_reported(self, tmp_path: Path) -> None:
        report = self.run(tmp_path)
        store, base = open_store(f"file://{tmp_path}", field="s", secret_dir=tmp_path / "none", file_root=tmp_path)
        record = ModelStore(store, base, limit=1 << 30).record(ModelKey("fish", "blobs"), 1)
        assert record.labels == {"team": "maps"}
        assert record.training_hash == "1a2b3c4d"
        assert {name: record.report[name] for name in ("metrics", "artifact", "algorithm", "frameworkVersions")} == {
            name: report[name] for name in ("metrics", "artifact", "algorithm", "frameworkVersions")
        }

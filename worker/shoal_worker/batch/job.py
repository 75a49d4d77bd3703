"""One step of a batch as a Kubernetes Job: plan, one shard, or finish; run by `__main__`.

Invariant: a step that was done is found done when it runs again, and reports the same. A source that changed since the
plan is refused, never mixed. A source of one shard is labelled and finished by the plan's own pod, which saves the
starts of two more.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from shoal_worker.batch.plan import build_plan, build_work, read_schema
from shoal_worker.batch.progress import told_progress
from shoal_worker.batch.shard import do_shard
from shoal_worker.batch.work import BatchWork
from shoal_worker.data.dataset import Access, Dataset, open_dataset
from shoal_worker.errors import ArtifactInvalid, ObjectChanged, WorkerError
from shoal_worker.job import run_job
from shoal_worker.loading import load_version
from shoal_worker.model import Model
from shoal_worker.resources import this_machine
from shoal_worker.results.layout import MANIFEST_NAME, RunKey, run_folder, run_key
from shoal_worker.results.record import MANIFEST_LIMIT, PartRecord, RunManifest, RunPlan
from shoal_worker.results.run import ResultRun
from shoal_worker.results.sink import PostgresSink
from shoal_worker.results.store import ResultStore
from shoal_worker.settings import BatchSettings
from shoal_worker.spec.batch import BatchSpec, parse_batch
from shoal_worker.store.objects import Location, Store, open_store

_log = structlog.get_logger(__name__)


def run_step(settings: BatchSettings) -> int:
    """Do the step and return the exit code."""
    return run_job("batch", settings, lambda: _run(settings), "spec.resources")


def _run(settings: BatchSettings) -> Mapping[str, Any]:
    step = _Step(settings, parse_batch(settings.batch_spec))
    with _told_as_a_batch():
        match step.spec.step:
            case "plan":
                return step.plan()
            case "shard":
                return step.shard()
            case "finish":
                return {"outcome": "Succeeded", "result": step.finish(step.open_run(step.spec.run))}


@dataclass(frozen=True, slots=True)
class _Step:
    settings: BatchSettings
    spec: BatchSpec

    @property
    def sink(self) -> PostgresSink | None:
        """The table that gets the results too."""
        asked = self.spec.output.postgres
        return None if asked is None else PostgresSink(asked, self.settings.sink_secret_dir)

    def plan(self) -> Mapping[str, Any]:
        """Plan the run; where it has one shard only, do that too."""
        model = self._load_model()
        dataset = self._open_source(None)
        work = build_work(self.spec, dataset, model)
        if (sink := self.sink) is not None:
            sink.prepare(read_schema(work))
        drafted = build_plan(self.spec, work)
        run = self.open_run(drafted.run)
        plan = run.begin(drafted)
        report = {"outcome": "Succeeded", "run": plan.run, "shards": plan.parts, "rows": plan.input.rows}
        _log.info("planned", run=plan.run, shards=plan.parts, files=len(work.data.files), rows=plan.input.rows)
        # A table that was named after the run was complete still needs all of its parts.
        if run.manifest() is not None and sink is None:
            return {**report, "result": self.finish(run)}
        if plan.parts > 1:
            return report
        self._label(run, plan, 0, model)
        return {**report, "result": self.finish(run)}

    def shard(self) -> Mapping[str, Any]:
        """Do one shard, unless its results are there."""
        run, number = self.open_run(self.spec.run), self.settings.shard
        there = run.part(number)
        if there is None:
            plan = run.plan()
            rows = self._label(run, plan, number, self._load_model())
        else:
            _log.info("the shard's results are there", shard=number, rows=there.rows)
            rows = self._load_into_sink(run, there).rows
        return {"outcome": "Succeeded", "shard": number, "rows": rows, "resumed": there is not None}

    def finish(self, run: ResultRun) -> Mapping[str, Any]:
        """Write the run's manifest, or find it; the digest is that of its bytes as they lie."""
        manifest = run.finish()
        store, base = self._open_output()
        self._prune(ResultStore(store, base), run.key)
        content = store.read(run_folder(base, run.key).child(MANIFEST_NAME), MANIFEST_LIMIT)
        return _result(run, manifest, content)

    def open_run(self, run: str) -> ResultRun:
        """The run in the result store."""
        store, base = self._open_output()
        return ResultRun(store, base, run_key(self.spec.namespace, self.spec.name, run))

    def _label(self, run: ResultRun, plan: RunPlan, shard: int, model: Model) -> int:
        if (there := run.part(shard)) is not None:
            return self._load_into_sink(run, there).rows
        work = BatchWork.model_validate(plan.work)
        dataset = self._open_source(work)
        with told_progress(self.settings.metrics_port) as progress:
            record = do_shard(run, work, shard, dataset, model, progress, batch_rows=self.spec.batch_rows)
            return self._load_into_sink(run, record).rows

    def _load_into_sink(self, run: ResultRun, part: PartRecord) -> PartRecord:
        """Give a stored part to the table, if one is wanted, also where an earlier attempt may have done so."""
        if (sink := self.sink) is not None:
            _log.info("loaded into the table", part=part.part, rows=sink.load(run, part))
        return part

    def _prune(self, results: ResultStore, key: RunKey) -> None:
        """Delete what retention lets go; the run is complete whether that works or not."""
        sink = self.sink
        try:
            for run in results.prune(key.batch, self.spec.output.retention, protected={key.run}):
                _log.info("run deleted", run=str(run.key), state=run.state)
                if sink is not None:
                    sink.forget(run.key)
        except WorkerError as error:
            _log.warning("runs not deleted", message=str(error))

    def _load_model(self) -> Model:
        asked = self.spec.model
        _, model = load_version(
            asked.uri,
            asked.digest,
            name=asked.name,
            version=asked.version,
            field="status.pinned.uri",
            settings=self.settings,
            machine=this_machine(),
        )
        return model

    def _open_source(self, work: BatchWork | None) -> Dataset:
        access = Access(self.settings.source_secret_dir, self.settings.file_root)
        return open_dataset(self.spec.source, access, work.data if work is not None else None)

    def _open_output(self) -> tuple[Store, Location]:
        return open_store(
            self.spec.output.uri,
            field="spec.output.uri",
            secret_dir=self.settings.output_secret_dir,
            file_root=self.settings.file_root,
        )


def _result(run: ResultRun, manifest: RunManifest, content: bytes) -> Mapping[str, Any]:
    return {
        "uri": run.uri,
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "rows": manifest.rows,
        "bytes": sum(part.bytes for part in manifest.parts),
        "clusters": manifest.metrics.n_clusters,
        "noiseRatio": manifest.metrics.noise_ratio,
        "processingSeconds": manifest.metrics.processing_time,
    }


@contextmanager
def _told_as_a_batch() -> Iterator[None]:
    """Tell failures in the words of a ClusteringBatch."""
    try:
        yield
    except ObjectChanged as error:
        error.reason = "SourceChanged"
        error.transient = False
        error.remedy = "Let the writer of the data end, and run the batch again; it then labels the data as they are"
        raise
    except ArtifactInvalid as error:
        error.reason = "ArtifactRefused"
        raise
    except WorkerError as error:
        error.remedy = error.remedy.replace("spec.training.resources", "spec.resources")
        raise

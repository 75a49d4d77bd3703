"""All runs in a place: listed, chosen, verified, pruned; used by the finish of a batch and by the CLI.

Invariant: what is no run's file is never deleted, and a run that is being deleted is not complete any more: its
manifest goes first and its plan last, so that what is left of a cut deletion is known as remains.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from shoal_worker.errors import ObjectMissing, ResultInvalid, SettingsInvalid
from shoal_worker.results.dataset import RunRows
from shoal_worker.results.layout import (
    MANIFEST_NAME,
    PLAN_NAME,
    RECORD_NAME,
    BatchKey,
    RunKey,
    batch_folder,
    batch_key,
    is_run_name,
    run_folder,
)
from shoal_worker.results.listing import FileFacts, RunState, RunSummary, is_of_layout, summarize
from shoal_worker.results.record import RunManifest, RunPlan, told
from shoal_worker.results.retention import choose_expired
from shoal_worker.results.run import Clock, ResultRun
from shoal_worker.spec.output import Retention
from shoal_worker.store.objects import Location, ObjectInfo, Store
from shoal_worker.store.opening import open_place

_WORKERS = 16


class ResultStore:
    """The output of any number of batches."""

    def __init__(self, store: Store, base: Location, *, clock: Clock = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._base = base
        self._clock = clock

    def run(self, key: RunKey) -> ResultRun:
        """One run, whether it is there or not."""
        return ResultRun(self._store, self._base, key, clock=self._clock)

    def batches(self, namespace: str | None = None) -> tuple[BatchKey, ...]:
        """Return the batches that have folders, by namespace and name."""
        namespaces = [namespace] if namespace is not None else self._store.list_folders(self._base)
        found = (
            _as_key(each, name)
            for each in namespaces
            if _as_key(each, "x")
            for name in self._store.list_folders(self._base.child(each))
        )
        return tuple(key for key in found if key is not None)

    def run_names(self, batch: BatchKey) -> list[str]:
        """Return the names that runs of a batch may have, without a look into them."""
        return [name for name in self._store.list_folders(batch_folder(self._base, batch)) if is_run_name(name)]

    def runs(
        self,
        batch: BatchKey,
        *,
        states: Collection[RunState] | None = None,
        model: str | None = None,
        version: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> tuple[RunSummary, ...]:
        """Return the runs of a batch in these states, by this model and version, begun in this time; newest first."""
        earliest, end = told(since) if since else "", told(until) if until else "~"
        found = [
            run
            for run in self._summaries(batch)
            if (states is None or run.state in states)
            and model in (None, run.model and run.model.name)
            and version in (None, run.model and run.model.version)
            and earliest <= run.created < end
        ]
        return tuple(sorted(found, key=lambda run: (run.created or told(run.written), run.key.run), reverse=True))

    def latest(self, batch: BatchKey) -> RunSummary:
        """Return the complete run that was finished last."""
        complete: tuple[RunState, ...] = ("Complete",)
        found = self.runs(batch, states=complete)
        if found:
            return max(found, key=lambda run: (run.ended, run.key.run))
        raise ResultInvalid(
            "the batch has no complete run here",
            reason="ResultMissing",
            field="batch",
            value=batch,
            remedy="`shoal results ls` tells the runs there are, and their states",
        )

    def find(self, key: RunKey) -> RunSummary:
        """Return one run."""
        files = self._files(run_folder(self._base, key)).get("", {})
        if not any(map(is_of_layout, files)):
            raise ResultInvalid(
                "there is no such run here",
                reason="ResultMissing",
                field="run",
                value=key,
                remedy="`shoal results ls` tells the runs there are",
            )
        return self._summarize(key, files)

    def verify(self, key: RunKey) -> int:
        """Read all rows of a run that is complete or grows and return their bytes; ResultInvalid says what is wrong."""
        run = self.run(key)
        return sum(len(chunk) for part in run.parts() for chunk in run.read_rows(part))

    def stream_rows(self, runs: Iterable[RunSummary]) -> RunRows | None:
        """Open all rows of those of some runs that are a stream's, growing or not; None where there are none.

        A message that was delivered again may be there twice, under the same message_id.
        """
        keys = [run.key for run in runs if run.is_stream and run.state != "Broken"]

        def files(key: RunKey) -> list[ObjectInfo]:
            run = self.run(key)
            return run.files([part for part in run.parts() if part.rows])

        with ThreadPoolExecutor(_WORKERS) as workers:
            found = [info for infos in workers.map(files, sorted(keys)) for info in infos]
        return RunRows(self._store, found) if found else None

    def manifest(self, key: RunKey) -> RunManifest:
        """Return the manifest of a complete run."""
        found = self.run(key).manifest()
        if found is None:
            raise ResultInvalid(
                "the run is not complete",
                reason="ResultMissing",
                field="run",
                value=key,
                remedy="Let the batch finish; `shoal results ls` tells how far it is",
            )
        return found

    def prune(
        self, batch: BatchKey, retention: Retention, *, protected: Collection[str] = (), dry_run: bool = False
    ) -> tuple[RunSummary, ...]:
        """Delete the runs of a batch that may go, and return them; `protected` names runs that stay."""
        expired = choose_expired(self._summaries(batch), retention, self._clock(), protected)
        if not dry_run:
            for run in expired:
                self.delete(run)
        return expired

    def delete(self, run: RunSummary) -> None:
        """Delete a run's files."""
        folder = run_folder(self._base, run.key)
        records = [name for name in run.files if RECORD_NAME.fullmatch(name)]
        rows = [name for name in run.files if name not in (*records, MANIFEST_NAME, PLAN_NAME)]
        with ThreadPoolExecutor(_WORKERS) as workers:
            for names in ([MANIFEST_NAME], records, rows, [PLAN_NAME]):
                list(workers.map(self._store.delete, [folder.child(name) for name in names]))
        self._store.remove_empty(folder)

    def _summaries(self, batch: BatchKey) -> Iterable[RunSummary]:
        files = self._files(batch_folder(self._base, batch))
        keys = [(RunKey(batch, name), facts) for name, facts in files.items() if is_run_name(name)]
        keys = [(key, facts) for key, facts in keys if any(map(is_of_layout, facts))]
        with ThreadPoolExecutor(_WORKERS) as workers:
            return list(workers.map(lambda each: self._summarize(*each), keys))

    def _summarize(self, key: RunKey, files: dict[str, FileFacts]) -> RunSummary:
        run = self.run(key)
        manifest: RunManifest | Exception | None = None
        plan: RunPlan | Exception | None = None
        try:
            manifest = run.manifest() if MANIFEST_NAME in files else None
        except ResultInvalid as error:
            manifest = error
        try:
            plan = run.plan() if PLAN_NAME in files and not isinstance(manifest, RunManifest) else None
        except ObjectMissing:
            plan = None
        except ResultInvalid as error:
            plan = error
        return summarize(key, files, plan, manifest, self._clock())

    def _files(self, folder: Location) -> dict[str, dict[str, FileFacts]]:
        """Files right in the folders of a folder, by folder; its own by the empty name."""
        found: defaultdict[str, dict[str, FileFacts]] = defaultdict(dict)
        for name, facts in self._walk(folder):
            run, _, file = name.rpartition("/")
            if "/" not in run:
                found[run][file] = facts
        return dict(found)

    def _walk(self, folder: Location) -> Iterator[tuple[str, FileFacts]]:
        prefix = f"{folder.path}/"
        for each in self._store.list_objects(folder):
            if each.location.path.startswith(prefix):
                yield each.location.path.removeprefix(prefix), FileFacts(each.size, each.modified)


def open_results(uri: str, credentials_dir: Path | None = None) -> ResultStore:
    """Open the results at `uri`; credentials are AWS_* variables and the like, or files in a directory."""
    return ResultStore(*open_place(uri, credentials_dir))


def _as_key(namespace: str, name: str) -> BatchKey | None:
    try:
        return batch_key(namespace, name)
    except SettingsInvalid:
        return None

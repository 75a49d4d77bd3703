"""The runs of the result store that a worker writes its labels to, one after another; used by `storing` in a thread.

Invariant: rows that `write` took are in a run that counts. A run ends after an hour, so that listings stay short and
what is old can be deleted; a run that its worker could not complete is completed by a later one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import structlog

from shoal_worker.errors import WorkerError
from shoal_worker.model import Model
from shoal_worker.results.growing import GrowingRun, find_abandoned, seal
from shoal_worker.results.layout import batch_key
from shoal_worker.results.record import STREAM_FORMAT, RunInput, RunModel
from shoal_worker.results.store import ResultStore
from shoal_worker.results.writer import remove_left_files
from shoal_worker.settings import ConsumeSettings
from shoal_worker.store.objects import open_store

LIFETIME = timedelta(hours=1)

_log = structlog.get_logger(__name__)


class StreamRuns:
    """Use: open, write again and again, close. Not for several threads at once."""

    def __init__(self, settings: ConsumeSettings, model: Model) -> None:
        """Raises SettingsInvalid where the URI or a name is wrong; nothing is asked yet."""
        self._store, base = open_store(
            settings.output_uri,
            field="SHOAL_OUTPUT_URI",
            secret_dir=settings.output_secret_dir,
            file_root=settings.file_root,
        )
        self._results = ResultStore(self._store, base)
        self._key = batch_key(settings.namespace, settings.model_name)
        self._model = RunModel(name=settings.model_name, version=int(settings.model_version), digest=model.digest)
        server = settings.nats_url.partition(",")[0]
        self._source = RunInput(uri=f"{server}/{settings.input_stream}", format=STREAM_FORMAT)
        self._run: GrowingRun | None = None

    def open(self) -> None:
        """Raise StoreError unless the store answers and knows us; then complete what others left behind."""
        self._store.check_reachable()
        # The pod's disk outlives its processes.
        remove_left_files()
        self._seal_abandoned()

    def write(self, rows: Sequence[pa.RecordBatch]) -> None:
        """Store rows of STREAM_SCHEMA; raises WorkerError where they are not stored, and may be asked again."""
        if not any(batch.num_rows for batch in rows):
            return
        while self._current().append(rows) is None:
            _log.warning("somebody has completed the run; the rows go into another one")
            self._run = None

    def close(self) -> None:
        """Complete the run; where that fails a later worker does it."""
        run, self._run = self._run, None
        if run is None:
            return
        try:
            run.seal()
        except WorkerError as error:
            _log.warning("a run was not completed", run=str(run.key), problem=str(error))

    def _current(self) -> GrowingRun:
        if self._run is not None and (self._run.full or datetime.now(UTC) - self._run.created > LIFETIME):
            self.close()
            self._seal_abandoned()
        if self._run is None:
            self._run = GrowingRun(self._results, self._key, self._model, self._source)
        return self._run

    def _seal_abandoned(self) -> None:
        try:
            for run in find_abandoned(self._results, self._key, datetime.now(UTC), 2 * LIFETIME):
                seal(run)
                _log.info("completed the run of a worker that is gone", run=str(run.key))
        except WorkerError as error:
            _log.warning("runs of workers that are gone were not completed", problem=str(error))

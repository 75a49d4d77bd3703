"""The step `shard`: labels one shard and stores its part; called by `job`.

Invariant: a part that is stored is not made again, and one that was not finished leaves nothing.
"""

import structlog

from shoal_worker.batch.labelling import label_shard
from shoal_worker.batch.plan import read_schema
from shoal_worker.batch.progress import Progress
from shoal_worker.batch.work import BatchWork
from shoal_worker.data.dataset import Dataset
from shoal_worker.model import Model
from shoal_worker.results.record import PartRecord
from shoal_worker.results.run import ResultRun

_log = structlog.get_logger(__name__)


def do_shard(
    run: ResultRun,
    work: BatchWork,
    shard: int,
    dataset: Dataset,
    model: Model,
    progress: Progress,
    *,
    batch_rows: int,
) -> PartRecord:
    """Label and store a shard."""
    schema = read_schema(work)
    with run.write_part(shard, schema) as part:
        for batch in label_shard(dataset, work, shard, model, schema, batch_rows=batch_rows):
            part.write(batch)
            progress.add(batch.num_rows)
        record = part.finish()
    _log.info("shard done", shard=shard, rows=record.rows, seconds=record.seconds, file=record.file)
    return record

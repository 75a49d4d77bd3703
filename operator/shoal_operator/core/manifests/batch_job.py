"""Builds the Job of one step of a batch: plan, shard (a pod for each) or finish.

Called by core.batch. Invariant: one identity has one Job for each step, whose name holds it, and what the pods are told
of the version is the batch's pin.
"""

from __future__ import annotations

from typing import Literal

from shoal_operator.api.batch import ClusteringBatchSpec, ClusteringBatchStatus, PinnedVersion
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of
from shoal_operator.core.manifests.store_job import Indexes, StoreJob, build_store_job
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject

Step = Literal["plan", "shard", "finish"]


def build_batch_job(
    batch: RawObject,
    spec: ClusteringBatchSpec,
    step: Step,
    batch_hash: str,
    pinned: PinnedVersion,
    memory: ClusteringBatchStatus,
    defaults: Defaults,
) -> Manifest:
    """Build the Job; only the step `shard` has more than one pod."""
    source_secret, output_secret = spec.source.secret_ref, spec.output.secret_ref
    postgres = spec.output.postgres
    sink_secret = postgres.secret_ref if postgres is not None else None
    told = {
        "name": name_of(batch),
        "namespace": namespace_of(batch),
        "step": step,
        "model": {"name": pinned.model, "version": pinned.version, "digest": pinned.digest, "uri": pinned.uri},
        "source": spec.source.model_copy(update={"secret_ref": None}).to_wire(),
        "output": {
            "uri": spec.output.uri,
            "columns": spec.output.columns,
            "retention": spec.output.retention.to_wire(),
            **({"postgres": {"uri": postgres.uri, "table": postgres.table}} if postgres is not None else {}),
        },
        "shards": spec.shards,
        "rowsPerShard": spec.rows_per_shard,
        "batchRows": spec.batch_rows,
        **({"run": memory.run} if step != "plan" else {}),
    }
    indexes = Indexes(memory.shards.total, spec.parallelism, spec.on_failure == "Stop") if step == "shard" else None
    job = StoreJob(
        name=names.batch_job(name_of(batch), step, batch_hash),
        verb="batch",
        labels={names.BATCH_HASH: batch_hash, names.BATCH_STEP: step},
        variable="SHOAL_BATCH_SPEC",
        told=told,
        deadline_seconds=spec.active_deadline_seconds,
        retries=spec.retries,
        resources=spec.resources,
        source_secret_name=source_secret.name if source_secret is not None else None,
        output_secret_name=output_secret.name if output_secret is not None else None,
        sink_secret_name=sink_secret.name if sink_secret is not None else None,
        indexes=indexes,
    )
    return build_store_job(batch, job, defaults, "ClusteringBatch")

"""Names the clusters of a fit after those of the last good version, which labels the same rows; called by `training`.

Invariant: a last good version that is gone, or cannot take these rows, costs the ids, never the training.
"""

import numpy as np
import structlog

from shoal_worker.artifact.files import LabelArray
from shoal_worker.data.frame import Frame
from shoal_worker.errors import WorkerError
from shoal_worker.identity.continuity import Earlier, Identity, begin_identity, continue_identity
from shoal_worker.identity.sampling import draw_by_cluster
from shoal_worker.training.baseline import Baseline, BaselineLost

MOST_ROWS = 100_000
_LOGGED = 16

_log = structlog.get_logger(__name__)


def name_clusters(
    frame: Frame, labels: LabelArray, clusters: int, baseline: Baseline | BaselineLost | None, first_free_id: int
) -> Identity:
    """Give each cluster its public id and log what became of those before.

    first_free_id: above the ids of all clusters that the model ever had.
    """
    named = _name(frame, labels, clusters, baseline, first_free_id)
    told = named.record
    if told.problem:
        _log.warning("clusters get new ids", baseline=told.baseline, problem=told.problem)
    elif told.baseline is not None:
        counts = {"kept": told.kept, "born": told.born, "died": told.died, "split": told.split, "merged": told.merged}
        _log.info("clusters named", baseline=told.baseline, **counts, next_id=told.next_id)
        for event in told.events[:_LOGGED]:
            portions = {str(portion.cluster): portion.share for portion in event.portions}
            _log.info("cluster changed", kind=event.kind, cluster=event.cluster, rows=event.rows, portions=portions)
    return named


def _name(
    frame: Frame, labels: LabelArray, clusters: int, baseline: Baseline | BaselineLost | None, first_free_id: int
) -> Identity:
    if baseline is None:
        return begin_identity(clusters, first_free_id)
    if isinstance(baseline, BaselineLost):
        return begin_identity(clusters, first_free_id, version=baseline.version, problem=baseline.problem)
    manifest, ids = baseline.artifact.manifest, baseline.artifact.tensors.cluster_ids
    first_free_id = max(first_free_id, manifest.identity.next_id)
    sample = draw_by_cluster(labels, MOST_ROWS)
    try:
        before = baseline.labels_of(frame.select(sample.rows))
    except WorkerError as error:
        if error.transient:
            raise
        return begin_identity(clusters, first_free_id, version=baseline.version, problem=str(error))
    earlier = Earlier(baseline.version, np.asarray(ids), before)
    return continue_identity(
        labels[sample.rows], sample.weights, clusters, earlier, manifest.identity.next_id, first_free_id
    )

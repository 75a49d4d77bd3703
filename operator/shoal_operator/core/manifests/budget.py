"""Builds the PodDisruptionBudget of a pool.

Called by core.rollout. Invariant: a budget never blocks a node's drain for ever.
"""

from __future__ import annotations

from shoal_operator.core import names
from shoal_operator.core.facts import name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.manifests.workload import pool_selector
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject


def build_budget(deployment: RawObject, revision: str) -> Manifest:
    """Build the budget that lets one pod go at a time, and a pod that is not ready at any time.

    A minimum of pods would block the drain for ever as soon as the pool is that small; a pod that never becomes ready
    would block it under the default eviction policy.
    """
    selector = pool_selector(deployment, revision)
    name = names.pool(name_of(deployment), revision)
    labels = {**metadata.common_labels(deployment), **selector}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata.build_metadata(deployment, "ClusteringDeployment", name, labels),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector},
        },
    }

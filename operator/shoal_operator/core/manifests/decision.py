"""Builds the ClusteringDecision of a record.

Called by core.records. Invariant: equal records give equal objects.
"""

from __future__ import annotations

from shoal_operator.api.decision import DecisionRecord
from shoal_operator.api.meta import API_VERSION
from shoal_operator.core import names
from shoal_operator.core.facts import name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import RawObject


def build_decision(deployment: RawObject, name: str, record: DecisionRecord) -> Manifest:
    """Build the object that the deployment owns."""
    labels = {names.MANAGED_BY: names.MANAGER, names.DEPLOYMENT: names.label_value(name_of(deployment))}
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusteringDecision",
        "metadata": metadata.build_metadata(deployment, "ClusteringDeployment", name, labels),
        "spec": record.to_wire(),
    }

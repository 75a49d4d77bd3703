"""Builds the record of a trained version.

Called by core.training with a report that core.report has checked.
"""

from __future__ import annotations

from shoal_operator.api.meta import API_VERSION
from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.api.version import ClusteringModelVersionSpec, ModelReference
from shoal_operator.core import names
from shoal_operator.core.facts import name_of
from shoal_operator.core.manifests import metadata
from shoal_operator.core.plan import Manifest
from shoal_operator.core.report import TrainingSuccess
from shoal_operator.core.snapshot import RawObject


def build_version(model: RawObject, spec: ClusteringModelSpec, training_hash: str, report: TrainingSuccess) -> Manifest:
    """Build the ClusteringModelVersion of a report, with the number that the store gave."""
    name, number = name_of(model), report.version
    record = ClusteringModelVersionSpec(
        model_ref=ModelReference(name=name),
        version=number,
        training_hash=training_hash,
        artifact=report.artifact,
        preprocessing=spec.preprocessing or report.preprocessing,
        algorithm=report.algorithm,
        schema=report.schema_,
        data=report.data,
        metrics=report.metrics,
        validation=report.validation,
        search=report.search,
        identity=report.identity,
        plan=report.plan,
        framework_versions=report.framework_versions,
    )
    labels = {
        **spec.labels,
        names.MANAGED_BY: names.MANAGER,
        names.MODEL: names.label_value(name),
        names.VERSION: str(number),
        names.TRAINING_HASH: training_hash,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusteringModelVersion",
        "metadata": metadata.build_metadata(model, "ClusteringModel", names.model_version(name, number), labels),
        "spec": record.to_wire(),
    }

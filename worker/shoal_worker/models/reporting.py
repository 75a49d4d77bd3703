"""What is reported of a version that no training made: an import, or a push from a notebook; used by both.

Invariant: the report has the form of a training's, so that nothing after it needs to know the difference.
"""

from typing import Any

from shoal_worker.artifact.files import Artifact, ArtifactFiles
from shoal_worker.artifact.manifest import Manifest
from shoal_worker.errors import ArtifactInvalid
from shoal_worker.model import build_model
from shoal_worker.resources import Machine
from shoal_worker.spec.validation import ValidationSpec
from shoal_worker.validation.judgement import Judgement, Judgements
from shoal_worker.validation.limits import judge_limits
from shoal_worker.validation.relative import judge_relative
from shoal_worker.validation.run import judge_served
from shoal_worker.validation.subject import Served

SELF_TEST = "selfTest"


def judge_imported(artifact: Artifact, limits: ValidationSpec, machine: Machine) -> Judgements:
    """Judge a model without its data: by its probes, its speed and size, and the figures that its training measured."""
    try:
        model = build_model(artifact, name="imported", version="candidate", machine=machine)
    except ArtifactInvalid as error:
        return Judgements((Judgement(SELF_TEST, "fail", str(error)),))
    probes = len(artifact.tensors.probe_labels)
    passed = Judgement(SELF_TEST, "pass", f"all {probes} probes got their labels", {"probes": probes})
    served = Served(artifact, model, artifact.tensors.probes, model.plan.index_bytes)
    return Judgements(
        (
            passed,
            *judge_served(served, limits),
            *judge_limits(artifact.manifest.metrics, limits),
            *judge_relative("an imported model brings no rows to label", limits.relative),
        )
    )


def report_of(
    files: ArtifactFiles, manifest: Manifest, judged: Judgements, uri: str, fit_seconds: float = 0.0
) -> dict[str, Any]:
    """Return the report of a version made of this artifact."""
    return {
        "outcome": "Succeeded",
        "artifact": {"uri": uri, "digest": files.digest, "bytes": files.size},
        "schema": _schema(manifest),
        "metrics": {**manifest.metrics.model_dump(by_alias=True), "fitSeconds": fit_seconds},
        "algorithm": {manifest.kind: manifest.parameters.model_dump(by_alias=True, exclude_none=True)},
        "validation": judged.as_record(),
        "frameworkVersions": manifest.framework_versions,
    }


def _schema(manifest: Manifest) -> dict[str, Any]:
    columns = {"columns": [column.model_dump(by_alias=True) for column in manifest.schema_.columns]}
    if not manifest.preprocessing:
        return columns
    return {**columns, "features": list(manifest.features), "featureCount": len(manifest.features)}

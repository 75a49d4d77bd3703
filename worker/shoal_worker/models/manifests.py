"""ClusteringModelVersions from the store's records, as the operator wrote them; called by the command line's `rebuild`.

Invariant: pure. A manifest holds what the operator would have recorded of the same report, shortened in the same way.
"""

import hashlib
import json
from typing import Any

from shoal_worker.models.record import ModelKey, StoredVersion, VersionRecord
from shoal_worker.report import encode_report

API_VERSION = "shoal.dev/v1alpha1"
STATE_ANNOTATION = "shoal.dev/state"
_NOT_OF_THE_SPEC = ("outcome", "version", "artifact")
_LABEL_LIMIT = 63


def build_manifest(key: ModelKey, version: StoredVersion, record: VersionRecord, uri: str | None) -> dict[str, Any]:
    """Build the manifest of one version; `uri`: where its artifact lies now, as recorded unless told."""
    report = json.loads(encode_report(record.report))
    artifact = report["artifact"]
    spec = {
        "modelRef": {"name": key.name},
        "version": record.number,
        "trainingHash": record.training_hash,
        "artifact": {**artifact, "uri": uri or artifact["uri"]},
        **{name: value for name, value in report.items() if name not in _NOT_OF_THE_SPEC},
    }
    labels = {
        **version.labels,
        "app.kubernetes.io/managed-by": "shoal",
        "shoal.dev/model": label_value(key.name),
        "shoal.dev/version": str(record.number),
        "shoal.dev/training-hash": record.training_hash,
    }
    metadata: dict[str, Any] = {"name": f"{key.name}-v{record.number}", "namespace": key.namespace, "labels": labels}
    if version.state in ("Retired", "Archived"):
        metadata["annotations"] = {STATE_ANNOTATION: version.state}
    return {"apiVersion": API_VERSION, "kind": "ClusteringModelVersion", "metadata": metadata, "spec": spec}


def label_value(name: str) -> str:
    """Return a model's name as the operator labels its versions: whole, or cut and told apart by a hash.

    >>> label_value("towns")
    'towns'
    """
    if len(name) <= _LABEL_LIMIT:
        return name
    tag = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LABEL_LIMIT - 9].rstrip('-.')}-{tag}"

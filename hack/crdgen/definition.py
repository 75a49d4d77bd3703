"""Builds each kind's CustomResourceDefinition: names, printer columns, subresources and the schema.

Called by hack/generate_crds.py. Invariant: what a kind's fields are is read from its pydantic types alone; only what
kubectl shows and where the subresources point is said here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hack.crdgen.schema import structural_schema
from shoal_operator.api.batch import ClusteringBatchSpec, ClusteringBatchStatus
from shoal_operator.api.decision import ClusteringDecisionSpec
from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus
from shoal_operator.api.meta import GROUP, VERSION, ApiModel, CelRule
from shoal_operator.api.model import ClusteringModelSpec, ClusteringModelStatus
from shoal_operator.api.version import ClusteringModelVersionSpec, ClusteringModelVersionStatus

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; `wide` ones show with -o wide only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What the types of a kind do not say about it."""

    kind: str
    short: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel] | None
    """None for a kind whose spec says all."""
    columns: tuple[Column, ...]
    rules: tuple[CelRule, ...] = ()
    scale: tuple[tuple[str, str], ...] = ()

    @property
    def plural(self) -> str:
        """Name of the resource in URLs and roles."""
        name = self.kind.lower()
        return f"{name}es" if name.endswith("ch") else f"{name}s"

    @property
    def file_name(self) -> str:
        """Name of the file under crds/."""
        return f"{GROUP}_{self.plural}.yaml"


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_READY = '.status.conditions[?(@.type=="Ready")].status'

KINDS = (
    Kind(
        kind="ClusteringModel",
        short="cmodel",
        description="Data and parameters of a density-based clustering; each change of them trains a new "
        "ClusteringModelVersion.",
        spec=ClusteringModelSpec,
        status=ClusteringModelStatus,
        columns=(
            Column("Phase", ".status.phase", description="Summary of the conditions."),
            Column("Latest", ".status.latestVersion", "integer", "Newest version that passed its validation."),
            Column("Source", ".spec.source.uri", description="Where the training data lies.", wide=True),
            Column("Next", ".status.retrain.nextScheduled", description="Next training of the schedule.", wide=True),
            Column("Message", ".status.message", description="The summary in a sentence.", wide=True),
            _AGE,
        ),
        rules=(
            CelRule(
                rule="self.metadata.name.size() <= 63",
                message="metadata.name is longer than 63 characters, too long for its versions' names; shorten it",
            ),
        ),
    ),
    Kind(
        kind="ClusteringModelVersion",
        short="cmv",
        description="The immutable record of one trained version of a ClusteringModel; written by the operator.",
        spec=ClusteringModelVersionSpec,
        status=ClusteringModelVersionStatus,
        columns=(
            Column("Model", ".spec.modelRef.name", description="The ClusteringModel."),
            Column("Version", ".spec.version", "integer", "Number of the version."),
            Column("State", ".status.state", description="Active or Rejected, later Retired or Archived."),
            Column("Rows", ".spec.metrics.rows", "integer", "Rows that were clustered."),
            Column("Clusters", ".spec.metrics.clusters", "integer", "Clusters found, noise excluded."),
            Column("Noise", ".status.noise", description="Share of rows that are noise."),
            Column("Silhouette", ".status.silhouette", description="Sampled silhouette, noise excluded."),
            Column("Verdict", ".spec.validation.verdict", description="Outcome of the validation."),
            Column("Read", ".spec.data.rowsRead", "integer", "Rows of the source, before a sample.", wide=True),
            Column("Digest", ".spec.artifact.digest", description="Digest of the artifact.", wide=True),
            Column("Message", ".status.message", description="Why it is in this state.", wide=True),
            _AGE,
        ),
    ),
    Kind(
        kind="ClusteringDeployment",
        short="cdep",
        description="An endpoint that serves a ClusteringModel's versions from gRPC worker pods and rolls new "
        "versions out.",
        spec=ClusteringDeploymentSpec,
        status=ClusteringDeploymentStatus,
        columns=(
            Column("Phase", ".status.phase", description="Summary of the conditions."),
            Column("Stable", ".status.stable.version", "integer", "Version that serves."),
            Column("Candidate", ".status.candidate.version", "integer", "Version on trial."),
            Column("Weight", ".status.actualWeight", "integer", "Percent of the traffic that the candidate gets."),
            Column("Step", ".status.step", "integer", "Index of the rollout's present step, from 0."),
            Column("Ready", _READY, description="Whether the deployment serves."),
            Column("Model", ".spec.modelRef.name", description="The ClusteringModel.", wide=True),
            Column("Pending", ".status.pendingVersion", "integer", "Version that waits for approval.", wide=True),
            Column("Pods", ".status.readyReplicas", "integer", "Ready pods of the stable version.", wide=True),
            Column("Message", ".status.message", description="The summary in a sentence.", wide=True),
            _AGE,
        ),
        rules=(
            CelRule(
                rule="self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                message="metadata.name is also the name of a Service: at most 63 lower-case letters, digits and "
                "dashes, beginning with a letter",
            ),
        ),
        scale=(
            ("specReplicasPath", ".spec.worker.replicas"),
            ("statusReplicasPath", ".status.replicas"),
            ("labelSelectorPath", ".status.selector"),
        ),
    ),
    Kind(
        kind="ClusteringDecision",
        short="cdec",
        description="The immutable record of one decision about a ClusteringDeployment: what, when, by whom or what, "
        "with the weights and every gate's figures; written by the operator.",
        spec=ClusteringDecisionSpec,
        status=None,
        columns=(
            Column("Deployment", ".spec.deployment", description="The ClusteringDeployment."),
            Column("Decision", ".spec.decision", description="What was decided."),
            Column("Version", ".spec.candidate.version", "integer", "Version on trial."),
            Column("Weight", ".spec.weight.after", "integer", "Percent that it is to get from here on."),
            Column("Reason", ".spec.reason", description="Why, in a word."),
            Column("Stable", ".spec.stable.version", "integer", "Version that served before.", wide=True),
            Column("Actor", ".spec.actor.kind", description="Who or what moved the operator.", wide=True),
            Column("By", ".spec.actor.name", description="Who asked, as the command says.", wide=True),
            Column("Message", ".spec.message", description="Why, in a sentence.", wide=True),
            _AGE,
        ),
    ),
    Kind(
        kind="ClusteringBatch",
        short="cbatch",
        description="Labels a whole data set with one version of a ClusteringModel, in shards, into a result store.",
        spec=ClusteringBatchSpec,
        status=ClusteringBatchStatus,
        columns=(
            Column("Phase", ".status.phase", description="Summary of the conditions."),
            Column("Version", ".status.pinned.version", "integer", "Version that labels."),
            Column("Shards", ".status.shards.total", "integer", "Shards of the run."),
            Column("Done", ".status.shards.done", "integer", "Shards whose results are stored."),
            Column("Failed", ".status.shards.failed", "integer", "Shards that failed for good."),
            Column("Rows", ".status.rows", "integer", "Rows that are labelled so far."),
            Column("ETA", ".status.etaSeconds", "integer", "Seconds that the rest will take, estimated."),
            Column("Model", ".status.pinned.model", description="The ClusteringModel.", wide=True),
            Column("Rows/s", ".status.rowsPerSecond", "integer", "Rows labelled in a second.", wide=True),
            Column("Result", ".status.result.uri", description="Folder of the results.", wide=True),
            Column("Message", ".status.message", description="The summary in a sentence.", wide=True),
            _AGE,
        ),
    ),
)


def build_definition(kind: Kind) -> Manifest:
    """Build the CustomResourceDefinition of a kind."""
    subresources: Manifest = {} if kind.status is None else {"status": {}}
    if kind.scale:
        subresources["scale"] = dict(kind.scale)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["shoal"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": subresources} if subresources else {}),
                    "additionalPrinterColumns": [_printed(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": build_schema(kind)},
                }
            ],
        },
    }


def build_schema(kind: Kind) -> Manifest:
    """Build the schema of a whole object of a kind."""
    schema: Manifest = {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"{kind.kind}."},
            "metadata": {"type": "object"},
            "spec": {
                "description": _sentence(kind.spec),
                **structural_schema(kind.spec, f"{kind.kind}.spec", defaults=True),
            },
        },
    }
    if kind.status is not None:
        schema["properties"]["status"] = status = {
            "description": f"{_sentence(kind.status)} Written by the operator.",
            **structural_schema(kind.status, f"{kind.kind}.status", defaults=False),
        }
        if "observed_generation" in kind.status.model_fields:
            # Else an object that the operator has not seen yet is done for kstatus, by which Helm and Flux wait.
            status["default"] = {"observedGeneration": -1}
    if kind.rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.rule, "message": rule.message} for rule in kind.rules]
    return schema


def _printed(column: Column) -> Manifest:
    printed: Manifest = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        printed["description"] = column.description
    if column.wide:
        printed["priority"] = 1
    return printed


def _sentence(model: type[ApiModel]) -> str:
    """Return the first line of a type's docstring."""
    return (model.__doc__ or "").strip().splitlines()[0]

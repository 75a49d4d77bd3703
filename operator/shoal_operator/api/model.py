"""ClusteringModel: which data, which algorithm, which limits; each change of these trains a new version.

Read by core.training and the CRD generator. No decision lives here.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.algorithm import Algorithm
from shoal_operator.api.artifact import ImportedArtifact
from shoal_operator.api.card import Card
from shoal_operator.api.lifecycle import Retention, Retrain, RetrainStatus
from shoal_operator.api.meta import ApiModel, CelRule, Condition, StatusModel
from shoal_operator.api.preprocessing import MOST_STEPS, PreprocessingStep
from shoal_operator.api.source import Source
from shoal_operator.api.training import Training
from shoal_operator.api.validation import Validation

_LABEL_NAME = "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
_RESERVED = "^([a-z0-9.-]*[.])?(shoal[.]dev|kubernetes[.]io)/"

LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$")]


def _is_haversine(algorithm: str) -> str:
    """Return the CEL that tells whether this algorithm is set with the metric haversine."""
    field = f"self.algorithm.{algorithm}"
    return f"(has({field}) && has({field}.metric) && {field}.metric == 'haversine')"


class ClusteringModelSpec(ApiModel):
    """What to train."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.source) || has(self.preprocessing) || !has(self.source.columns) || "
            "self.source.columns.size() == 2 || "
            f"!({_is_haversine('dbscan')} || {_is_haversine('adaptiveDbscan')})",
            message="metric haversine needs exactly two source.columns: latitude and longitude",
            message_expression="'metric haversine needs exactly two source.columns (latitude, longitude), not %d: %s'"
            ".format([dyn(self.source.columns.size()), dyn(self.source.columns)])",
        ),
        CelRule(
            rule="!has(self.algorithm) || !has(self.preprocessing) || "
            f"!({_is_haversine('dbscan')} || {_is_haversine('adaptiveDbscan')}) || "
            "self.preprocessing.all(step, !has(step.scale) && !has(step.pca) && !has(step.unitNorm))",
            message="metric haversine needs latitude and longitude in radians; leave scale, pca and unitNorm out of "
            "preprocessing",
        ),
        CelRule(
            rule="!has(self.algorithm) || !has(self.algorithm.adaptiveDbscan) || !has(self.training) || "
            "!has(self.training.plan) || !has(self.training.plan.index) || self.training.plan.index == 'auto'",
            message="training.plan.index has no effect with adaptiveDbscan, which has one index; leave it out",
        ),
        CelRule(
            rule="has(self.artifact) ? !has(self.source) && !has(self.algorithm) : "
            "has(self.source) && has(self.algorithm)",
            message="a model is either trained, from source and algorithm, or imported, from artifact; give both of "
            "the former or the latter alone",
        ),
        CelRule(
            rule="!has(self.artifact) || (!has(self.preprocessing) && !has(self.retrain))",
            message="preprocessing and retrain have no effect with artifact, which is imported as it is; leave them "
            "out",
        ),
        CelRule(
            rule="!has(self.labels) || self.labels.all(name, name.matches('"
            f"{_LABEL_NAME}') && !name.matches('{_RESERVED}'))",
            message="labels have the names of Kubernetes labels, and those of shoal.dev/ and kubernetes.io/ are not a "
            "user's; choose other names",
        ),
    )

    source: Source | None = Field(default=None, description="The training data.")
    preprocessing: list[PreprocessingStep] = Field(
        default_factory=list,
        max_length=MOST_STEPS,
        description="Steps that make the clustered columns of the source's, in order, in training and serving alike.",
    )
    algorithm: Algorithm | None = Field(default=None, description="The algorithm and its parameters.")
    artifact: ImportedArtifact | None = Field(
        default=None, description="A model fitted elsewhere, imported instead of trained from source and algorithm."
    )
    validation: Validation = Field(default_factory=Validation, description="Limits that a version must keep.")
    training: Training = Field(default_factory=Training, description="How the training Job runs.")
    retention: Retention = Field(default_factory=Retention, description="How many versions stay, and how long.")
    retrain: Retrain | None = Field(
        default=None, description="Trains anew on a schedule; only when the spec changes or on request when absent."
    )
    card: Card = Field(default_factory=Card, description="What the model card of a version may show.")
    labels: dict[str, LabelValue] = Field(
        default_factory=dict, max_length=16, description="Labels that each version is recorded with."
    )

    @property
    def recipe(self) -> tuple[Source, Algorithm] | None:
        """Return what a training is made from; None for a model that is imported."""
        return (self.source, self.algorithm) if self.source is not None and self.algorithm is not None else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.artifact is None) != (self.recipe is not None) or (
            self.artifact is not None and (self.source is not None or self.algorithm is not None)
        ):
            raise ValueError(self.cel_rules[3].message)
        if self.artifact is not None and (self.preprocessing or self.retrain is not None):
            raise ValueError(self.cel_rules[4].message)
        if any(not re.match(_LABEL_NAME, name) or re.match(_RESERVED, name) for name in self.labels):
            raise ValueError(self.cel_rules[5].message)
        if self.source is None or self.algorithm is None:
            return self
        columns = self.source.columns
        if self.algorithm.metric == "haversine":
            if not self.preprocessing and columns is not None and len(columns) != 2:
                raise ValueError(self.cel_rules[0].message)
            if any(step.scale or step.pca or step.unit_norm for step in self.preprocessing):
                raise ValueError(self.cel_rules[1].message)
        if self.algorithm.adaptive_dbscan is not None and self.training.plan.index != "auto":
            raise ValueError(self.cel_rules[2].message)
        return self

    @property
    def secret_name(self) -> str | None:
        """Return the name of the Secret with the credentials of the source or of the artifact."""
        place = self.source or self.artifact
        return place.secret_ref.name if place is not None and place.secret_ref is not None else None


class ClusteringModelStatus(StatusModel):
    """What was trained."""

    observed_generation: int = Field(default=0, description="The spec generation that this status tells of.")
    phase: str = Field(default="", description="Summary: Pending, Training, Ready, Rejected or Failed.")
    message: str = Field(default="", description="The summary in a sentence, with the remedy where there is one.")
    latest_version: int | None = Field(default=None, description="Newest version that passed its validation.")
    training_hash: str | None = Field(default=None, description="Identity of the training that the status tells of.")
    reruns: int = Field(
        default=0, ge=0, description="Trainings of this identity run again because their report was lost."
    )
    unchanged_hash: str | None = Field(
        default=None, description="Identity of a training that gave the newest version once more, so none was recorded."
    )
    retrain: RetrainStatus | None = Field(default=None, description="Where spec.retrain's schedule stands.")
    maintenance_failures: int = Field(
        default=0, ge=0, description="Failures in a row of the Job that archives and deletes versions."
    )
    conditions: list[Condition] = Field(default_factory=list, description="Ready, Progressing and Degraded.")

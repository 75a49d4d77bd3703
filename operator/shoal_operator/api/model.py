"""ClusteringModel: which data, which algorithm, which limits; each change of these trains a new version.

Read by core.training and the CRD generator. No decision lives here.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from shoal_operator.api.algorithm import Algorithm
from shoal_operator.api.meta import ApiModel, CelRule, Condition, StatusModel
from shoal_operator.api.preprocessing import MOST_STEPS, PreprocessingStep
from shoal_operator.api.source import Source
from shoal_operator.api.training import Training
from shoal_operator.api.validation import Validation


def _is_haversine(algorithm: str) -> str:
    """Return the CEL that tells whether this algorithm is set with the metric haversine."""
    field = f"self.algorithm.{algorithm}"
    return f"(has({field}) && has({field}.metric) && {field}.metric == 'haversine')"


class ClusteringModelSpec(ApiModel):
    """What to train."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.preprocessing) || !has(self.source.columns) || self.source.columns.size() == 2 || "
            f"!({_is_haversine('dbscan')} || {_is_haversine('adaptiveDbscan')})",
            message="metric haversine needs exactly two source.columns: latitude and longitude",
            message_expression="'metric haversine needs exactly two source.columns (latitude, longitude), not %d: %s'"
            ".format([dyn(self.source.columns.size()), dyn(self.source.columns)])",
        ),
        CelRule(
            rule=f"!has(self.preprocessing) || !({_is_haversine('dbscan')} || {_is_haversine('adaptiveDbscan')}) || "
            "self.preprocessing.all(step, !has(step.scale) && !has(step.pca) && !has(step.unitNorm))",
            message="metric haversine needs latitude and longitude in radians; leave scale, pca and unitNorm out of "
            "preprocessing",
        ),
        CelRule(
            rule="!has(self.algorithm.adaptiveDbscan) || !has(self.training) || !has(self.training.plan) || "
            "!has(self.training.plan.index) || self.training.plan.index == 'auto'",
            message="training.plan.index has no effect with adaptiveDbscan, which has one index; leave it out",
        ),
    )

    source: Source = Field(description="The training data.")
    preprocessing: list[PreprocessingStep] = Field(
        default_factory=list,
        max_length=MOST_STEPS,
        description="Steps that make the clustered columns of the source's, in order, in training and serving alike.",
    )
    algorithm: Algorithm = Field(description="The algorithm and its parameters.")
    validation: Validation = Field(default_factory=Validation, description="Limits that a version must keep.")
    training: Training = Field(default_factory=Training, description="How the training Job runs.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        columns = self.source.columns
        if self.algorithm.metric == "haversine":
            if not self.preprocessing and columns is not None and len(columns) != 2:
                raise ValueError(self.cel_rules[0].message)
            if any(step.scale or step.pca or step.unit_norm for step in self.preprocessing):
                raise ValueError(self.cel_rules[1].message)
        if self.algorithm.adaptive_dbscan is not None and self.training.plan.index != "auto":
            raise ValueError(self.cel_rules[2].message)
        return self


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
    conditions: list[Condition] = Field(default_factory=list, description="Ready, Progressing and Degraded.")

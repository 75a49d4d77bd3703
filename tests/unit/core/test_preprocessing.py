"""spec.preprocessing on its way from the user to the training Job: read, made part of the identity, passed on whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core.manifests.job import training_input
from shoal_operator.core.training import hash_training
from shoal_worker.spec.training import parse_spec
from tests.unit.core import objects
from tests.unit.core.objects import DEFAULTS, Raw

EVERY_STEP: list[Raw] = [
    {"select": {"columns": ["a", "b", "kind"]}},
    {"impute": {"columns": ["a"], "strategy": "constant", "value": 0.5}},
    {"impute": {"strategy": "median"}},
    {"log1p": {"columns": ["b"]}},
    {"clip": {"min": -3, "maxQuantile": 0.99}},
    {"oneHot": {"columns": ["kind"], "maxCategories": 3, "unknown": "Refuse"}},
    {"scale": {"method": "robust"}},
    {"pca": {"varianceRatio": 0.9, "whiten": True}},
    {"unitNorm": {}},
    {"toRadians": {}},
]


def read(steps: list[Raw], **more: Any) -> tuple[Raw, ClusteringModelSpec]:
    model = objects.model({"preprocessing": steps, **more})
    return model, ClusteringModelSpec.model_validate(model["spec"])


def identity(steps: list[Raw]) -> str:
    return hash_training(*read(steps))


def test_a_model_without_preprocessing_keeps_the_identity_that_it_had_before_there_was_any() -> None:
    plain = objects.model()
    other = objects.model({"validation": {"minClusters": 3}, "algorithm": {"adaptiveDbscan": {"minSamples": 7}}})
    assert hash_training(plain, ClusteringModelSpec.model_validate(plain["spec"])) == "058f27ce"
    assert hash_training(other, ClusteringModelSpec.model_validate(other["spec"])) == "01219fe8"
    assert identity([]) == "058f27ce"


def test_steps_their_parameters_and_their_order_are_part_of_the_identity() -> None:
    scale, norm = {"scale": {}}, {"unitNorm": {}}
    variants = [[], [scale], [norm], [scale, norm], [norm, scale], [{"scale": {"columns": ["a"]}}]]
    assert len({identity(steps) for steps in variants}) == len(variants)


def test_a_default_written_out_is_the_same_identity() -> None:
    assert identity([{"scale": {"method": "standard"}}]) == identity([{"scale": {}}])


def test_the_training_understands_every_step_as_it_was_written() -> None:
    model, spec = read(EVERY_STEP)
    told = parse_spec(json.dumps(training_input(model, spec, (), DEFAULTS)))
    assert [step.model_dump(mode="json", by_alias=True, exclude_unset=True) for step in told.preprocessing] == [
        step.to_wire() for step in spec.preprocessing
    ]
    assert [step.name for step in told.preprocessing] == [next(iter(step)) for step in EVERY_STEP]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({}, "exactly one of"),
        ({"scale": {}, "unitNorm": {}}, "exactly one of"),
        ({"impute": {"value": 1}}, "impute.value and strategy constant go together"),
        ({"impute": {"strategy": "constant"}}, "impute.value and strategy constant go together"),
        ({"clip": {}}, "clip has no bound"),
        ({"clip": {"min": 0, "minQuantile": 0.1}}, "two bounds on one side"),
        ({"clip": {"min": 2, "max": 1}}, "clip.min is above clip.max"),
        ({"clip": {"minQuantile": 0.9, "maxQuantile": 0.1}}, "clip.minQuantile is above clip.maxQuantile"),
        ({"oneHot": {}}, "columns"),
        ({"pca": {}}, "exactly one of components and varianceRatio"),
        ({"pca": {"components": 2, "varianceRatio": 0.5}}, "exactly one of components and varianceRatio"),
        ({"unitNorm": {"columns": ["a"]}}, "unitNorm"),
    ],
    ids=str,
)
def test_a_step_that_makes_no_sense_is_refused_by_operator_and_worker(step: Raw, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        read([step])
    fields = {"name": "m", "source": {"uri": "s3://b/k.csv"}, "algorithm": {"dbscan": {"eps": 1}}, "storeUri": "s3://s"}
    with pytest.raises(Exception, match=r"spec\.preprocessing\[0\]"):
        parse_spec(json.dumps({**fields, "preprocessing": [step]}))


HAVERSINE = {"algorithm": {"dbscan": {"eps": 0.01, "metric": "haversine"}}}


@pytest.mark.parametrize("step", [{"scale": {}}, {"pca": {"components": 2}}, {"unitNorm": {}}], ids=str)
def test_haversine_takes_no_step_after_which_there_are_no_angles(step: Raw) -> None:
    with pytest.raises(ValidationError, match="latitude and longitude in radians"):
        read([step], **HAVERSINE)


def test_haversine_with_preprocessing_may_read_more_columns_than_it_clusters() -> None:
    steps = [{"select": {"columns": ["lat", "lon"]}}, {"toRadians": {}}]
    source = {"uri": "s3://b/k.parquet", "columns": ["lat", "lon", "name"]}
    assert len(read(steps, source=source, **HAVERSINE)[1].preprocessing) == 2

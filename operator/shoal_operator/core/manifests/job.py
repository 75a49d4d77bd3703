"""Builds the Job that makes one version: by training, or by importing what was fitted elsewhere.

Called by core.training. Invariant: one identity has one Job, whose name holds it.
"""

from __future__ import annotations

from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, namespace_of, uid_of
from shoal_operator.core.manifests.store_job import StoreJob, build_store_job
from shoal_operator.core.plan import Manifest
from shoal_operator.core.snapshot import Defaults, RawObject
from shoal_operator.core.versions import KnownVersion


def build_job(
    model: RawObject,
    spec: ClusteringModelSpec,
    training_hash: str,
    known: tuple[KnownVersion, ...],
    defaults: Defaults,
) -> Manifest:
    """Build the Job of a training, or that of an import."""
    if spec.artifact is not None:
        verb, variable, told = "import", "SHOAL_IMPORT_SPEC", import_input(model, spec, defaults)
    else:
        verb, variable, told = "train", "SHOAL_TRAINING_SPEC", training_input(model, spec, known, defaults)
    job = StoreJob(
        name=names.training_job(name_of(model), training_hash),
        verb=verb,
        labels={names.TRAINING_HASH: training_hash},
        variable=variable,
        told={**told, **version_input(model, spec, training_hash, known)},
        deadline_seconds=spec.training.active_deadline_seconds,
        retries=spec.training.retries,
        resources=spec.training.resources,
        source_secret_name=spec.secret_name,
    )
    return build_store_job(model, job, defaults)


def training_input(
    model: RawObject, spec: ClusteringModelSpec, known: tuple[KnownVersion, ...], defaults: Defaults
) -> Manifest:
    """Return what the training is told, without where its credentials come from.

    The baseline is the version that would be served now: what relative limits and cluster ids refer to.
    """
    if spec.recipe is None:
        raise AssertionError("an import is no training")
    source, algorithm = spec.recipe
    baseline = next((version for version in reversed(known) if version.servable), None)
    return {
        "name": name_of(model),
        "namespace": namespace_of(model),
        "source": source.model_copy(update={"secret_ref": None}).to_wire(),
        "preprocessing": [step.to_wire() for step in spec.preprocessing],
        "algorithm": algorithm.to_wire(),
        "validation": spec.validation.to_wire(),
        "plan": spec.training.plan.to_wire(),
        "baseline": baseline and {"version": baseline.number, "uri": baseline.uri, "digest": baseline.digest},
        "deadlineSeconds": spec.training.active_deadline_seconds,
        "storeUri": defaults.store_uri,
    }


def version_input(
    model: RawObject, spec: ClusteringModelSpec, training_hash: str, known: tuple[KnownVersion, ...]
) -> Manifest:
    """Return what a version is made with, however it is made; its number is above all that are known.

    The uid tells a model from an earlier one of its name, whose versions may still be in the store.
    """
    return {
        "trainingHash": training_hash,
        "modelUid": uid_of(model),
        "after": max((version.number for version in known), default=0),
        "labels": spec.labels,
        "card": spec.card.to_wire(),
    }


def import_input(model: RawObject, spec: ClusteringModelSpec, defaults: Defaults) -> Manifest:
    """Return what the import is told, without where its credentials come from."""
    if spec.artifact is None:
        raise AssertionError("a training is no import")
    return {
        "name": name_of(model),
        "namespace": namespace_of(model),
        "artifact": {"uri": spec.artifact.uri, "digest": spec.artifact.digest},
        "allowedHosts": list(defaults.import_allowed_hosts),
        "validation": spec.validation.to_wire(),
        "storeUri": defaults.store_uri,
    }

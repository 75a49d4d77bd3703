"""The engine's plans for training and serving on this machine; called by `training`, `cache` and `model`.

Invariant: pure. A plan trades time and memory; what the user overrides is told as its reason.
"""

from dataclasses import replace
from typing import Any

from pydantic.alias_generators import to_camel

from shoal_engine import Plan, plan
from shoal_worker.artifact.manifest import Manifest
from shoal_worker.resources import Machine
from shoal_worker.spec.training import TrainingSpec


def plan_training(rows: int, columns: int, spec: TrainingSpec, machine: Machine) -> Plan:
    """Plan a fit, with the spec's overrides."""
    found = plan(
        rows,
        columns,
        metric=spec.algorithm.chosen.metric,
        memory_limit=machine.memory,
        cores=machine.cpus,
        workload="fit",
    )
    if spec.algorithm.adaptive_dbscan is not None:
        reason = "tree: densities are measured in one, whatever the number of columns"
        found = replace(found, index="tree", reasons=found.reasons | {"index": reason})
    decided = {"index": spec.plan.index != "auto", "threads": spec.plan.threads is not None}
    return replace(
        found,
        index=spec.plan.index if decided["index"] else found.index,
        threads=spec.plan.threads or found.threads,
        reasons=found.reasons | {choice: f"spec.training.plan.{choice}" for choice in decided if decided[choice]},
    )


def plan_serving(manifest: Manifest, machine: Machine) -> Plan:
    """Plan how a model's requests are answered."""
    return plan(
        manifest.metrics.core_samples,
        len(manifest.features),
        metric=manifest.parameters.metric,
        memory_limit=machine.memory,
        cores=machine.cpus,
        workload="predict",
    )


def as_record(found: Plan) -> dict[str, Any]:
    """The plan as the version's record holds it."""
    fields = {to_camel(name): value for name, value in found.as_dict().items()}
    return {**fields, "reasons": {to_camel(name): reason for name, reason in found.reasons.items()}}

"""What a deployment names and what the files hold: models, members of its group, CronJobs; pure. Used by `risks`.

Invariant: whatever may be in the cluster alone is not missed: without any object of a kind among the files, none is
looked for.
"""

from collections.abc import Iterator, Sequence

from shoal_cli.deployments.rules import STARTABLE, find_group_problem, is_startable
from shoal_cli.lint.check import read_spec
from shoal_cli.lint.documents import Document, Path_
from shoal_operator.api.deployment import ClusteringDeploymentSpec

Risk = tuple[str, Path_, str]
"""Rule, path below spec, message."""


def find_wrong_references(document: Document, spec: ClusteringDeploymentSpec, others: Sequence[Document]) -> list[Risk]:
    """Return what leads nowhere; `others` are all documents of the files, Shoal's or not."""
    near = [each for each in others if each.namespace == document.namespace]
    return [*_model(spec, near), *_group(document, spec, near), *_cron_jobs(document, near)]


def _model(spec: ClusteringDeploymentSpec, near: Sequence[Document]) -> Iterator[Risk]:
    models = {each.name for each in near if each.kind == "ClusteringModel"}
    if models and spec.model_ref.name not in models:
        yield (
            "unknown-model",
            ("modelRef", "name"),
            f"no ClusteringModel {spec.model_ref.name} is among these files; there are {', '.join(sorted(models))}",
        )


def _group(document: Document, spec: ClusteringDeploymentSpec, near: Sequence[Document]) -> Iterator[Risk]:
    if spec.group is None or not spec.group.promote_after:
        return
    peers = {each.name: each.value for each in near if isinstance(read_spec(each), ClusteringDeploymentSpec)}
    if problem := find_group_problem(document.name, spec, document.value, peers):
        yield "group-invalid", ("group", "promoteAfter"), f"no version will roll out, for {problem}"


def _cron_jobs(document: Document, near: Sequence[Document]) -> Iterator[Risk]:
    held = {each.name: each for each in near if each.kind == "CronJob"}
    for path, name in _named_cron_jobs(document.value["spec"]):
        if name in held and not is_startable(held[name].value):
            yield (
                "not-startable",
                path,
                f"CronJob {name} ({held[name].file}:{held[name].line(('metadata',))}) does not allow it, so its Job is "
                f'never run; annotate it {STARTABLE}: "true"',
            )
        elif held and name not in held:
            yield (
                "unknown-cronjob",
                path,
                f"no CronJob {name} is among these files; there are {', '.join(sorted(held))}",
            )


def _named_cron_jobs(spec: dict[str, object]) -> Iterator[tuple[Path_, str]]:
    """Yield where a valid spec, as written, names a CronJob, and which; a gate that is off names none."""
    analysis = spec.get("analysis")
    jobs = analysis.get("jobs") if isinstance(analysis, dict) else None
    for place, values in ((("analysis", "jobs"), jobs), (("hooks",), spec.get("hooks"))):
        for index, each in enumerate(values if isinstance(values, list) else ()):
            if each.get("cronJob") and each.get("enabled", True):
                yield (*place, index, "cronJob"), each["cronJob"]

"""Settings that the API server takes and a person should think about; pure. Used by `lint`.

Invariant: each warning says what will happen and what would avoid it; none is about taste.
"""

from collections.abc import Iterator, Sequence

from shoal_cli.deployments.rules import build_schedule, schedule_problem, share_by_pods
from shoal_cli.lint.check import Finding, finding, read_spec
from shoal_cli.lint.documents import Document, Path_
from shoal_cli.lint.references import Risk, find_wrong_references
from shoal_operator.api.deployment import ClusteringDeploymentSpec, Worker
from shoal_operator.api.ingestion import Ingestion
from shoal_operator.api.meta import ResourceRequirements
from shoal_operator.api.model import ClusteringModelSpec

_FEW_CALLS = 20
_SHORT_WINDOW_LOOKS = 3
_LONGEST_SERVICE_NAME = 63
_FAR_RADIANS = 0.5


def warn(document: Document, others: Sequence[Document]) -> list[Finding]:
    """Return the warnings about a document whose spec is valid; `others` are all documents of the files."""
    spec = read_spec(document)
    risks: list[Risk] = []
    if isinstance(spec, ClusteringDeploymentSpec):
        risks += _serving(document, spec) if spec.ingestion is None else _consuming(spec, spec.ingestion)
        risks += [*_rollout(spec), *_gates(spec), *_scaling(spec), *find_wrong_references(document, spec, others)]
    elif isinstance(spec, ClusteringModelSpec):
        risks += _model(spec)
    return [finding("warning", document, ("spec", *path), message, rule) for rule, path, message in risks]


def _serving(document: Document, spec: ClusteringDeploymentSpec) -> Iterator[Risk]:
    worker = spec.worker
    least = spec.scaling.min_replicas if spec.scaling else worker.replicas
    if least == 1:
        yield (
            "one-pod",
            ("scaling", "minReplicas") if spec.scaling else ("worker", "replicas"),
            "one pod serves: while its node is drained or it restarts, calls fail; use 2 or more",
        )
    yield from _pods(worker)
    if worker.drain_delay_seconds == 0:
        yield (
            "no-drain-delay",
            ("worker", "drainDelaySeconds"),
            "a stopping pod refuses calls that routes still send to it; leave the default of 8",
        )
    if spec.traffic.router == "Service" and (len(document.name) > _LONGEST_SERVICE_NAME or "." in document.name):
        yield (
            "service-name",
            (),
            f"the Service takes the name {document.name}, and a Service's has at most 63 characters and no dots; "
            "choose a shorter name",
        )


def _consuming(spec: ClusteringDeploymentSpec, ingestion: Ingestion) -> Iterator[Risk]:
    yield from _pods(spec.worker)
    if ingestion.dead_letter_subject == ingestion.output.subject:
        yield (
            "mixed-letters",
            ("ingestion", "deadLetterSubject"),
            "dead letters come among the labels, where readers expect answers; name another subject",
        )
    if ingestion.subject in (ingestion.output.subject, ingestion.dead_letter_subject):
        yield (
            "stream-loop",
            ("ingestion", "subject"),
            "what goes out comes in again, without end; give the output and the dead letters subjects of their own",
        )
    queue = spec.scaling.metrics.queue if spec.scaling else None
    store = ingestion.output.store
    if queue is not None and store is not None and 1 <= queue.average_value < store.roll_messages:
        yield (
            "files-look-like-backlog",
            ("scaling", "metrics", "queue", "averageValue"),
            f"up to {store.roll_messages:,} messages wait in each pod for their file and count as backlog, so pods are "
            "added without need; name more than output.store.rollMessages",
        )
    if queue is not None and queue.average_value < 1:
        yield (
            "pod-per-message",
            ("scaling", "metrics", "queue", "averageValue"),
            "fewer than one message for a pod asks for a pod for each message that waits; a pod labels thousands a "
            "second, so name what it may have waiting",
        )


def _pods(worker: Worker) -> Iterator[Risk]:
    yield from _resources(worker.resources, ("worker", "resources"))
    image = (worker.image or "").rpartition("/")[2]
    if image and "@sha256:" not in image and (":" not in image or image.endswith(":latest")):
        yield (
            "moving-tag",
            ("worker", "image"),
            f"{worker.image} may be another image tomorrow, without a rollout; name a version or a digest",
        )


def _asks_others(spec: ClusteringDeploymentSpec) -> bool:
    """Tell whether a gate can judge a candidate that has all calls."""
    own = any(gate.min is not None or gate.max is not None for gate in spec.analysis.prometheus)
    return own or bool(spec.analysis.webhooks or spec.analysis.jobs)


def _rollout(spec: ClusteringDeploymentSpec) -> Iterator[Risk]:
    if spec.paused:
        yield "paused", ("paused",), "no version rolls out until it is false"
    by_pods = spec.traffic.router == "Service" and spec.ingestion is None
    schedule = build_schedule(spec)
    blue_green = spec.strategy.blue_green is not None
    place: Path_ = ("strategy", "blueGreen" if blue_green else "canary")
    if not any((step.judged and step.weight < 100) or step.hold_seconds is None for step in schedule.steps):
        yield (
            "nothing-judged",
            place,
            "no step holds a weight between 0 and 100 %, so a new version takes everything as soon as its pods are "
            "ready, and no gate looks at its calls; "
            + ("use 2 steps or more with an interval" if blue_green else "add a pause with durationSeconds"),
        )
    if schedule.scale_down_delay_seconds == 0 and schedule.standby.revisions == 0:
        yield (
            "no-way-back",
            (*place, "scaleDownDelaySeconds"),
            "the replaced pods go at once, so going back needs new ones first; leave the default of 30",
        )
    if any(step.judged and step.weight == 100 for step in schedule.steps) and not _asks_others(spec):
        yield (
            "nothing-asked",
            place,
            "with all calls on the candidate there are none to compare, so only the readiness of its pods decides; "
            "add a gate in analysis.prometheus, webhooks or jobs",
        )
    judged = [step for step in schedule.steps if step.judged]
    longest = max((max(step.hold_seconds or 0, step.patience_seconds or 0) for step in judged), default=None)
    age = spec.worker.max_connection_age_seconds
    if longest is not None and by_pods and age > longest:
        yield (
            "sticky-connections",
            ("worker", "maxConnectionAgeSeconds"),
            f"connections live {age} s, longer than any step holds ({longest:g} s), so long-lived clients stay where "
            "they are and the candidate is judged by few; lower it",
        )
    if by_pods and not blue_green:
        yield from _coarse(spec)
    if spec.on_failure == "Pause":
        yield (
            "pause-on-failure",
            ("onFailure",),
            "a candidate that fails keeps its share of the calls until a person acts; Rollback takes it away at once",
        )


def _coarse(spec: ClusteringDeploymentSpec) -> Iterator[Risk]:
    """Warn of weights that so few pods cannot give."""
    canary = spec.strategy.canary
    for place, step in enumerate(canary.steps if canary else ()):
        if step.set_weight is None:
            continue
        real = share_by_pods(step.set_weight, spec.worker.replicas, full_pool=False)
        if abs(real - step.set_weight) > max(5, step.set_weight // 4):
            yield (
                "coarse-weight",
                ("strategy", "canary", "steps", place, "setWeight"),
                f"with {spec.worker.replicas} pods behind a Service the candidate gets {real} %, not "
                f"{step.set_weight} %; use more replicas, or traffic.router Gateway, whose weights are exact",
            )


def _scaling(spec: ClusteringDeploymentSpec) -> Iterator[Risk]:
    scaling = spec.scaling
    if scaling is None:
        return
    metrics, requests = scaling.metrics, spec.worker.resources.requests
    for name, metric in (("cpu", metrics.cpu), ("memory", metrics.memory)):
        if metric is not None and name not in requests:
            yield (
                "no-request-to-scale-by",
                ("scaling", "metrics", name),
                f"it is a percentage of worker.resources.requests.{name}, which is not set, so it never asks for a "
                "pod; set it",
            )
    if metrics.memory and not any((metrics.queue, metrics.requests_per_second, metrics.cpu, metrics.prometheus)):
        yield (
            "memory-alone",
            ("scaling", "metrics"),
            "a model's memory hardly falls with its load, so pods that were added stay; add queue or cpu",
        )
    if scaling.min_replicas == scaling.max_replicas:
        yield (
            "nothing-to-scale",
            ("scaling", "maxReplicas"),
            "it is minReplicas, so the number never changes; raise it, or use worker.replicas without scaling",
        )
    if not scaling.min_replicas <= spec.worker.replicas <= scaling.max_replicas and spec.worker.replicas:
        yield (
            "begins-outside",
            ("worker", "replicas"),
            f"scaling begins with {spec.worker.replicas} pods, outside minReplicas to maxReplicas, which are kept at "
            "once; choose a number between them",
        )
    window = scaling.behavior.scale_down.stabilization_window_seconds
    if window < _SHORT_WINDOW_LOOKS * scaling.interval_seconds:
        yield (
            "restless",
            ("scaling", "behavior", "scaleDown", "stabilizationWindowSeconds"),
            f"{window} s are less than {_SHORT_WINDOW_LOOKS} looks: pods that start late or figures that come late can "
            "make the number swing; leave the default of 300",
        )


def _gates(spec: ClusteringDeploymentSpec) -> Iterator[Risk]:
    analysis = spec.analysis
    if analysis.error_rate is None and analysis.latency is None:
        yield (
            "no-gates",
            ("analysis",),
            "errorRate and latency are both off: a version that fails its calls is promoted; enable one",
        )
    if analysis.on_inconclusive == "Proceed":
        yield (
            "proceeds-unjudged",
            ("analysis", "onInconclusive"),
            "with few calls a step ends without a verdict and the version is promoted unjudged; Hold waits for calls",
        )
    for name, gate in (("errorRate", analysis.error_rate), ("latency", analysis.latency)):
        if gate is not None and gate.min_samples < _FEW_CALLS:
            yield (
                "few-samples",
                ("analysis", name, "minSamples"),
                f"{gate.min_samples} calls tell little: only gross faults are found; use {_FEW_CALLS} or more",
            )


def _model(spec: ClusteringModelSpec) -> Iterator[Risk]:
    yield from _resources(spec.training.resources, ("training", "resources"))
    limits = spec.validation
    relative = limits.relative
    limited = (limits.max_noise_ratio, limits.min_silhouette, limits.min_dbcv, limits.max_clusters)
    compared = (relative.min_agreement, relative.min_dbcv_ratio, relative.min_silhouette_ratio)
    if limits.min_clusters <= 1 and all(each is None for each in (*limited, *compared)):
        yield (
            "no-limits",
            ("validation",),
            "a version with one cluster, or with nearly all rows as noise, passes; set minClusters and maxNoiseRatio",
        )
    if spec.retrain and (problem := schedule_problem(spec.retrain)):
        field, _, message = problem.partition(": ")
        yield "no-time", ("retrain", field.rpartition(".")[2]), message
    dbscan = spec.algorithm.dbscan if spec.algorithm else None
    if dbscan and dbscan.metric == "haversine" and dbscan.eps is not None and dbscan.eps > _FAR_RADIANS:
        yield (
            "far-eps",
            ("algorithm", "dbscan", "eps"),
            f"{dbscan.eps:g} radians are {dbscan.eps * 6371:,.0f} km; divide kilometres by 6371",
        )


def _resources(resources: ResourceRequirements, path: Path_) -> Iterator[Risk]:
    if not resources.requests and not resources.limits:
        yield (
            "no-resources",
            path,
            "without requests pods are the first to be evicted and crowd nodes; set requests",
        )

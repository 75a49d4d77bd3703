"""All facts of one reconcile pass, read once, frozen, with the questions that decisions ask of them.

Built by runtime.store from the watch indices (and runtime.samples), read by core.training, core.rollout and core.batch.
Never contains a client, a clock or anything that changes during the pass. Raw objects stay plain mappings, because they
are untrusted; what a decision needs of them is extracted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shoal_operator.core.comparison import Comparison

RawObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Defaults:
    """The operator's settings that decisions need."""

    worker_image: str
    store_uri: str
    store_secret_name: str | None = None
    store_claim_name: str | None = None
    import_allowed_hosts: tuple[str, ...] = ()
    """Hosts that artifacts may be imported from by https:// and oci://."""
    analysis_allowed_hosts: tuple[str, ...] = ()
    """Hosts that gates may ask, each with its port if it has one."""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """One pod, as far as decisions care."""

    name: str
    uid: str
    revision: str | None
    ready: bool
    deleting: bool
    routed: bool
    ip: str | None
    created: str
    status: RawObject
    """The pod's raw status, for core.diagnosis."""
    share: str = ""
    """Percent of a stream's leases that it was told to take; empty before it was told."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the pods of one revision served between one reading of their counters and the next."""

    calls: float = 0.0
    errors: float = 0.0
    """Calls that did not end as OK."""
    seconds: float = 0.0
    """Sum of the latencies of all calls, in seconds."""
    squares: float = 0.0
    """Sum of the squared latencies, estimated from the histogram's buckets, in seconds squared."""
    durations: Mapping[float, float] = field(default_factory=dict)
    """Upper bound of a latency bucket in seconds -> calls in that bucket alone."""
    rows: float = 0.0
    """Rows that were labelled."""
    noise_rows: float = 0.0
    """Rows among them that were labelled as noise."""
    ranged_rows: float = 0.0
    """Rows that were labelled by pods whose model knows the range of its training data."""
    out_of_reach_rows: float = 0.0
    """Rows among the latter that lie outside this range."""


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """What the pods of one revision served since the window began (the same instant for every revision)."""

    calls: int
    errors: int
    """Calls that did not end as OK."""
    seconds_sum: float
    """Sum of the latencies of all calls, in seconds."""
    seconds_square_sum: float
    """Sum of the squared latencies, estimated from the histogram's buckets, in seconds squared."""
    looks: tuple[Look, ...] = ()
    """The same by look, oldest first; at one index, all revisions of a window were looked at in the same moment."""
    looked_at: str = ""
    """When the last look was, RFC 3339: what gates say of the same look counts once. Empty before the first."""
    leased: int = 0
    """Messages of a stream that were leased; 0 where calls are served."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One pod's figure of one scaling metric."""

    value: int
    """In thousandths: of a core, of a byte, of a call, of a call a second."""
    at: datetime
    window: timedelta = timedelta(0)
    """The time that the figure was averaged over."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the pods of a deployment do, read at one look."""

    at: str
    """When the look was, RFC 3339: what follows from it is decided once."""
    samples: Mapping[str, Mapping[str, LoadSample]]
    """Metric -> pod's uid -> figure."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why its source gave no figures at all."""
    backlog: int | None = None
    """Messages of the stream that nobody has answered; None where it is not known, or no stream is consumed."""
    rival: str = ""
    """Another autoscaler of the same deployment or of its pools, such as `HorizontalPodAutoscaler towns`."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Metric that a query is asked for -> what came of it at this look."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server outside said to a gate's request, or why it said nothing."""

    at: str
    """When it was asked, RFC 3339."""
    status: int = 0
    body: str = ""
    error: str = ""
    """Why there is no answer; empty where there is one."""


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """Facts about one ClusteringModel."""

    model: RawObject
    jobs: tuple[RawObject, ...] = ()
    """Its training and maintenance Jobs."""
    job_pods: tuple[RawObject, ...] = ()
    """Pods of these Jobs, raw; the training report is a container's termination message."""
    versions: tuple[RawObject, ...] = ()
    """Its ClusteringModelVersions."""
    deployments: tuple[RawObject, ...] = ()
    """The ClusteringDeployments that refer to it: what they use stays."""
    batches: tuple[RawObject, ...] = ()
    """The ClusteringBatches that label data with one of its versions."""
    missing_secrets: frozenset[str] = frozenset()
    """Names among the Secrets that it needs which do not exist in its namespace."""
    defaults: Defaults = field(default_factory=lambda: Defaults(worker_image="", store_uri=""))


@dataclass(frozen=True, slots=True)
class BatchSnapshot:
    """Facts about one ClusteringBatch."""

    batch: RawObject
    model: RawObject | None = None
    """The ClusteringModel that spec.modelRef names."""
    versions: tuple[RawObject, ...] = ()
    """All versions of that model."""
    deployment: RawObject | None = None
    """The ClusteringDeployment that spec.deploymentRef names."""
    jobs: tuple[RawObject, ...] = ()
    job_pods: tuple[RawObject, ...] = ()
    """Pods of these Jobs, raw; their reports are the containers' termination messages."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Pod's uid -> rows that it has labelled, as it told last."""
    missing_secrets: frozenset[str] = frozenset()
    """Names among the Secrets that it needs which do not exist in its namespace."""
    defaults: Defaults = field(default_factory=lambda: Defaults(worker_image="", store_uri=""))


@dataclass(frozen=True, slots=True)
class DeploymentSnapshot:
    """Facts about one ClusteringDeployment."""

    deployment: RawObject
    model: RawObject | None = None
    """The ClusteringModel that it refers to."""
    versions: tuple[RawObject, ...] = ()
    """All versions of that model."""
    workloads: tuple[RawObject, ...] = ()
    """Its apps/v1 Deployments."""
    services: tuple[RawObject, ...] = ()
    routes: tuple[RawObject, ...] = ()
    """Its GRPCRoutes (empty where the Gateway API is not installed)."""
    budgets: tuple[RawObject, ...] = ()
    """Its PodDisruptionBudgets."""
    decisions: tuple[RawObject, ...] = ()
    """Its ClusteringDecisions, metadata alone."""
    pods: tuple[PodFacts, ...] = ()
    gateway: RawObject | None = None
    """The Gateway that spec.traffic.gateway names, if it exists."""
    gateway_api_installed: bool = True
    missing_secrets: frozenset[str] = frozenset()
    windows: Mapping[str, WindowFigures] = field(default_factory=dict)
    """Revision -> figures of the window that core.gates.analysis_window opens for this very object; empty before the
    first look at it. Figures of an earlier window never stand here."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Key of a request that core.gates.outside builds -> what came of it last, in the same window."""
    comparison: Comparison | None = None
    """What both versions made of the same rows last, in the same window; None before the first."""
    hook_answers: Mapping[str, Answer] = field(default_factory=dict)
    """Key of a request that core.hooks builds -> what came of it last."""
    tasks: tuple[RawObject, ...] = ()
    """The Jobs that its gates and hooks started."""
    task_pods: tuple[RawObject, ...] = ()
    """Pods of these Jobs, raw."""
    farewell: RawObject | None = None
    """The Job that deletes its consumer, while it is being deleted."""
    cron_jobs: Mapping[str, RawObject | None] = field(default_factory=dict)
    """Name -> the CronJob that a gate or a hook needs now, None where it does not exist."""
    peers: tuple[RawObject, ...] = ()
    """The other ClusteringDeployments of its group, and those that spec.group.promoteAfter names, whatever they are."""
    load: Load | None = None
    """The last look at the scaling metrics; None before the first, and without spec.scaling."""
    defaults: Defaults = field(default_factory=lambda: Defaults(worker_image="", store_uri=""))

"""The environment of each verb, as one frozen settings object per verb; read by `__main__` only.

The docstring under a field is its documentation. Nothing else in the worker reads the environment.
"""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shoal_worker.errors import SettingsInvalid

Seconds = Annotated[float, Field(ge=0, le=86_400)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Bytes = Annotated[int, Field(ge=1, le=1 << 40)]


class _Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOAL_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    """Least level of log lines: debug, info, warning or error."""

    store_secret_dir: Path = Path("/var/run/shoal/store")
    """Directory with one file per store credential (AWS_ACCESS_KEY_ID, ...); it may be absent."""

    file_root: Path = Path("/var/lib/shoal/store")
    """file:// URIs must lie below this directory, so that a model cannot read other files of the pod."""

    report_path: Path = Path("/dev/termination-log")
    """Where the outcome of `train`, or why `serve` could not load its model, is written for the operator."""

    max_artifact_bytes: Bytes = 4 << 30
    """Largest model file that is written or loaded."""

    cache_dir: Path = Path("/var/cache/shoal")
    """Verified local copies of artifacts, one directory per digest."""

    cache_bytes: Bytes = 16 << 30
    """Largest size of all local copies together; the longest unused go first."""


class ModelSettings(_Settings):
    """What the verbs that answer with one model until SIGTERM have in common."""

    model_name: str = Field(min_length=1, max_length=253)
    """Name that requests must carry: the ClusteringDeployment's."""

    model_version: str = Field(min_length=1, max_length=20)
    """Version that requests may carry."""

    artifact_uri: str = Field(min_length=1, max_length=2048)
    """Artifact directory: s3://bucket/path or file:///path."""

    artifact_digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")
    """sha256 of the artifact's manifest."""

    metrics_port: Port = 8002
    """Port of /metrics, /livez and /readyz; 0 picks a free one."""

    internal_port: Port = 8003
    """Port of /answer and /compare, for the operator and the deployment's other pods; 0 picks a free one."""

    compare_url: str = Field(default="", max_length=2048, pattern=r"^(https?://[^\s/?#@]+/?)?$")
    """Where the candidate's internal port is reached: http://host:port. Empty: no request is kept or compared."""

    reservoir_rows: int = Field(default=4000, ge=0, le=100_000)
    """Most rows of recent requests that are kept, sealed and in memory, to be compared; 0 keeps none."""

    reservoir_bytes: Bytes = 8 << 20
    """Most bytes of them."""

    reservoir_age_seconds: float = Field(default=300, gt=0, le=3600)
    """Age at which a kept request is forgotten."""

    bind_address: str = "0.0.0.0"  # noqa: S104 - a pod is reached from other pods
    """Address that all ports listen on."""

    drain_grace_seconds: Seconds = 20
    """After SIGTERM and what delays the drain, time for what is in flight to end."""

    load_retry_seconds: float = Field(default=10, gt=0, le=600)
    """Longest pause between attempts to load the artifact while the store is unavailable."""


class ServeSettings(ModelSettings):
    """Environment of `shoal-worker serve`."""

    grpc_port: Port = 8001
    """Port of the inference, health and reflection services; 0 picks a free one."""

    health_port: Port = 8004
    """Port of the health service for the kubelet, which answers whatever the other ports do; 0 picks a free one."""

    max_in_flight: int = Field(default=64, ge=1, le=10_000)
    """ModelInfer calls that wait or run at once; more are refused with RESOURCE_EXHAUSTED."""

    threads: int = Field(default=0, ge=0, le=256)
    """Predictions that run at once; 0 means one per CPU."""

    max_message_bytes: int = Field(default=16 << 20, ge=1024, le=1 << 30)
    """Largest gRPC message, both ways."""

    max_request_seconds: float = Field(default=20, gt=0, le=3600)
    """Longest time a call may take, also where the client gave no deadline."""

    drain_delay_seconds: Seconds = 8
    """After SIGTERM, time to keep serving while NOT_SERVING spreads through endpoints and proxies."""

    drain_connections_seconds: Seconds = 67
    """After the drain delay, longest time to wait until the clients have left, as they do when connections age."""

    max_connection_age_seconds: float = Field(default=60, gt=0, le=86_400)
    """Age at which a connection is told to go away, so that long-lived clients follow the routing."""

    max_concurrent_streams: int = Field(default=64, ge=1, le=10_000)
    """Calls at once on one connection; more wait in the client. When eight times as many calls wait for the event loop,
    the transport begins to refuse some, and at 16 times as many all."""


class NatsSettings(_Settings):
    """What the verbs that have to do with a stream have in common."""

    nats_url: str = Field(min_length=1, max_length=2048, pattern=r"^(nats|tls)://[^\s,@]+(,(nats|tls)://[^\s,@]+)*$")
    """Servers of NATS: nats://host:port or tls://host:port, several with commas between."""

    nats_secret_dir: Path = Path("/var/run/shoal/nats")
    """Directory with one file per credential: user and password, token, user.creds, nkey.seed; ca.crt, tls.crt and
    tls.key for TLS. It may be absent."""

    input_stream: str = Field(pattern=r"^[^\s.*>/\\]{1,255}$")
    """Stream that messages are taken from."""

    consumer: str = Field(pattern=r"^[^\s.*>/\\]{1,255}$")
    """Durable consumer that the workers of all versions share; it is created where there is none."""

    connect_seconds: float = Field(default=20, gt=0, le=600)
    """Time in which NATS must be reached at the start; later it is waited for."""


class ForgetConsumerSettings(NatsSettings):
    """Environment of `shoal-worker forget-consumer`."""


class ConsumeSettings(ModelSettings, NatsSettings):
    """Environment of `shoal-worker consume`."""

    input_subject: str = Field(default="", max_length=1024, pattern=r"^\S*$")
    """Subject in that stream, wildcards allowed; empty: all of them."""

    deliver: str = Field(default="All", pattern="^(All|New)$")
    """What a consumer that is created begins with: All messages that the stream holds, or New ones only."""

    output_subject: str = Field(default="", max_length=1024, pattern=r"^[^\s*>]*$")
    """Subject that the labels are published to; a stream must take it. Empty: they go to output_uri."""

    output_uri: str = Field(default="", max_length=2048, validate_default=True)
    """Folder of the result store that the labels are written to instead: s3://bucket/path or file:///path."""

    output_secret_dir: Path = Path("/var/run/shoal/output")
    """Directory with one file per credential of the result store; it may be absent."""

    output_roll_messages: int = Field(default=10_000, ge=1, le=50_000)
    """Messages of which a file of the result store is made, or half of max_in_flight where that is less."""

    output_roll_seconds: float = Field(default=5, ge=0.1, le=300)
    """Time after which a file of the result store is made of fewer messages."""

    namespace: str = Field(default="", max_length=63)
    """Namespace of the ClusteringDeployment, which with its name is its place in the result store; empty: default."""

    dead_letter_subject: str = Field(min_length=1, max_length=1024, pattern=r"^[^\s*>]+$")
    """Subject for messages that nobody can answer; a stream must take it."""

    max_in_flight: int = Field(default=2048, ge=1, le=100_000)
    """Messages that are leased at once; with a result store at least twice what a file is made of."""

    batch_rows: int = Field(default=4096, ge=1, le=1_000_000)
    """Rows of several messages that are labelled at once; a message is never cut."""

    ack_wait_seconds: float = Field(default=30, ge=1, le=3600)
    """Time after which the messages of a worker that vanished are given to another."""

    max_deliveries: int = Field(default=5, ge=1, le=1000)
    """Deliveries of a message that the worker fails at, before it is a dead letter."""

    share_file: Path | None = None
    """File with the percentage of all leases that this worker may take; absent: all that it can."""

    @field_validator("output_uri")
    @classmethod
    def _check_output(cls, uri: str, info: ValidationInfo) -> str:
        if bool(info.data.get("output_subject")) == bool(uri):
            raise ValueError("exactly one of SHOAL_OUTPUT_SUBJECT and SHOAL_OUTPUT_URI must be set")
        if uri and not info.data.get("model_version", "1").isdecimal():
            raise ValueError("SHOAL_MODEL_VERSION must be a number where labels go into a store")
        return uri


class JobSettings(_Settings):
    """What the verbs that end have in common."""


class TrainSettings(JobSettings):
    """Environment of `shoal-worker train`."""

    training_spec: str = Field(min_length=2, max_length=1 << 20)
    """The training as JSON: name, namespace, source, algorithm, validation, storeUri."""

    source_secret_dir: Path = Path("/var/run/shoal/source")
    """Directory with one file per source credential; it may be absent."""

    max_source_bytes: Bytes = 4 << 30
    """Most bytes of rows that are held, eight for each value; a third of the memory where that is less."""

    max_rows: int = Field(default=100_000_000, ge=1, le=(1 << 31) - 1)
    """Most rows that are held."""


class ImportSettings(JobSettings):
    """Environment of `shoal-worker import`."""

    import_spec: str = Field(min_length=2, max_length=1 << 20)
    """The import as JSON: name, namespace, artifact (uri, digest), allowedHosts, validation, storeUri."""

    source_secret_dir: Path = Path("/var/run/shoal/source")
    """Directory with one file per credential of where the artifact lies; it may be absent."""


class MaintainSettings(JobSettings):
    """Environment of `shoal-worker maintain`."""

    maintenance_spec: str = Field(min_length=2, max_length=1 << 20)
    """The changes as JSON: name, namespace, changes (version, digest, to), inUse, storeUri."""


class BatchSettings(JobSettings):
    """Environment of `shoal-worker batch`."""

    batch_spec: str = Field(min_length=2, max_length=1 << 20)
    """The step as JSON: name, namespace, step (plan, shard or finish), run, model, source, output, batchRows."""

    source_secret_dir: Path = Path("/var/run/shoal/source")
    """Directory with one file per source credential; it may be absent."""

    output_secret_dir: Path = Path("/var/run/shoal/output")
    """Directory with one file per credential of the result store; it may be absent."""

    sink_secret_dir: Path = Path("/var/run/shoal/sink")
    """Directory with one file per credential of the PostgreSQL table (PGUSER, PGPASSWORD); it may be absent."""

    metrics_port: Port = 8002
    """Port of /metrics, which tells the rows that are labelled; 0 picks a free one."""

    shard: int = Field(default=0, ge=0, validation_alias=AliasChoices("SHOAL_SHARD", "JOB_COMPLETION_INDEX"))
    """Number of the shard, for the step shard; in an indexed Job its JOB_COMPLETION_INDEX."""


def load_batch_settings() -> BatchSettings:
    """Read the environment of `batch`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return BatchSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def load_consume_settings() -> ConsumeSettings:
    """Read the environment of `consume`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return ConsumeSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def load_forget_consumer_settings() -> ForgetConsumerSettings:
    """Read the environment of `forget-consumer`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return ForgetConsumerSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def load_import_settings() -> ImportSettings:
    """Read the environment of `import`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return ImportSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def load_maintain_settings() -> MaintainSettings:
    """Read the environment of `maintain`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return MaintainSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def load_serve_settings() -> ServeSettings:
    """Read the environment of `serve`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return ServeSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def load_train_settings() -> TrainSettings:
    """Read the environment of `train`, or raise SettingsInvalid naming the wrong variables."""
    try:
        return TrainSettings()  # type: ignore[call-arg]  # required fields come from the environment
    except ValidationError as error:
        raise _explained(error) from None


def _explained(error: ValidationError) -> SettingsInvalid:
    problems = error.errors(include_url=False, include_context=False)
    names = [f"SHOAL_{'_'.join(str(part) for part in problem['loc'])}".upper() for problem in problems]
    return SettingsInvalid(
        problems[0]["msg"] + (f"; also wrong: {', '.join(names[1:])}" if names[1:] else ""),
        field=names[0],
        value="" if problems[0]["type"] == "missing" else problems[0]["input"],
        remedy="Set the variable; `shoal-worker --help` lists them all",
    )


def report_path() -> Path:
    """Where to report that the other settings are wrong."""
    return Path(os.environ.get("SHOAL_REPORT_PATH", _Settings.model_fields["report_path"].default))

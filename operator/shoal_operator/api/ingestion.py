"""spec.ingestion of a ClusteringDeployment: the stream whose messages its pods label, instead of serving calls.

Read by core.stream_router, core.manifests.consumer and core.scaling. No decision lives here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule, SecretReference, StoreUri

Subject = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\s*>]+$")]
StreamName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s.*>/\\]+$")]


class NatsServers(ApiModel):
    """Where NATS is."""

    url: str = Field(
        min_length=1,
        max_length=2048,
        pattern=r"^(nats|tls)://[^\s,@]+(,(nats|tls)://[^\s,@]+)*$",
        description="nats://host:port or tls://host:port, several with commas between; credentials go into the Secret.",
    )
    secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with user and password, or token, user.creds or nkey.seed; ca.crt, tls.crt and tls.key for "
        "TLS. Changed credentials take effect when pods start.",
    )
    monitoring_url: str | None = Field(
        default=None,
        max_length=2048,
        pattern=r"^https?://[^\s/?#@]+$",
        description="http://host:8222 of a server that holds the consumer, which the operator asks for the backlog "
        "while there is no pod. Its host must be among the chart's analysis.allowedHosts.",
    )


class StoreOutput(ApiModel):
    """A result store that gets the labels as rows of Parquet files."""

    uri: StoreUri = Field(
        description="Folder of the result store: s3://bucket/path, gs://bucket/path, az://container/path or "
        "file:///path in a mounted volume. The files lie below it in namespace/name/run.",
    )
    secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with the credentials of the result store (AWS_ACCESS_KEY_ID and others). Changed ones take "
        "effect when pods start.",
    )
    roll_messages: int = Field(default=10_000, ge=1, le=50_000, description="Most messages in a file.")
    roll_seconds: int = Field(
        default=5,
        ge=1,
        le=300,
        description="Seconds after which a file is written with fewer. Until then its messages are not acknowledged.",
    )


class Output(ApiModel):
    """Where the labels go."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="has(self.subject) != has(self.store)",
            message="exactly one of subject and store must be set; for both, let two deployments read the stream, each "
            "by a consumer of its own",
        ),
    )

    subject: Subject | None = Field(
        default=None,
        description="Subject that a stream takes. The answer of a message always has the same Nats-Msg-Id, so that the "
        "stream keeps it once.",
    )
    store: StoreOutput | None = Field(default=None, description="A result store, instead of a subject.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.subject is None) == (self.store is None):
            raise ValueError(self.cel_rules[0].message)
        return self


class Ingestion(ApiModel):
    """A stream of NATS JetStream in, labels out. Versions share the leases of one durable consumer by their weights."""

    nats: NatsServers = Field(description="Where NATS is.")
    stream: StreamName = Field(description="Stream that messages are taken from; it must exist.")
    subject: str = Field(
        default="", max_length=1024, pattern=r"^\S*$", description="Subject in that stream, with wildcards; empty: all."
    )
    consumer: StreamName | None = Field(
        default=None,
        description="Durable consumer; shoal-<namespace>-<name> when absent. It is created where it is missing.",
    )
    consumer_at_deletion: Literal["Keep", "Delete"] = Field(
        default="Keep",
        description="What becomes of the consumer, which holds the place in the stream, when the ClusteringDeployment "
        "is deleted. Delete: a Job deletes it once the pods are gone, and until then, for some minutes at most, the "
        "ClusteringDeployment is being deleted.",
    )
    deliver: Literal["All", "New"] = Field(
        default="All",
        description="What a consumer that is created begins with: All that the stream holds, or New only.",
    )
    output: Output = Field(description="Where the labels go.")
    dead_letter_subject: Subject = Field(
        description="Subject, taken by a stream, for messages that nobody can answer, with headers that tell why."
    )
    max_in_flight: int = Field(
        default=2048,
        ge=1,
        le=100_000,
        description="Messages that a pod holds at once; at least twice rollMessages where they go into a store.",
    )
    batch_rows: int = Field(
        default=4096, ge=1, le=1_000_000, description="Rows of several messages that are labelled at once."
    )
    ack_wait_seconds: int = Field(
        default=30,
        ge=1,
        le=3600,
        description="Seconds after which messages of a pod that vanished go to another. The output's stream must "
        "remember ids for at least twice as long.",
    )
    max_deliveries: int = Field(
        default=5, ge=1, le=1000, description="Deliveries at which a pod fails before a message is a dead letter."
    )

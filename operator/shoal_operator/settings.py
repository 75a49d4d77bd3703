"""The operator's settings, read once from the environment (SHOAL_OPERATOR_*) by __main__.

One docstring per field; docs/operator.md is their table. Invariant: a value that cannot work is refused at the start,
with the variable's name and the remedy.
"""

from __future__ import annotations

import re
import socket
import uuid
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shoal_operator.core.snapshot import Defaults
from shoal_operator.errors import SettingsError

PREFIX = "SHOAL_OPERATOR_"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

_HOST = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?")


def _own_namespace() -> str:
    """Return the namespace of the pod that this runs in, or `default` outside a cluster."""
    try:
        return _NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"


def _own_identity() -> str:
    """Return a name that no other process has: two operators of one host must never think they are one."""
    return f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


class Settings(BaseSettings):
    """What a Shoal operator process is told from outside."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    watch_namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to serve, comma separated; all of the cluster when empty."""

    worker_image: str = ""
    """Image of trainers and workers where an object names none. Required."""

    store_uri: str = ""
    """Where artifacts are kept: s3://bucket/prefix or file:///path; without it no model is trained."""

    store_secret_name: str | None = None
    """Secret with the store's credentials, looked up in each object's own namespace."""

    store_claim_name: str | None = None
    """PersistentVolumeClaim of a file:// store, in each object's own namespace."""

    import_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that models may be imported from by https:// and oci://, comma separated, each with its port if it has
    one; none when empty."""

    analysis_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that gates and hooks may ask (analysis.prometheus, analysis.webhooks, hooks), comma separated, each with
    its port if it has one; none when empty."""

    lease_name: str = Field(default="shoal-operator", min_length=1)
    """Lease that the leader holds."""

    lease_namespace: str = Field(default_factory=_own_namespace, min_length=1)
    """Namespace of the Lease; the operator's own by default."""

    identity: str = Field(default_factory=_own_identity, min_length=1)
    """This process's name in the Lease; the pod's name in a cluster. Never the same for two live processes."""

    metrics_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /metrics; 0 picks a free one."""

    probe_port: int = Field(default=8081, ge=0, le=65535)
    """Port of /livez and /readyz; 0 picks a free one."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity that is logged."""

    concurrency: int = Field(default=4, ge=1, le=64)
    """Objects that are reconciled at once; one object is never reconciled twice at once."""

    resync_seconds: float = Field(default=60.0, ge=5, le=3600)
    """Period in which every object is reconciled and applied anew, and the watches' picture is checked by a list."""

    kubeconfig: str | None = None
    """Path of a kubeconfig; the pod's service account, else $KUBECONFIG, else ~/.kube/config when absent."""

    @field_validator("watch_namespaces", "import_allowed_hosts", "analysis_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value

    @field_validator("store_secret_name", "store_claim_name", "kubeconfig", mode="before")
    @classmethod
    def _empty_is_absent(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.worker_image:
            raise ValueError(
                f"{PREFIX}WORKER_IMAGE is empty; set it to the image of the workers, for example shoal/worker:0.1.0"
            )
        if self.store_uri and not self.store_uri.startswith(("s3://", "file://")):
            raise ValueError(
                f"{PREFIX}STORE_URI is {self.store_uri!r}; it must start with s3:// or file://, "
                "for example s3://models/shoal"
            )
        hosts = {"IMPORT": self.import_allowed_hosts, "ANALYSIS": self.analysis_allowed_hosts}
        for name, host in [(name, host) for name, listed in hosts.items() for host in listed]:
            if not _HOST.fullmatch(host):
                raise ValueError(
                    f"{PREFIX}{name}_ALLOWED_HOSTS contains {host!r}, which is no host; give names such as "
                    "models.example.org or registry.example.org:5000, separated by commas"
                )
        for namespace in self.watch_namespaces:
            if not _NAMESPACE.fullmatch(namespace):
                raise ValueError(
                    f"{PREFIX}WATCH_NAMESPACES contains {namespace!r}, which is no namespace's name; "
                    "give names separated by commas, or leave it empty to serve the whole cluster"
                )
        return self

    @property
    def defaults(self) -> Defaults:
        """Return the part of the settings that decisions need."""
        return Defaults(
            worker_image=self.worker_image,
            store_uri=self.store_uri,
            store_secret_name=self.store_secret_name,
            store_claim_name=self.store_claim_name,
            import_allowed_hosts=self.import_allowed_hosts,
            analysis_allowed_hosts=self.analysis_allowed_hosts,
        )


def load(**overrides: object) -> Settings:
    """Read the settings from the environment; `overrides` that are not None win."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [_explain(problem["loc"], problem["msg"]) for problem in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def _explain(location: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    if text.startswith(PREFIX):
        return text
    return f"{PREFIX}{'.'.join(str(part) for part in location).upper()}: {text}; correct the variable or unset it"

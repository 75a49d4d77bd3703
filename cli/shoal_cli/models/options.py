"""What the verbs of `shoal models` have in common: options, the store, progress, and failures in the user's words.

Invariant: a failure of the store is told with field, value and remedy, and never as a traceback.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from shoal_cli.cluster import Cluster
from shoal_cli.completing import names_of
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.kube import MODELS
from shoal_cli.names import split_name

if TYPE_CHECKING:
    from shoal_worker.models.record import ModelKey
    from shoal_worker.models.store import ModelStore

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="SHOAL_STORE", help="The store itself, such as s3://bucket/path; no cluster is asked."
    ),
]
FoundStore = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="SHOAL_STORE", help="The store, such as s3://bucket/path; as the cluster's record tells."
    ),
]
NeededStore = Annotated[
    str, typer.Option("--store", envvar="SHOAL_STORE", help="The store, such as s3://bucket/path or file:///path.")
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option("--credentials-dir", help="Directory with files AWS_ACCESS_KEY_ID and others; else the environment."),
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Namespace; that of the kubeconfig unless told, default in a store."),
]
OutputOption = Annotated[Literal["table", "json"], typer.Option("--output", "-o", help="How to print it.")]
ModelArgument = Annotated[
    str,
    typer.Argument(help="Name of the model, or namespace/name.", show_default=False, autocompletion=names_of(MODELS)),
]
VersionArgument = Annotated[str, typer.Argument(help="Number of the version, or latest.", show_default=False)]

_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something goes on, on standard error, while it does; translate the store's failures."""
    from shoal_worker.errors import SettingsInvalid, VersionRefused, WorkerError

    try:
        with Console(stderr=True).status(what):
            yield
    except WorkerError as error:
        kind = UsageError if isinstance(error, SettingsInvalid | VersionRefused) else ShoalError
        raise kind(
            error.message,
            field=error.field or "store",
            value=error.value or None,
            remedy=error.remedy.rstrip(".") or "See docs/model-store.md",
        ) from None


def open_store(uri: str, credentials_dir: Path | None) -> "ModelStore":
    """Open a store; its own log lines would only disturb."""
    import structlog

    from shoal_worker.models.opening import open_models

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return open_models(uri, credentials_dir)


def find_store(
    model: str, version: str, store: str | None, namespace: str | None, context: str | None
) -> tuple[str, str | None, str]:
    """Return store, namespace and version as told; without a store, as the cluster's record of the version tells."""
    if store is not None:
        return store, namespace, version
    cluster = Cluster(context)
    number = str(cluster.latest_version(model, namespace)) if version == "latest" else version.removeprefix("v")
    found = cluster.version(f"{model}-v{number}", namespace)
    return cluster.store_of(found), found.namespace, number


def read_key(model: str, namespace: str | None) -> "ModelKey":
    """Read `name` or `namespace/name`."""
    from shoal_worker.models.record import model_key

    where, name = split_name(model, namespace)
    return model_key(where or "default", name)


def read_version(models: "ModelStore", key: "ModelKey", version: str) -> int:
    """Read a number, with or without v, or `latest`."""
    if version == "latest":
        return models.latest(key).number
    try:
        return int(version.removeprefix("v"))
    except ValueError:
        raise UsageError("it is no version", field="VERSION", value=version, remedy="Write 3, v3 or latest") from None


def read_time(text: str | None, field: str) -> datetime | None:
    """Read a date, a time, or how long ago: 2026-05-01, 2026-05-01T12:00, 7d, 12h, 30m."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            "it is no time", field=field, value=text, remedy="Write 2026-05-01, 2026-05-01T12:00 or 7d, 12h, 30m"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_labels(texts: list[str], field: str) -> dict[str, str]:
    """Read name=value pairs."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, mark, _ in pairs if not (name and mark)]:
        raise UsageError("it is no label", field=field, value=wrong[0], remedy="Write name=value")
    return {name: value for name, _, value in pairs}

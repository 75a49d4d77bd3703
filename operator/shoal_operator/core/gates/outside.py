"""What is asked of servers outside for the gates that need it: which requests, to whom, and that nobody else is asked.

Read by runtime.answers, which sends the requests, and by the gates on the answers. Invariant: no host is asked that the
operator's administrator has not named, and nothing of an object's text gets into a query but names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from pydantic import ValidationError

from shoal_operator.api.analysis import Analysis
from shoal_operator.api.deployment import Revision
from shoal_operator.core.facts import at, name_of, namespace_of
from shoal_operator.core.progress import read_progress, read_status
from shoal_operator.core.snapshot import RawObject

_NAME = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?")


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a server outside."""

    key: str
    """Tells it from the deployment's other requests."""
    url: str
    form: tuple[tuple[str, str], ...] = ()
    """Fields of a form; empty where `body` is sent."""
    body: str = ""
    """JSON."""
    seconds: float = 5.0
    """After which it is given up."""
    idempotency_key: str = ""
    """By which the server knows a request that it has had already; empty where each one counts anew."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What the requests of a rollout are about."""

    namespace: str
    deployment: str
    stable: Revision
    candidate: Revision
    weight: int
    called: bool
    """Whether the candidate gets calls, if only copies of them."""
    seconds: float
    """Since the window began."""


def read_trial(deployment: RawObject, now: datetime) -> tuple[Trial, Analysis] | None:
    """Return what may be asked about; None while no window is open or the spec cannot be read."""
    progress = read_progress(deployment, read_status(deployment), ())
    began = progress.window_started_at
    if progress.stable is None or progress.candidate is None or began is None:
        return None
    try:
        analysis = Analysis.model_validate(at(deployment, "spec", "analysis") or {})
    except ValidationError:
        return None
    trial = Trial(
        namespace=namespace_of(deployment),
        deployment=name_of(deployment),
        stable=progress.stable,
        candidate=progress.candidate,
        weight=progress.weight,
        called=progress.weight > 0 or progress.compared,
        seconds=max(0.0, (now - began).total_seconds()),
    )
    return trial, analysis


def host_of(url: str) -> str:
    """Return a URL's host, with its port if it names one.

    >>> host_of("http://Prometheus.monitoring:9090/api")
    'prometheus.monitoring:9090'
    >>> host_of("https://user:secret@inside@outside/")
    ''
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or parts.hostname is None or "@" in parts.netloc:
        return ""
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def describe_denial(url: str, allowed: tuple[str, ...]) -> str:
    """Tell why a URL must not be asked, with the remedy; empty where it may."""
    host = host_of(url)
    if host and host in allowed:
        return ""
    return (
        f"{host or url!r} is not among the hosts that may be asked ({', '.join(allowed) or 'none'}). Ask the "
        "operator's administrator to add it to analysis.allowedHosts of the chart."
    )


def is_name(text: str) -> bool:
    """Tell whether a text can stand in a query without being more than a name.

    >>> is_name("towns-v2"), is_name('x"} or vector(1)')
    (True, False)
    """
    return len(text) <= 253 and _NAME.fullmatch(text) is not None

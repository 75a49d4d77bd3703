"""One request to the API server: path and JSON in, JSON out, every failure an errors.ApiError.

Used by the gateway, the lease and the audit; the only module that knows the client library. Invariant: every request
ends within the timeout, and a request that the server asked to hold back (Retry-After) is not sent earlier. Retries
never happen here: the queue decides on them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from kubernetes.aio import client, config

from shoal_operator import __version__
from shoal_operator.errors import ApiError, Conflict, NamespaceGoing, NotFound, SettingsError, Unreachable

CONNECT_SECONDS = 3.0
REQUEST_SECONDS = 10.0
_LONGEST_RETRY_AFTER = 60.0

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the API server, for a library that has its own HTTP client."""

    server: str
    ca_path: str | None
    insecure: bool
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


class Transport(Protocol):
    """One request; see ApiTransport.request."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        """Return the answer's JSON object."""


async def load_configuration(kubeconfig: str | None) -> client.Configuration:
    """Return the credentials of `kubeconfig` if given, else of the pod's service account, else of the user."""
    configuration = client.Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            path = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path, client_configuration=configuration, persist_config=False
            )
    except (config.ConfigException, OSError) as error:
        raise SettingsError(
            f"No credentials for a cluster: {error}. Inside a pod, mount the service account's token; outside, give "
            "--kubeconfig PATH or set KUBECONFIG."
        ) from error
    configuration.retries = None
    return configuration


async def load_connection(kubeconfig: str | None) -> Connection:
    """Return the same credentials, freshly read, in a form without the client library's types."""
    configuration = await load_configuration(kubeconfig)
    token = configuration.api_key.get("BearerToken") or configuration.api_key.get("authorization")
    return Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=token.split(" ", 1)[-1].strip() if token else None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )


class ApiTransport:
    """The API server over HTTPS."""

    def __init__(
        self,
        configuration: client.Configuration,
        observe: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`observe` is told the verb and the code of every request."""
        self._client = client.ApiClient(configuration)
        self._client.user_agent = f"shoal-operator/{__version__}"
        self._observe = observe
        self._clock = clock
        self._not_before = 0.0

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        seconds: float = REQUEST_SECONDS,
    ) -> dict[str, Any]:
        """Send one request and return the answer's JSON object; raise errors.ApiError for anything else."""
        held = self._not_before - self._clock()
        if held > 0:
            self._observe(method, "held")
            raise ApiError(429, "TooManyRequests", "held back as the API server asked for", retry_after=held)
        code = "none"
        try:
            headers = {"Accept": accept, "Content-Type": content_type}
            parameters = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            async with asyncio.timeout(seconds):
                response = await self._client.call_api(
                    *parameters,
                    _request_timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT_SECONDS, seconds)),
                )
                data = await response.read()  # type: ignore[no-untyped-call]
            code = str(response.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            detail = str(error) or type(error).__name__
            raise Unreachable(f"{method} {path} got no answer from the API server: {detail}") from error
        finally:
            self._observe(method, code)
        if response.status >= 400:
            raise self._refusal(method, path, response.status, data, response.headers.get("Retry-After"))
        return _json_object(data)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    def _refusal(self, method: str, path: str, status: int, data: bytes, retry_after: str | None) -> ApiError:
        answer = _json_object(data)
        reason = str(answer.get("reason") or f"HTTP{status}")
        message = str(answer.get("message") or data[:200].decode(errors="replace") or f"{method} {path}")
        wait = _seconds(retry_after)
        if wait is not None and status in (429, 503):
            # The server is overloaded as a whole, so every request is held back, not only this key's.
            self._not_before = max(self._not_before, self._clock() + wait)
        kind = {404: NotFound, 409: Conflict}.get(status, ApiError)
        if _is_namespace_going(status, answer.get("details") or {}):
            kind = NamespaceGoing
        return kind(status, reason, message, wait)


def _is_namespace_going(status: int, details: Mapping[str, Any]) -> bool:
    """Return whether the NamespaceLifecycle admission refused: the namespace is terminating, or not there at all."""
    if status == 404:
        return details.get("kind") == "namespaces"
    return any(cause.get("reason") == "NamespaceTerminating" for cause in details.get("causes") or ())


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.strip().isdigit():
        return None
    return min(float(retry_after), _LONGEST_RETRY_AFTER)

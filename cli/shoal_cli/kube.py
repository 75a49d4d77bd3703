"""The cluster's API by the user's own kubeconfig and rights: plain JSON in and out; the only way to the cluster.

Invariant: nothing is asked for that the verb does not need, and each refusal names verb, resource, namespace
and remedy. What a name that does not exist might have meant is looked up only once it was refused.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from shoal_cli.errors import ShoalError, UsageError
from shoal_operator.api.meta import GROUP, VERSION

Object = dict[str, Any]

_CONNECT_SECONDS, _READ_SECONDS = 5, 15
_PAGE = 500
_MANAGER = "shoal-cli"
_METHODS = {"patch": "PATCH", "create": "POST"}
_KUBECONFIG = "Set KUBECONFIG or --context, and try `kubectl cluster-info`"


@dataclass(frozen=True, slots=True)
class Resource:
    """A namespaced kind of object, by its place in the API."""

    plural: str
    group: str = GROUP
    version: str = VERSION

    @property
    def told(self) -> str:
        """Its name as RBAC and kubectl spell it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None, name: str = "", below: str = "") -> str:
        """Return where it lies; of all namespaces for None."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [f"namespaces/{namespace}" if namespace else "", self.plural, name, below]
        return "/".join([base, *(part for part in parts if part)])


DEPLOYMENTS = Resource("clusteringdeployments")
MODELS = Resource("clusteringmodels")
VERSIONS = Resource("clusteringmodelversions")
BATCHES = Resource("clusteringbatches")
DECISIONS = Resource("clusteringdecisions")
PODS = Resource("pods", "", "v1")
EVENTS = Resource("events", "", "v1")
_REVIEWS = Resource("selfsubjectreviews", "authentication.k8s.io", "v1")


class ForbiddenError(ShoalError):
    """The user's rights do not reach so far."""


class MissingError(ShoalError):
    """There is no such object."""


class PresentError(ShoalError):
    """There is such an object already."""


class Kube:
    """One cluster, by the kubeconfig that kubectl would use."""

    def __init__(self, context: str | None) -> None:
        # Imported late: it takes longer than all the rest, and `lint` needs no cluster.
        from kubernetes import config

        # What it warns of, errors tell in the user's words.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        # The library reads this variable when it is imported, not when it is asked.
        file = os.environ.get("KUBECONFIG") or None
        try:
            self.api = config.new_client_from_config(config_file=file, context=context)  # type: ignore[no-untyped-call]
            contexts, active = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            text = str(error).splitlines()[0][:200].rstrip(". ")
            raise ShoalError(f"no cluster to ask: {text}", field="kubeconfig", remedy=_KUBECONFIG) from None
        chosen = next((each for each in contexts if each["name"] == context), active) or {}
        self.namespace: str = chosen.get("context", {}).get("namespace") or "default"
        """Where objects lie whose namespace is not told."""

    def get(self, resource: Resource, name: str, namespace: str) -> Object:
        """Return an object; MissingError lists what has a name like it."""
        try:
            return self._request("get", resource, namespace, name)
        except MissingError as error:
            raise self._with_near_names(error, resource, name, namespace) from None

    def list(self, resource: Resource, namespace: str | None, **selectors: str) -> list[Object]:
        """Return the objects of a namespace, of all for None; selectors are labelSelector and fieldSelector."""
        found: list[Object] = []
        query: dict[str, str] = {**selectors, "limit": str(_PAGE)}
        while True:
            page = self._request("list", resource, namespace, query=query)
            found += page.get("items", [])
            if not (following := (page.get("metadata") or {}).get("continue")):
                return found
            query["continue"] = following

    def patch(self, resource: Resource, name: str, namespace: str, change: Object) -> Object:
        """Merge a change into an object; returns the object."""
        try:
            return self._request("patch", resource, namespace, name, query={"fieldManager": _MANAGER}, body=change)
        except MissingError as error:
            raise self._with_near_names(error, resource, name, namespace) from None

    def create(self, resource: Resource, namespace: str, manifest: Object) -> bool:
        """Create an object; tell whether it was not there yet."""
        try:
            self._request("create", resource, namespace, query={"fieldManager": _MANAGER}, body=manifest)
        except PresentError:
            return False
        return True

    def whoami(self) -> str:
        """Return the user's name as the API server knows it; empty where it does not say."""
        review = {"apiVersion": f"{_REVIEWS.group}/{_REVIEWS.version}", "kind": "SelfSubjectReview"}
        try:
            found = self._request("create", _REVIEWS, None, body=review)
        except ShoalError:
            return ""
        return str((((found.get("status") or {}).get("userInfo")) or {}).get("username") or "")

    @contextmanager
    def log(self, pod: str, namespace: str, query: Mapping[str, str]) -> Iterator[Iterator[bytes]]:
        """Yield the lines of a pod's log, as they come where the query has follow."""
        with _told("get", "pods/log", pod, namespace):
            response = self._send("GET", PODS.path(namespace, pod, "log"), query, None, endless=True)
            if response.status >= 300:
                raise _refused(response.status, response.read(), "get", "pods/log", pod, namespace)
        raw = response.response
        try:
            yield _lines(raw, pod, namespace)
        finally:
            raw.close()

    def _request(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None,
        name: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> Object:
        where = namespace or "all namespaces"
        with _told(verb, resource.told, name, where):
            method = _METHODS.get(verb, "GET")
            response = self._send(method, resource.path(namespace, name), query or {}, body)
            content = response.read()
            if response.status >= 300:
                raise _refused(response.status, content, verb, resource.told, name, where)
        found: Object = json.loads(content)
        return found

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: Object | None, *, endless: bool = False
    ) -> Any:
        headers = {"Accept": "*/*" if endless else "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = self.api.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        return self.api.call_api(*request, _request_timeout=(_CONNECT_SECONDS, None if endless else _READ_SECONDS))

    def _with_near_names(self, error: MissingError, resource: Resource, name: str, namespace: str) -> ShoalError:
        """Return the refusal with what the user may have meant; as it is where that cannot be told."""
        try:
            here = sorted(each["metadata"]["name"] for each in self.list(resource, namespace))
        except ShoalError:
            return error
        if near := get_close_matches(name, here, n=3, cutoff=0.5):
            remedy = f"The nearest {'name is' if len(near) == 1 else 'names are'} {', '.join(near)}"
        elif here:
            more = f" and {len(here) - 8} more" if len(here) > 8 else ""
            remedy = f"There are: {', '.join(here[:8])}{more}"
        else:
            remedy = f"There is none in namespace {namespace}; name another one by -n"
        return MissingError(f"it is not in namespace {namespace}", field=f"{resource.told}/{name}", remedy=remedy)

    @cached_property
    def core(self) -> Any:
        """The typed client of core objects, for what is no plain request: port-forwards."""
        from kubernetes import client

        return client.CoreV1Api(self.api)


@contextmanager
def _told(verb: str, resource: str, name: str, namespace: str) -> Iterator[None]:
    """Translate what goes wrong on the way."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    field = f"{resource}/{name}" if name else resource
    try:
        yield
    except ApiException as error:
        raise _refused(error.status or 0, error.body, verb, resource, name, namespace) from None
    except (HTTPError, OSError) as error:
        text = str(error).replace("\n", " ")[:200]
        raise ShoalError(f"the cluster does not answer: {text}", field=field, remedy=_KUBECONFIG) from None


def _refused(status: int, body: object, verb: str, resource: str, name: str, namespace: str) -> ShoalError:
    """Return the API server's refusal in the user's words."""
    field = f"{resource}/{name}" if name else resource
    scope = namespace if namespace == "all namespaces" else f"namespace {namespace}"
    message = _message(body)
    match status:
        case 404 if not message or "could not find the requested resource" in message or "page not found" in message:
            return ShoalError(
                "the cluster does not know this kind",
                field=field,
                remedy="Install Shoal (docs/install.md), or choose the right cluster by --context",
            )
        case 404:
            return MissingError(
                f"it is not in {scope}", field=field, remedy=f"List what is there: kubectl get {resource} -A"
            )
        case 403:
            return ForbiddenError(
                f"you may not {verb} {resource} in {scope}",
                field=field,
                value=status,
                remedy=f"Ask for a Role that grants the verb {verb} on {resource} there (docs/cli.md, Rights)",
            )
        case 401:
            return ShoalError(
                "the cluster does not know you", field="kubeconfig", value=status, remedy="Log in to the cluster again"
            )
        case 409 if verb == "create":
            return PresentError(f"it is in {scope} already", field=field, remedy="Choose another name")
        case 409:
            return ShoalError(f"it changed meanwhile: {message}", field=field, value=status, remedy="Try again")
        case 400 | 422:
            return UsageError(
                f"the cluster refused it: {message}", field=field, remedy="Correct what the message names"
            )
        case _:
            return ShoalError(
                f"the cluster refused to {verb}: {message or 'no reason told'}",
                field=field,
                value=status,
                remedy=_KUBECONFIG,
            )


def _message(body: object) -> str:
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        found = json.loads(text)
    except ValueError:
        return text.strip()[:300]
    return str(found.get("message", ""))[:600].rstrip(".") if isinstance(found, dict) else ""


def _lines(raw: Any, pod: str, namespace: str) -> Iterator[bytes]:
    """Cut a stream into lines."""
    rest, chunks = b"", raw.stream(8192, decode_content=True)
    while True:
        with _told("get", "pods/log", pod, namespace):
            chunk = next(chunks, None)
        if chunk is None:
            break
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest

"""Models, versions and batches as the cluster's records tell of them; called by `explain`, `models` and `batch`.

Invariant: a verb changes what it is named for and nothing else, by the user's own kubeconfig and rights; each failure
names what was asked for and the remedy.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from shoal_cli.errors import ShoalError, UsageError
from shoal_operator.api.meta import GROUP, VERSION

_TIMEOUT_SECONDS = 10
_KUBECONFIG = "Set KUBECONFIG or --context, and try `kubectl get cmv`"


class Found(NamedTuple):
    """An object, and the namespace that it was found in."""

    namespace: str
    manifest: dict[str, Any]


class Cluster:
    """The custom resources of one cluster, by the kubeconfig that kubectl would use."""

    def __init__(self, context: str | None) -> None:
        # Imported late: it takes longer than all the rest, and most uses need no cluster.
        from kubernetes import client, config

        # The library reads this variable when it is imported, not when it is asked.
        file = os.environ.get("KUBECONFIG") or None
        try:
            api = config.new_client_from_config(config_file=file, context=context)  # type: ignore[no-untyped-call]
            _, active = config.list_kube_config_contexts(config_file=file)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            text = str(error).splitlines()[0][:200].rstrip(". ")
            raise ShoalError(f"no cluster to ask: {text}", field="kubeconfig", remedy=_KUBECONFIG) from None
        self._objects = client.CustomObjectsApi(api)
        self._default = (active or {}).get("context", {}).get("namespace") or "default"

    def version(self, name: str, namespace: str | None) -> Found:
        """Return a ClusteringModelVersion."""
        return self._get("clusteringmodelversions", name, namespace)

    def model(self, name: str, namespace: str | None) -> Found:
        """Return a ClusteringModel."""
        return self._get("clusteringmodels", name, namespace)

    def versions(self, model: str | None, namespace: str | None) -> list[dict[str, Any]]:
        """Return the ClusteringModelVersions of a namespace, of one model only if told."""
        where = namespace or self._default
        with _told("clusteringmodelversions", where):
            found = self._objects.list_namespaced_custom_object(
                GROUP, VERSION, where, "clusteringmodelversions", _request_timeout=_TIMEOUT_SECONDS
            )
        items: list[dict[str, Any]] = dict(found)["items"]  # type: ignore[call-overload]
        return [each for each in items if model in (None, each["spec"]["modelRef"]["name"])]

    def latest_version(self, model: str, namespace: str | None) -> int:
        """Return the number of a model's newest version that can be served."""
        number = (self.model(model, namespace).manifest.get("status") or {}).get("latestVersion")
        if number is None:
            raise ShoalError(
                "it has no version that can be served yet",
                field=f"model/{model}",
                remedy="List them: shoal models list",
            )
        return int(number)

    def wish_state(self, version: str, namespace: str | None, state: str) -> None:
        """Ask the operator to bring a version to a state."""
        where = namespace or self._default
        with _told(f"clusteringmodelversions/{version}", where):
            self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                where,
                "clusteringmodelversions",
                version,
                {"metadata": {"annotations": {f"{GROUP}/state": state}}},
                _request_timeout=_TIMEOUT_SECONDS,
                _content_type="application/merge-patch+json",
            )

    def create_version(self, manifest: dict[str, Any]) -> bool:
        """Create a ClusteringModelVersion, owned by its model if that is there; tell whether it was not there yet."""
        metadata = dict(manifest["metadata"])
        model = manifest["spec"]["modelRef"]["name"]
        owner = next(iter(self._find_model(model, metadata["namespace"])), None)
        if owner is not None:
            reference = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ClusteringModel", "name": model}
            metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"], "controller": True}]
        from kubernetes.client.exceptions import ApiException

        try:
            with _told(f"clusteringmodelversions/{metadata['name']}", metadata["namespace"], passed=(409,)):
                self._objects.create_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    metadata["namespace"],
                    "clusteringmodelversions",
                    {**manifest, "metadata": metadata},
                    _request_timeout=_TIMEOUT_SECONDS,
                )
        except ApiException:
            return False
        return True

    def batches(self, namespace: str | None) -> list[dict[str, Any]]:
        """Return the ClusteringBatches of a namespace."""
        where = namespace or self._default
        with _told("clusteringbatches", where):
            found = self._objects.list_namespaced_custom_object(
                GROUP, VERSION, where, "clusteringbatches", _request_timeout=_TIMEOUT_SECONDS
            )
        items: list[dict[str, Any]] = dict(found)["items"]  # type: ignore[call-overload]
        return items

    def batch(self, name: str, namespace: str | None) -> Found:
        """Return a ClusteringBatch."""
        return self._get("clusteringbatches", name, namespace)

    def create_batch(self, manifest: dict[str, Any], namespace: str | None) -> str:
        """Create a ClusteringBatch, and return its namespace."""
        from kubernetes.client.exceptions import ApiException

        where, name = namespace or self._default, manifest["metadata"]["name"]
        try:
            with _told(f"clusteringbatches/{name}", where, passed=(409, 422)):
                self._objects.create_namespaced_custom_object(
                    GROUP, VERSION, where, "clusteringbatches", manifest, _request_timeout=_TIMEOUT_SECONDS
                )
        except ApiException as error:
            if error.status == 409:
                raise ShoalError(
                    f"it is there already in namespace {where}",
                    field=f"clusteringbatches/{name}",
                    remedy=f"Choose another name, or look at it: shoal batch show {name}",
                ) from None
            text = str(json.loads(error.body or "{}").get("message", error.reason))[:500]
            raise UsageError(
                text.rstrip(". "), field=f"clusteringbatches/{name}", remedy="Correct what the message names"
            ) from None
        return where

    def _find_model(self, name: str, namespace: str) -> list[dict[str, Any]]:
        with _told("clusteringmodels", namespace):
            found = self._objects.list_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                "clusteringmodels",
                field_selector=f"metadata.name={name}",
                _request_timeout=_TIMEOUT_SECONDS,
            )
        items: list[dict[str, Any]] = dict(found)["items"]  # type: ignore[call-overload]
        return items

    def _get(self, plural: str, name: str, namespace: str | None) -> Found:
        where = namespace or self._default
        with _told(f"{plural}/{name}", where):
            found = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, where, plural, name, _request_timeout=_TIMEOUT_SECONDS
            )
        return Found(where, dict(found))  # type: ignore[call-overload]


@contextmanager
def _told(asked: str, namespace: str, passed: tuple[int, ...] = ()) -> Iterator[None]:
    """Translate the cluster's refusals, but for statuses that are passed on."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status in passed:
            raise
        raise _explained(error.status, asked, namespace) from None
    except HTTPError as error:
        raise ShoalError(f"the cluster does not answer: {str(error)[:200]}", field=asked, remedy=_KUBECONFIG) from None


def _explained(status: int | None, asked: str, namespace: str) -> ShoalError:
    plural = asked.partition("/")[0]
    match status:
        case 404:
            return ShoalError(
                f"it is not in namespace {namespace}",
                field=asked,
                remedy=f"List those there are: kubectl get {plural} --all-namespaces",
            )
        case 401 | 403:
            return ShoalError(
                f"you may not read it in namespace {namespace}",
                field=asked,
                value=status,
                remedy="Ask for the role `view` of that namespace",
            )
        case _:
            return ShoalError("the cluster refused the question", field=asked, value=status, remedy=_KUBECONFIG)

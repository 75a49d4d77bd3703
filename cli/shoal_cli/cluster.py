"""Models and versions as the cluster's records tell of them; called by `explain`.

Invariant: reads only, by the user's own kubeconfig and rights; each failure names what was asked for and the remedy.
"""

import os
from typing import Any, NamedTuple

from shoal_cli.errors import ShoalError
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

    def _get(self, plural: str, name: str, namespace: str | None) -> Found:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        where = namespace or self._default
        asked = f"{plural}/{name}"
        try:
            found = self._objects.get_namespaced_custom_object(
                GROUP, VERSION, where, plural, name, _request_timeout=_TIMEOUT_SECONDS
            )
        except ApiException as error:
            raise _explained(error.status, asked, where) from None
        except HTTPError as error:
            raise ShoalError(
                f"the cluster does not answer: {str(error)[:200]}", field=asked, remedy=_KUBECONFIG
            ) from None
        return Found(where, dict(found))  # type: ignore[call-overload]


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

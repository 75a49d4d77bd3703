"""Models, versions and batches as the cluster's records tell of them; called by `explain`, `models` and `batch`.

Invariant: a verb changes what it is named for and nothing else, by the user's own kubeconfig and rights; each failure
names what was asked for and the remedy.
"""

from typing import Any, NamedTuple

from shoal_cli.errors import ShoalError
from shoal_cli.kube import BATCHES, MODELS, VERSIONS, Kube, Resource
from shoal_cli.names import split_name
from shoal_operator.api.meta import GROUP, VERSION


class Found(NamedTuple):
    """An object, and the namespace that it was found in."""

    namespace: str
    manifest: dict[str, Any]


class Cluster:
    """The models, versions and batches of one cluster, by the kubeconfig that kubectl would use.

    Names are NAME or NAMESPACE/NAME.
    """

    def __init__(self, context: str | None) -> None:
        self._kube = Kube(context)

    def version(self, name: str, namespace: str | None) -> Found:
        """Return a ClusteringModelVersion."""
        return self._get(VERSIONS, name, namespace)

    def model(self, name: str, namespace: str | None) -> Found:
        """Return a ClusteringModel."""
        return self._get(MODELS, name, namespace)

    def versions(self, model: str | None, namespace: str | None) -> list[dict[str, Any]]:
        """Return the ClusteringModelVersions of a namespace, of one model only if told."""
        where, name = (namespace, None) if model is None else split_name(model, namespace)
        items = self._kube.list(VERSIONS, where or self._kube.namespace)
        return [each for each in items if name in (None, each["spec"]["modelRef"]["name"])]

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
        change = {"metadata": {"annotations": {f"{GROUP}/state": state}}}
        where, name = split_name(version, namespace)
        self._kube.patch(VERSIONS, name, where or self._kube.namespace, change)

    def create_version(self, manifest: dict[str, Any]) -> bool:
        """Create a ClusteringModelVersion, owned by its model if that is there; tell whether it was not there yet."""
        metadata = dict(manifest["metadata"])
        model = manifest["spec"]["modelRef"]["name"]
        selector = f"metadata.name={model}"
        for owner in self._kube.list(MODELS, metadata["namespace"], fieldSelector=selector):
            reference = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ClusteringModel", "name": model}
            metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"], "controller": True}]
        return self._kube.create(VERSIONS, metadata["namespace"], {**manifest, "metadata": metadata})

    def batches(self, namespace: str | None, *, everywhere: bool = False) -> list[dict[str, Any]]:
        """Return the ClusteringBatches of a namespace, or of all."""
        return self._kube.list(BATCHES, None if everywhere else namespace or self._kube.namespace)

    def batch(self, name: str, namespace: str | None) -> Found:
        """Return a ClusteringBatch."""
        return self._get(BATCHES, name, namespace)

    def store_of(self, version: Found) -> str:
        """Return the model store that holds a version's files, as its record tells."""
        uri = str(version.manifest["spec"]["artifact"]["uri"])
        return _reachable(uri.rpartition("/artifacts/")[0], f"modelversion/{version.manifest['metadata']['name']}")

    def results_of(self, batch: Found) -> str:
        """Return the result store that a batch writes to."""
        name = batch.manifest["metadata"]["name"]
        return _reachable(str(batch.manifest["spec"]["output"]["uri"]), f"batch/{name}")

    def create_batch(self, manifest: dict[str, Any], namespace: str | None) -> str:
        """Create a ClusteringBatch, and return its namespace."""
        where, name = namespace or self._kube.namespace, manifest["metadata"]["name"]
        if not self._kube.create(BATCHES, where, manifest):
            raise ShoalError(
                f"it is there already in namespace {where}",
                field=f"clusteringbatches/{name}",
                remedy=f"Choose another name, or look at it: shoal batch show {name}",
            )
        return where

    def _get(self, resource: Resource, name: str, namespace: str | None) -> Found:
        told, plain = split_name(name, namespace)
        where = told or self._kube.namespace
        return Found(where, self._kube.get(resource, plain, where))


def _reachable(uri: str, field: str) -> str:
    """Return a store's URI unless it is a folder of the cluster's pods."""
    if not uri or uri.startswith("file:"):
        raise ShoalError(
            "its store is a folder that only the cluster's pods have" if uri else "its record does not tell the store",
            field=field,
            value=uri or None,
            remedy="Give --store the place where it can be reached from here",
        )
    return uri

"""Reads one deployment, its pods and its decisions from the cluster; their only reader. Called by the verbs, again and
again.

Invariant: pods that may not be listed are told in a note, and what else is known is still shown.
"""

from dataclasses import dataclass

from shoal_cli.deployments import rules
from shoal_cli.deployments.options import now
from shoal_cli.deployments.view import View, build_view
from shoal_cli.kube import DECISIONS, DEPLOYMENTS, PODS, ForbiddenError, Kube, Object
from shoal_cli.names import split_name


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment of a cluster, by name."""

    kube: Kube
    namespace: str
    name: str

    def fetch(self) -> Object:
        """Return the object."""
        return self.kube.get(DEPLOYMENTS, self.name, self.namespace)

    def pods(self) -> list[Object]:
        """Return the pods of all its revisions."""
        return self.kube.list(PODS, self.namespace, labelSelector=rules.owned_selector(self.name))

    def decisions(self) -> list[Object]:
        """Return the records of its decisions that are kept."""
        return self.kube.list(DECISIONS, self.namespace, labelSelector=rules.owned_selector(self.name))

    def look(self) -> tuple[View, tuple[str, ...]]:
        """Return how it stands now, and notes about what could not be read."""
        deployment = self.fetch()
        try:
            pods, notes = self.pods(), ()
        except ForbiddenError as error:
            return build_view(deployment, (), now()), (f"Pods are not shown: {error}",)
        return build_view(deployment, pods, now()), notes

    def patch(self, change: Object) -> Object:
        """Merge a change into the object."""
        return self.kube.patch(DEPLOYMENTS, self.name, self.namespace, change)


def find(name: str, namespace: str | None, context: str | None) -> Target:
    """Return the deployment that was named, as NAME or NAMESPACE/NAME."""
    kube = Kube(context)
    where, plain = split_name(name, namespace)
    return Target(kube, where or kube.namespace, plain)

"""The kinds that the operator touches: where the API server keeps them.

Read by the transport's users. Invariant: a kind that is not listed here cannot be read or written by this process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote

from shoal_operator.api.meta import GROUP, VERSION

GATEWAY_GROUP = "gateway.networking.k8s.io"
FIELD_MANAGER = "shoal-operator"
"""What the API server knows this operator's writes by."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One namespaced resource of the API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """Return the apiVersion of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of a collection or an object; names are quoted, for they come from users."""
        parts = ["/apis" if self.group else "/api", self.api_version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


MODEL = Resource(GROUP, VERSION, "clusteringmodels", "ClusteringModel")
MODEL_VERSION = Resource(GROUP, VERSION, "clusteringmodelversions", "ClusteringModelVersion")
CLUSTERING_DEPLOYMENT = Resource(GROUP, VERSION, "clusteringdeployments", "ClusteringDeployment")
DECISION = Resource(GROUP, VERSION, "clusteringdecisions", "ClusteringDecision")
BATCH = Resource(GROUP, VERSION, "clusteringbatches", "ClusteringBatch")
DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
SERVICE = Resource("", "v1", "services", "Service")
POD = Resource("", "v1", "pods", "Pod")
JOB = Resource("batch", "v1", "jobs", "Job")
CRON_JOB = Resource("batch", "v1", "cronjobs", "CronJob")
BUDGET = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
ROUTE = Resource(GATEWAY_GROUP, "v1", "grpcroutes", "GRPCRoute")
GATEWAY = Resource(GATEWAY_GROUP, "v1", "gateways", "Gateway")
SECRET = Resource("", "v1", "secrets", "Secret")
EVENT = Resource("", "v1", "events", "Event")
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")

OWNERS = (MODEL, MODEL_VERSION, CLUSTERING_DEPLOYMENT, BATCH)
"""Kinds that are reconciled."""
CHILDREN = (DEPLOYMENT, SERVICE, POD, JOB, BUDGET, ROUTE, DECISION)
"""Kinds that Shoal creates, recognised by their labels."""
WATCHED = (*OWNERS, *CHILDREN, GATEWAY)

BY_KIND: Mapping[str, Resource] = MappingProxyType({item.kind: item for item in (*WATCHED, SECRET, EVENT, LEASE)})

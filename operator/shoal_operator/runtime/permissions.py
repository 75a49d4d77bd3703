"""The verbs that the operator uses, per resource: the chart's Role must grant exactly these.

Read by a chart test. A verb is added here with the request that needs it, in the same commit.
"""

from __future__ import annotations

from types import MappingProxyType

from shoal_operator.api.meta import GROUP
from shoal_operator.runtime.resources import GATEWAY_GROUP

_READ = ("get", "list", "watch")

SERVED = MappingProxyType(
    {
        (GROUP, "clusteringmodels"): (*_READ, "patch"),
        (GROUP, "clusteringmodels/status"): ("update",),
        (GROUP, "clusteringmodelversions"): (*_READ, "create", "delete", "patch"),
        (GROUP, "clusteringmodelversions/status"): ("update",),
        (GROUP, "clusteringdeployments"): (*_READ, "patch"),
        (GROUP, "clusteringdeployments/status"): ("update",),
        (GROUP, "clusteringdecisions"): (*_READ, "create", "delete"),
        (GROUP, "clusteringbatches"): (*_READ, "delete"),
        (GROUP, "clusteringbatches/status"): ("update",),
        ("apps", "deployments"): (*_READ, "create", "delete", "patch"),
        ("", "services"): (*_READ, "create", "delete", "patch"),
        ("", "pods"): (*_READ, "patch"),
        ("batch", "jobs"): (*_READ, "create", "delete", "patch"),
        ("batch", "cronjobs"): ("get",),
        ("policy", "poddisruptionbudgets"): (*_READ, "create", "delete", "patch"),
        (GATEWAY_GROUP, "grpcroutes"): (*_READ, "create", "delete", "patch"),
        (GATEWAY_GROUP, "gateways"): _READ,
        ("metrics.k8s.io", "pods"): ("list",),
        ("autoscaling", "horizontalpodautoscalers"): ("list",),
        ("", "secrets"): ("get",),
        ("", "events"): ("create", "get", "patch"),
    }
)
"""(group, resource) -> verbs, in every namespace that is served. Server-side apply of a new object needs create and
patch. Secrets are only asked for their metadata."""

LEASE = MappingProxyType({("coordination.k8s.io", "leases"): ("create", "get", "update")})
"""In the operator's own namespace."""

CLUSTER_WIDE = MappingProxyType({("apiextensions.k8s.io", "customresourcedefinitions"): ("list", "watch")})
"""Only when the whole cluster is served: lets a Gateway API that is installed later be noticed at once. With
SHOAL_OPERATOR_WATCH_NAMESPACES set, nothing at cluster scope is read but the discovery that every account may read."""

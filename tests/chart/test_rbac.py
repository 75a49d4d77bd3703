"""The chart grants what the operator's own list of requests says, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from shoal_operator.runtime import permissions
from tests.chart.conftest import Rendered

Rule = dict[str, Any]
NAMESPACED = ("rbac.scope=namespaced", "rbac.watchNamespaces={team-a,team-b}")


def granted(rules: Iterable[Rule]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[group, resource] |= set(rule["verbs"])
    return dict(found)


def wanted(*lists: Any) -> dict[tuple[str, str], set[str]]:
    return {key: set(verbs) for each in lists for key, verbs in each.items()}


def roles(rendered: Rendered, kind: str) -> dict[tuple[str, str], Rule]:
    return {(role["metadata"].get("namespace", ""), role["metadata"]["name"]): role for role in rendered.of(kind)}


def test_the_cluster_role_is_the_operators_own_list(render: Callable[..., Rendered]) -> None:
    role = roles(render(), "ClusterRole")["", "shoal"]
    assert granted(role["rules"]) == wanted(permissions.SERVED, permissions.CLUSTER_WIDE)


def test_the_lease_is_held_in_the_operators_own_namespace(render: Callable[..., Rendered]) -> None:
    role = roles(render(), "Role")["shoal-system", "shoal-lease"]
    assert granted(role["rules"]) == wanted(permissions.LEASE)
    named = [rule["resourceNames"] for rule in role["rules"] if "create" not in rule["verbs"]]
    assert named == [["shoal"]], "only its own Lease"


def test_namespaced_scope_has_a_role_in_each_namespace_and_no_cluster_rights(render: Callable[..., Rendered]) -> None:
    rendered = render(*NAMESPACED, "rbac.userRoles=false")
    assert rendered.of("ClusterRole") == []
    assert rendered.of("ClusterRoleBinding") == []
    for namespace in ("team-a", "team-b"):
        assert granted(roles(rendered, "Role")[namespace, "shoal"]["rules"]) == wanted(permissions.SERVED)
    bound = {binding["metadata"]["namespace"] for binding in rendered.of("RoleBinding")}
    assert bound == {"shoal-system", "team-a", "team-b"}


@pytest.mark.parametrize("settings", [(), NAMESPACED], ids=["cluster", "namespaced"])
def test_there_is_no_wildcard_and_no_listing_of_secrets(
    render: Callable[..., Rendered], settings: tuple[str, ...]
) -> None:
    rendered = render(*settings)
    for role in [*rendered.of("Role"), *rendered.of("ClusterRole")]:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            if "secrets" in rule["resources"]:
                assert rule["verbs"] == ["get"]


@pytest.mark.parametrize("settings", [(), NAMESPACED], ids=["cluster", "namespaced"])
def test_every_binding_names_a_role_and_the_service_account_that_exist(
    render: Callable[..., Rendered], settings: tuple[str, ...]
) -> None:
    rendered = render(*settings)
    existing = {*roles(rendered, "Role"), *roles(rendered, "ClusterRole")}
    account = rendered.one("ServiceAccount")["metadata"]
    for binding in [*rendered.of("RoleBinding"), *rendered.of("ClusterRoleBinding")]:
        assert (binding["metadata"].get("namespace", ""), binding["roleRef"]["name"]) in existing
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]


def test_users_may_edit_models_but_only_annotate_and_delete_versions(render: Callable[..., Rendered]) -> None:
    found = roles(render(), "ClusterRole")
    edit, view = found["", "shoal-edit"], found["", "shoal-view"]
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert "create" in granted(edit["rules"])["shoal.dev", "clusteringmodels"]
    assert granted(edit["rules"])["shoal.dev", "clusteringmodelversions"].isdisjoint({"create", "update"})
    assert all(verbs <= {"get", "list", "watch"} for verbs in granted(view["rules"]).values())


def test_roles_can_be_left_to_the_administrator(render: Callable[..., Rendered]) -> None:
    rendered = render("rbac.create=false", "rbac.userRoles=false")
    assert [m for m in rendered if m["apiVersion"].startswith("rbac.")] == []

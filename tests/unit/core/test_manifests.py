"""The manifests' parts that something depends on: security, drains, labels, the wiring with the worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.api.model import ClusteringModelSpec
from shoal_operator.api.traffic import Traffic
from shoal_operator.core import names
from shoal_operator.core.manifests.budget import build_budget
from shoal_operator.core.manifests.job import build_job
from shoal_operator.core.manifests.preview import build_preview
from shoal_operator.core.manifests.route import build_backend, build_route, build_rule
from shoal_operator.core.manifests.service import build_service
from shoal_operator.core.manifests.workload import build_workload, pool_selector
from shoal_operator.core.revision import build_revision
from shoal_operator.core.snapshot import Defaults
from shoal_operator.core.versions import known_versions
from tests.unit.core import objects

Raw = dict[str, Any]
VERSION = known_versions([objects.version(3)])[0]


def spec(**worker: Any) -> ClusteringDeploymentSpec:
    return ClusteringDeploymentSpec.model_validate({"modelRef": {"name": "cities"}, "worker": worker})


def workload(defaults: Defaults = objects.DEFAULTS, **worker: Any) -> Raw:
    revision = build_revision(spec(**worker), VERSION, defaults.worker_image)
    return build_workload(objects.deployment(), revision, 3, "cities", 600, defaults)


def job(defaults: Defaults = objects.DEFAULTS, versions: tuple[Raw, ...] = (), **more: Any) -> Raw:
    model = objects.model(more)
    return build_job(
        model, ClusteringModelSpec.model_validate(model["spec"]), "1234abcd", known_versions(versions), defaults
    )


def pod_of(manifest: Raw) -> Raw:
    found: Raw = manifest["spec"]["template"]["spec"]
    return found


def variables(manifest: Raw) -> dict[str, str]:
    return {item["name"]: item["value"] for item in pod_of(manifest)["containers"][0]["env"]}


@pytest.mark.parametrize("manifest", [workload(), job()], ids=["workload", "job"])
def test_pods_are_restricted(manifest: Raw) -> None:
    pod = pod_of(manifest)
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp", "/var/cache/shoal"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_a_claim_is_mounted_where_it_is_configured() -> None:
    defaults = Defaults("image", "file:///var/lib/shoal/store", store_claim_name="claim")
    for manifest, read_only in ((workload(defaults), True), (job(defaults), False)):
        mounts = {mount["mountPath"]: mount for mount in pod_of(manifest)["containers"][0]["volumeMounts"]}
        assert mounts["/var/lib/shoal/store"]["readOnly"] is read_only
        assert "SHOAL_STORE_SECRET_DIR" not in variables(manifest)


def test_the_worker_is_told_what_to_serve() -> None:
    assert variables(workload(maxInFlight=7, drainDelaySeconds=3)) == {
        "SHOAL_MODEL_NAME": "cities",
        "SHOAL_MODEL_VERSION": "3",
        "SHOAL_ARTIFACT_URI": VERSION.uri,
        "SHOAL_ARTIFACT_DIGEST": VERSION.digest,
        "SHOAL_GRPC_PORT": "8001",
        "SHOAL_METRICS_PORT": "8002",
        "SHOAL_INTERNAL_PORT": "8003",
        "SHOAL_HEALTH_PORT": "8004",
        "SHOAL_COMPARE_URL": "http://cities-preview.fish.svc:8003",
        "SHOAL_CACHE_DIR": "/var/cache/shoal",
        "SHOAL_MAX_IN_FLIGHT": "7",
        "SHOAL_DRAIN_DELAY_SECONDS": "3",
        "SHOAL_DRAIN_CONNECTIONS_SECONDS": "67",
        "SHOAL_DRAIN_GRACE_SECONDS": "20",
        "SHOAL_MAX_CONNECTION_AGE_SECONDS": "60",
        "SHOAL_STORE_SECRET_DIR": "/var/run/shoal/store",
    }


def test_a_pod_gets_the_time_of_its_drain() -> None:
    assert pod_of(workload())["terminationGracePeriodSeconds"] == 8 + 67 + 20 + 5
    quick = workload(drainDelaySeconds=1, drainGraceSeconds=2, maxConnectionAgeSeconds=10)
    assert pod_of(quick)["terminationGracePeriodSeconds"] == 1 + 12 + 2 + 5
    patient = workload(maxConnectionAgeSeconds=86_400)
    assert pod_of(patient)["terminationGracePeriodSeconds"] == 8 + 300 + 20 + 5


def test_probes_ask_the_worker_itself() -> None:
    [container] = pod_of(workload())["containers"]
    assert container["startupProbe"]["grpc"] == {"port": 8004}
    assert container["readinessProbe"]["grpc"] == {"port": 8004}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": 8002}


def test_a_workload_selects_its_own_pods_only() -> None:
    manifest = workload()
    selector = manifest["spec"]["selector"]["matchLabels"]
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    assert selector == pool_selector(objects.deployment(), manifest["metadata"]["labels"][names.REVISION])
    assert selector.items() <= labels.items()
    assert names.ROUTED not in labels
    assert labels[names.VERSION] == "3"
    assert manifest["metadata"]["ownerReferences"][0]["uid"] == "uid-cities"


def test_replicas_are_no_part_of_a_revision_but_all_else_is() -> None:
    def tag(version: int = 3, image: str = "default", **worker: Any) -> str:
        return build_revision(spec(**worker), known_versions([objects.version(version)])[0], image).revision

    assert tag() == tag(replicas=9) == tag(maxInFlight=64)
    others = [
        tag(version=4),
        tag(image="other"),
        tag(**{"image": "mine"}),
        tag(maxInFlight=1),
        tag(drainDelaySeconds=1),
        tag(drainGraceSeconds=1),
        tag(maxConnectionAgeSeconds=1),
        tag(resources={"limits": {"memory": "1Gi"}}),
    ]
    assert len({tag(), *others}) == len(others) + 1


def test_the_job_gives_up_by_itself_and_retries_what_may_pass() -> None:
    manifest = job(training={"retries": 4, "activeDeadlineSeconds": 99})
    assert manifest["spec"]["backoffLimit"] == 4
    assert manifest["spec"]["activeDeadlineSeconds"] == 99
    assert pod_of(manifest)["restartPolicy"] == "Never"
    rules = manifest["spec"]["podFailurePolicy"]["rules"]
    assert [rule["action"] for rule in rules] == ["Ignore", "FailJob"]
    assert rules[1]["onExitCodes"] == {"containerName": "train", "operator": "In", "values": [1]}


def test_the_training_is_told_its_task_but_not_its_credentials() -> None:
    manifest = job(
        source={"uri": "s3://data/x.csv", "columns": ["a"], "secretRef": {"name": "mine"}},
        training={"plan": {"threads": 3}},
    )
    told = json.loads(variables(manifest)["SHOAL_TRAINING_SPEC"])
    assert told == {
        "name": "cities",
        "namespace": "fish",
        "source": {"uri": "s3://data/x.csv", "columns": ["a"]},
        "preprocessing": [],
        "algorithm": {"dbscan": {"eps": 0.5, "minSamples": 5, "metric": "euclidean"}},
        "validation": ClusteringModelSpec.model_validate(objects.model()["spec"]).validation.to_wire(),
        "plan": {"index": "auto", "threads": 3},
        "baseline": None,
        "deadlineSeconds": 3600,
        "trainingHash": "1234abcd",
        "modelUid": objects.model()["metadata"]["uid"],
        "after": 0,
        "labels": {},
        "card": {"points": True},
        "storeUri": objects.STORE,
    }
    assert variables(manifest)["SHOAL_SOURCE_SECRET_DIR"] == "/var/run/shoal/source"
    secrets = {item["secret"]["secretName"] for item in pod_of(manifest)["volumes"] if "secret" in item}
    assert secrets == {"mine", "store"}


def test_the_baseline_of_a_training_is_the_newest_version_that_may_be_served() -> None:
    versions = (
        objects.version(1),
        objects.version(2),
        objects.version(3, verdict="fail"),
        objects.version(4, state="Retired"),
    )
    told = json.loads(variables(job(versions=versions))["SHOAL_TRAINING_SPEC"])
    artifact = versions[1]["spec"]["artifact"]
    assert told["baseline"] == {"version": 2, "uri": artifact["uri"], "digest": artifact["digest"]}


def test_the_service_speaks_plain_http2() -> None:
    selector = {names.DEPLOYMENT: "cities", names.ROUTED: "true"}
    manifest = build_service(objects.deployment(), "cities", selector)
    [port] = manifest["spec"]["ports"]
    assert (port["name"], port["port"], port["appProtocol"]) == ("grpc", 8001, "kubernetes.io/h2c")
    assert manifest["spec"]["selector"] == selector


def test_the_preview_is_asked_by_the_name_that_pods_are_told() -> None:
    manifest = build_preview(objects.deployment(), pool_selector(objects.deployment(), "1a2b3c4d"))
    assert manifest["metadata"]["name"] == "cities-preview"
    assert manifest["spec"]["selector"] == {names.DEPLOYMENT: "cities", names.REVISION: "1a2b3c4d"}
    ports = {port["name"]: port["port"] for port in manifest["spec"]["ports"]}
    assert ports == {"grpc": 8001, "internal": 8003}
    assert variables(workload())["SHOAL_COMPARE_URL"] == "http://cities-preview.fish.svc:8003"
    declared = {port["name"]: port["containerPort"] for port in pod_of(workload())["containers"][0]["ports"]}
    assert declared == {"grpc": 8001, "metrics": 8002, "internal": 8003, "health": 8004}


def test_the_route_hangs_on_its_gateway() -> None:
    traffic = Traffic.model_validate(
        {"router": "Gateway", "gateway": {"name": "edge", "sectionName": "grpc"}, "hostnames": ["a.example"]}
    )
    manifest = build_route(objects.deployment(), traffic, [build_rule([build_backend("cities-1", 100)])])
    [parent] = manifest["spec"]["parentRefs"]
    assert (parent["name"], parent["sectionName"]) == ("edge", "grpc")
    assert manifest["spec"]["hostnames"] == ["a.example"]
    assert manifest["spec"]["rules"][0]["backendRefs"][0]["weight"] == 100


def test_a_budget_never_blocks_a_drain_for_ever() -> None:
    manifest = build_budget(objects.deployment(), "1234abcd")
    assert manifest["spec"]["maxUnavailable"] == 1
    assert "minAvailable" not in manifest["spec"]
    assert manifest["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"

"""Wrong objects are refused by the API server itself, with a text that names the field and the remedy.

The CRDs are the chart's. Most objects are only tried (server-side dry run), the others live in a namespace that is
deleted afterwards; what the operator makes of them is no matter here.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.kube import CACHE, REPOSITORY, Kube
from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.api.model import ClusteringModelSpec

Object = dict[str, Any]


class Api:
    """kubectl in one namespace of the cluster, with its exit status and its errors.

    Manifests go in as JSON, which leaves nothing to guess: in YAML kubectl reads a bare y as true.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        cached = CACHE / "bin/kubectl"
        self._program = str(cached) if cached.exists() else "kubectl"
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._program, *arguments, "--namespace", self.namespace],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env=self._environment,
        )

    def must(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def accepted(self, manifest: Object) -> Object:
        """Try an object; return it as the server would store it."""
        tried = self.must("apply", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=json.dumps(manifest))
        stored: Object = yaml.safe_load(tried)
        return stored

    def refused(self, manifest: Object) -> str:
        """Try an object that must be refused; return the text that its author reads."""
        done = self.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
        assert done.returncode != 0, f"accepted: {manifest}"
        return done.stderr


@pytest.fixture(scope="module")
def api(kube: Kube) -> Iterator[Api]:
    api = Api(kube.kubeconfig, f"admission-{uuid.uuid4().hex[:8]}")
    api.must("wait", "--for=condition=Established", "--timeout=30s", "-f", str(REPOSITORY / "crds"))
    api.must("create", "namespace", api.namespace)
    yield api
    api.run("delete", "namespace", api.namespace, "--wait=false")


def build(kind: str, spec: Object, name: str = "probe") -> Object:
    return {"apiVersion": "shoal.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def model(name: str = "probe", columns: list[str] | None = None, source: Object | None = None, **more: Any) -> Object:
    dbscan = {"eps": 0.5, **more.pop("dbscan", {})}
    held = {"uri": "s3://data/points.parquet", **({"columns": columns} if columns else {}), **(source or {})}
    return build("ClusteringModel", {"source": held, "algorithm": {"dbscan": dbscan}, **more}, name)


def imported(uri: str = "s3://exports/towns", digest: str = f"sha256:{'0' * 64}", **more: Any) -> Object:
    return build("ClusteringModel", {"artifact": {"uri": uri, "digest": digest}, **more})


def adaptive(columns: list[str] | None = None, training: Object | None = None, **parameters: Any) -> Object:
    manifest = model(columns=columns, **({"training": training} if training else {}))
    manifest["spec"]["algorithm"] = {"adaptiveDbscan": parameters}
    return manifest


def deployment(name: str = "probe", **more: Any) -> Object:
    return build("ClusteringDeployment", {"modelRef": {"name": "towns"}, **more}, name)


def version(**more: Any) -> Object:
    spec = {
        "modelRef": {"name": "towns"},
        "version": 1,
        "trainingHash": "0123abcd",
        "artifact": {"uri": "s3://models/a", "digest": f"sha256:{'0' * 64}", "bytes": 10},
        "algorithm": {"dbscan": {"eps": 0.5}},
        "schema": {"columns": [{"name": "x", "dtype": "double"}]},
        "metrics": {"rows": 10, "clusters": 2, "noiseRatio": 0.1, "coreSamples": 5, "fitSeconds": 0.1},
        "validation": {"verdict": "pass"},
        **more,
    }
    return build("ClusteringModelVersion", spec, "towns-v1")


def batch(source: Object | None = None, **more: Any) -> Object:
    spec = {
        "modelRef": {"name": "towns"},
        "source": {"uri": "s3://data/new/", **(source or {})},
        "output": {"uri": "s3://results/all"},
        **more,
    }
    return build("ClusteringBatch", {name: value for name, value in spec.items() if value is not None})


def canary(*steps: Object, **spec: Any) -> Object:
    return deployment(strategy={"canary": {"steps": list(steps)}}, **spec)


GATEWAY: Object = {"router": "Gateway", "gateway": {"name": "models"}}
MIRROR: Object = {"mirror": {"percent": 30, "durationSeconds": 60}}
TESTERS: Object = {"setHeader": {"name": "x-tester", "value": "yes"}}


SHADOW = canary({"shadow": {"durationSeconds": 9}}, {"setWeight": 50})


def shadowed(made: Object, **gates: Object | list[Object]) -> Object:
    return {**made, "spec": {**made["spec"], "analysis": gates}}


ACCEPTED = {
    "least model": model(),
    "haversine with two columns": model(columns=["lat", "lon"], dbscan={"metric": "haversine", "eps": 0.006}),
    "haversine without columns": model(dbscan={"metric": "haversine", "eps": 0.006}),
    "least batch": batch(),
    "whole batch": batch(
        modelRef=None,
        deploymentRef={"name": "towns"},
        output={"uri": "gs://results/all", "secretRef": {"name": "store"}, "columns": ["id"]},
        rowsPerShard=5000,
        parallelism=4,
        batchRows=1024,
        retries=0,
        onFailure="Stop",
        ttlSecondsAfterFinished=0,
        resources={"limits": {"memory": "512Mi"}},
        suspend=True,
    ),
    "least adaptive model": adaptive(),
    "whole adaptive model": adaptive(["lat", "lon"], minSamples=5, minClusterSize=20, metric="haversine"),
    "a plan overridden": model(training={"plan": {"index": "tree", "threads": 2}}),
    "threads of an adaptive fit": adaptive(training={"plan": {"threads": 2}}),
    "every preprocessing step": model(
        preprocessing=[
            {"select": {"columns": ["x", "y", "kind"]}},
            {"impute": {"strategy": "constant", "value": 3}},
            {"log1p": {"columns": ["x"]}},
            {"clip": {"min": -1, "maxQuantile": 1}},
            {"oneHot": {"columns": ["kind"]}},
            {"scale": {}},
            {"pca": {"components": 2}},
            {"unitNorm": {}},
        ]
    ),
    "haversine of degrees beside other columns": model(
        columns=["lat", "lon", "name"],
        preprocessing=[{"select": {"columns": ["lat", "lon"]}}, {"toRadians": {}}],
        dbscan={"metric": "haversine", "eps": 0.006},
    ),
    "a folder": model(source={"uri": "gs://data/points/", "sample": {"fraction": 0.5}}),
    "a sample by rows": model(source={"uri": "az://data/points.npy", "sample": {"rows": 100, "seed": 7}}),
    "a query": model(source={"uri": "postgresql://host:5432/db", "sql": {"query": "SELECT 1 AS x"}}),
    "format told": model(source={"uri": "s3://data/points", "format": "csv"}),
    "one cluster exactly": model(validation={"minClusters": 1, "maxClusters": 1}),
    "quantity as a number": model(training={"resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}),
    "an import": imported(validation={"minClusters": 2}, retention={"keep": 3}),
    "a schedule": model(retrain={"schedule": "0 3 * * MON-FRI", "timeZone": "Europe/Berlin"}),
    "a schedule by a word": model(retrain={"schedule": "@daily", "suspend": True}),
    "retention and labels": model(
        retention={"keep": 3, "archiveRetired": False, "deleteAfterDays": 0},
        labels={"team": "maps", "example.org/a": ""},
    ),
    "least deployment": deployment(),
    "a version by digest": deployment(modelRef={"name": "towns", "version": f"sha256:{'0' * 64}"}),
    "approval of the newest": deployment(modelRef={"name": "towns", "policy": "Manual"}),
    "blue-green": deployment(strategy={"blueGreen": {}}),
    "canary": deployment(strategy={"canary": {}}),
    "shadow, then a pause, then weight": shadowed(
        canary({"shadow": {"durationSeconds": 9}}, {"pause": {}}, {"setWeight": 10}), agreement={}
    ),
    "shadow by a record": shadowed(SHADOW, clusterCount={}),
    "shadow by live rows": shadowed(SHADOW, silhouette={"source": "Live", "minSamples": 100}),
    "shadow by a service": shadowed(SHADOW, webhooks=[{"name": "w", "url": "http://w/"}]),
    "blue-green shadow": deployment(
        strategy={"blueGreen": {"prePromotion": {"durationSeconds": 9}}}, analysis={"agreement": {"min": 0.8}}
    ),
    "scale and analysis": canary(
        {"setScale": {"percent": 100}},
        {"setWeight": 10},
        {"analysis": {"minSeconds": 5}},
        {"setScale": {"matchWeight": True}},
        {"setWeight": 100},
    ),
    "mirror and header": canary(MIRROR, TESTERS, {"analysis": {}}, MIRROR, {"setWeight": 10}, traffic=GATEWAY),
    "level weights": canary({"setWeight": 10}, {"pause": {}}, {"setWeight": 10}, {"setWeight": 100}),
    "gateway": deployment(traffic={"router": "Gateway", "gateway": {"name": "models"}, "hostnames": ["a.example"]}),
    "a version by number": deployment(modelRef={"name": "towns", "version": "12"}),
    "version": version(),
}

REFUSED: dict[str, tuple[Object, tuple[str, ...]]] = {
    "no strategy": (
        deployment(strategy={}),
        ("spec.strategy", "exactly one of blueGreen and canary must be set, not 0"),
    ),
    "both strategies": (
        deployment(strategy={"blueGreen": {}, "canary": {}}),
        ("spec.strategy", "exactly one of blueGreen and canary must be set, not 2"),
    ),
    "step without action": (
        canary({"setWeight": 10}, {}),
        ("spec.strategy.canary.steps[1]", "exactly one of setWeight", "must be set, not 0"),
    ),
    "step with two actions": (
        canary({"setWeight": 10, "pause": {}}),
        ("spec.strategy.canary.steps[0]", "exactly one of setWeight", "must be set, not 2"),
    ),
    "no steps": (canary(), ("spec.strategy.canary.steps", "at least 1 items")),
    "pause first": (canary({"pause": {}}, {"setWeight": 10}), ("canary.steps[0] is a pause", "begin with a setWeight")),
    "falling weights": (
        canary({"setWeight": 50}, {"pause": {}}, {"setWeight": 20}),
        ("must never fall", "[50, 20]", "rising order"),
    ),
    "shadow after weight": (
        shadowed(canary({"setWeight": 50}, {"shadow": {"durationSeconds": 9}}), agreement={}),
        ("a shadow of canary.steps", "cannot follow"),
    ),
    "endless shadow": (
        shadowed(canary({"shadow": {}}), agreement={}),
        ("spec.strategy.canary.steps[0].shadow.durationSeconds", "Required value"),
    ),
    **{
        f"shadow without a gate: {what}": (shadowed(SHADOW, **gates), ("no gate would judge", "set analysis.agreement"))
        for what, gates in {
            "none": {},
            "one that is off": {"agreement": {"enabled": False}},
            "one that needs calls": {
                "prometheus": [{"name": "q", "address": "http://p:9090", "query": "up", "max": 1}]
            },
        }.items()
    },
    "blue-green shadow without a gate": (
        deployment(strategy={"blueGreen": {"prePromotion": {"durationSeconds": 9}}}),
        ("no gate would judge", "set analysis.agreement"),
    ),
    "samples of a record": (
        deployment(analysis={"clusterCount": {"minSamples": 100}}),
        ("spec.analysis.clusterCount", "minSamples has no effect with source Record"),
    ),
    "more rows than are compared": (
        deployment(analysis={"agreement": {"minSamples": 2001}}),
        ("spec.analysis.agreement.minSamples", "2000"),
    ),
    "hook that does both": (
        deployment(hooks=[{"name": "tell", "at": "AfterPromotion", "url": "http://desk:8080/", "cronJob": "tell"}]),
        ("exactly one of url and cronJob",),
    ),
    "hook that does nothing": (
        deployment(hooks=[{"name": "tell", "at": "AfterPromotion"}]),
        ("exactly one of url and cronJob",),
    ),
    "hooks of one name": (
        deployment(hooks=[{"name": "tell", "at": "AfterPromotion", "cronJob": "tell"}] * 2),
        ("two of spec.hooks have the same name",),
    ),
    "together after others": (
        deployment(group={"name": "eu", "together": True, "promoteAfter": ["berlin"]}),
        ("together and group.promoteAfter exclude each other",),
    ),
    "Jobs of one name": (
        deployment(analysis={"jobs": [{"name": "towns", "cronJob": "judge"}] * 2}),
        ("two gates of analysis.jobs have the same name",),
    ),
    "mirror behind a Service": (canary(MIRROR), ("traffic.router Service cannot do", "use router Gateway")),
    "header behind a Service": (canary(TESTERS), ("traffic.router Service cannot do", "use router Gateway")),
    "mirror after a weight": (canary({"setWeight": 5}, MIRROR, traffic=GATEWAY), ("follows a setWeight", "before")),
    "copies of nothing": (
        canary({"mirror": {"percent": 0, "durationSeconds": 60}}, traffic=GATEWAY),
        ("steps[0].mirror.percent", "1"),
    ),
    "analysis first": (canary({"analysis": {}}, {"setWeight": 5}), ("no calls of both versions", "setWeight from 1")),
    "analysis at 100 %": (canary({"setWeight": 100}, {"analysis": {}}), ("no calls of both versions",)),
    "impatient analysis": (
        canary({"setWeight": 5}, {"analysis": {"minSeconds": 4000}}),
        ("minSeconds is above analysis.maxSeconds", "raise maxSeconds"),
    ),
    "scale by nothing": (canary({"setScale": {"matchWeight": False}}), ("matchWeight false says nothing",)),
    "scale by two": (
        canary({"setScale": {"replicas": 1, "percent": 5}}),
        ("exactly one of replicas, percent", "not 2"),
    ),
    "metadata of gRPC's": (
        canary({"setHeader": {"name": "grpc-timeout", "value": "1"}}, traffic=GATEWAY),
        ("setHeader.name grpc-timeout", "a name of your own"),
    ),
    "weight above 100": (canary({"setWeight": 101}), ("steps[0].setWeight", "100")),
    "router without gateway": (deployment(traffic={"router": "Gateway"}), ("spec.traffic", "name a Gateway")),
    "gateway without router": (
        deployment(traffic={"gateway": {"name": "models"}}),
        ("traffic.gateway models has no effect", "use router Gateway"),
    ),
    "host names without router": (
        deployment(traffic={"hostnames": ["a.example"]}),
        ("traffic.hostnames have no effect", "use router Gateway"),
    ),
    "unknown router": (deployment(traffic={"router": "Ingress"}), ("spec.traffic.router", '"Service", "Gateway"')),
    "version that is no number": (
        deployment(modelRef={"name": "towns", "version": "newest"}),
        ("spec.modelRef.version", "newest"),
    ),
    "negative replicas": (deployment(worker={"replicas": -1}), ("spec.worker.replicas", "-1")),
    "unknown field": (deployment(worker={"replica": 3}), ('unknown field "spec.worker.replica"',)),
    "name that no Service can have": (deployment(name="towns.europe"), ("metadata.name", "name of a Service")),
    "eps of zero": (model(dbscan={"eps": 0}), ("spec.algorithm.dbscan.eps", "greater than 0")),
    "eps in kilometres": (
        model(dbscan={"eps": 38, "metric": "haversine"}),
        ("dbscan.eps 38", "radians", "divide kilometres by 6371"),
    ),
    "eps beyond cosine": (model(dbscan={"eps": 2.5, "metric": "cosine"}), ("dbscan.eps 2.5", "at most 2")),
    "unknown metric": (model(dbscan={"metric": "cityblock"}), ("dbscan.metric", '"cityblock"', '"manhattan"')),
    "haversine with three columns": (
        model(columns=["lat", "lon", "population"], dbscan={"metric": "haversine", "eps": 0.006}),
        ("exactly two source.columns", "not 3", "population"),
    ),
    "two preprocessing steps in one": (
        model(preprocessing=[{"scale": {}, "unitNorm": {}}]),
        ("spec.preprocessing[0]", "must be set, not 2", "toRadians"),
    ),
    "constant without a value": (
        model(preprocessing=[{"scale": {}}, {"impute": {"strategy": "constant"}}]),
        ("spec.preprocessing[1].impute", "give both or neither"),
    ),
    "clip without a bound": (
        model(preprocessing=[{"clip": {"columns": ["x"]}}]),
        ("spec.preprocessing[0].clip", "give min or minQuantile, max or maxQuantile"),
    ),
    "clip with crossed bounds": (
        model(preprocessing=[{"clip": {"min": 2, "max": 1}}]),
        ("clip.min is above clip.max",),
    ),
    "components in two ways": (
        model(preprocessing=[{"pca": {"components": 2, "varianceRatio": 0.5}}]),
        ("spec.preprocessing[0].pca", "exactly one of components and varianceRatio"),
    ),
    "unit norm of some columns": (
        model(preprocessing=[{"unitNorm": {"columns": ["x"]}}]),
        ('unknown field "spec.preprocessing[0].unitNorm.columns"',),
    ),
    "too many preprocessing steps": (
        model(preprocessing=[{"unitNorm": {}}] * 33),
        ("spec.preprocessing", "at most 32"),
    ),
    "components on the globe": (
        model(preprocessing=[{"pca": {"components": 2}}], dbscan={"metric": "haversine", "eps": 0.006}),
        ("latitude and longitude in radians", "leave scale, pca and unitNorm out"),
    ),
    "limits that exclude each other": (
        model(validation={"minClusters": 5, "maxClusters": 2}),
        ("minClusters 5 is above validation.maxClusters 2", "lower minClusters or raise"),
    ),
    "uri of another kind": (model(source={"uri": "https://a/b.csv"}), ("spec.source.uri", "https://a/b.csv")),
    "format unknown": (
        model(source={"uri": "s3://data/points"}),
        ("set source.format to parquet, csv, arrow or npy",),
    ),
    "a sample in two ways": (
        model(source={"uri": "s3://data/points/", "sample": {"rows": 5, "fraction": 0.5}}),
        ("spec.source.sample", "either rows or fraction"),
    ),
    "a sample of all": (model(source={"uri": "s3://data/a.csv", "sample": {"fraction": 1}}), ("sample.fraction",)),
    "a query of a bucket": (
        model(source={"uri": "s3://data/a.csv", "sql": {"query": "SELECT 1"}}),
        ("source.sql goes with a uri that begins with postgresql://",),
    ),
    "a database without a query": (
        model(source={"uri": "postgresql://host/db", "format": "csv"}),
        ("source.sql goes with a uri that begins with postgresql://",),
    ),
    "a password in the uri": (
        model(source={"uri": "postgresql://me:secret@host/db", "sql": {"query": "SELECT 1"}}),
        ("postgresql://host:5432/database", "PGUSER and PGPASSWORD"),
    ),
    "options in the uri": (
        model(source={"uri": "postgresql://host/db?sslmode=disable", "sql": {"query": "SELECT 1"}}),
        ("postgresql://host:5432/database",),
    ),
    "a format of a query": (
        model(source={"uri": "postgresql://host/db", "sql": {"query": "SELECT 1"}, "format": "csv"}),
        ("source.format has no effect with source.sql",),
    ),
    "no algorithm": (
        build("ClusteringModel", {"source": {"uri": "s3://a/b.csv"}}),
        ("either trained, from source and algorithm, or imported, from artifact",),
    ),
    "trained and imported": (
        model(artifact={"uri": "s3://a/b", "digest": f"sha256:{'0' * 64}"}),
        ("either trained, from source and algorithm, or imported, from artifact",),
    ),
    "an import on a schedule": (
        imported(retrain={"schedule": "@daily"}),
        ("preprocessing and retrain have no effect with artifact",),
    ),
    "an import from anywhere": (imported(uri="ftp://a/b"), ("spec.artifact.uri", "ftp://a/b")),
    "an import without its digest": (imported(digest="latest"), ("spec.artifact.digest", "latest")),
    "a schedule of four fields": (model(retrain={"schedule": "0 3 * *"}), ("spec.retrain.schedule", "0 3 * *")),
    "no version kept": (model(retention={"keep": 0}), ("spec.retention.keep", "greater than or equal to 1")),
    "a label of ours": (model(labels={"shoal.dev/model": "x"}), ("choose other names",)),
    "a label's value that is none": (model(labels={"team": "a b"}), ("spec.labels", "a b")),
    "approval of a pin": (
        deployment(modelRef={"name": "towns", "version": "2", "policy": "Manual"}),
        ("modelRef.policy Manual has no effect with a pinned modelRef.version",),
    ),
    "a digest that is cut": (
        deployment(modelRef={"name": "towns", "version": "sha256:0123"}),
        ("spec.modelRef.version", "sha256:0123"),
    ),
    "empty algorithm": (
        build("ClusteringModel", {"source": {"uri": "s3://a/b.csv"}, "algorithm": {}}),
        ("spec.algorithm", "exactly one of dbscan and adaptiveDbscan must be set, not 0; keep the one that you want"),
    ),
    "both algorithms": (
        build(
            "ClusteringModel",
            {"source": {"uri": "s3://a/b.csv"}, "algorithm": {"dbscan": {"eps": 1}, "adaptiveDbscan": {}}},
        ),
        ("spec.algorithm", "exactly one of dbscan and adaptiveDbscan must be set, not 2; keep the one that you want"),
    ),
    "eps of an adaptive model": (adaptive(eps=0.5), ('unknown field "spec.algorithm.adaptiveDbscan.eps"',)),
    "adaptive minSamples of zero": (
        adaptive(minSamples=0),
        ("adaptiveDbscan.minSamples", "greater than or equal to 1"),
    ),
    "adaptive minSamples beyond counting": (adaptive(minSamples=2**31), ("adaptiveDbscan.minSamples", "1000000")),
    "clusters of one row": (
        adaptive(minClusterSize=1),
        ("spec.algorithm.adaptiveDbscan.minClusterSize", "greater than or equal to 2"),
    ),
    "adaptive unknown metric": (adaptive(metric="cityblock"), ("adaptiveDbscan.metric", '"cityblock"', '"manhattan"')),
    "adaptive haversine with three columns": (
        adaptive(["lat", "lon", "population"], metric="haversine"),
        ("exactly two source.columns", "not 3", "population"),
    ),
    "index of an adaptive model": (
        adaptive(training={"plan": {"index": "tree"}}),
        ("training.plan.index has no effect with adaptiveDbscan", "leave it out"),
    ),
    "unknown index": (model(training={"plan": {"index": "ball"}}), ("spec.training.plan.index", '"ball"', '"grid"')),
    "no threads": (model(training={"plan": {"threads": 0}}), ("spec.training.plan.threads", "equal to 1")),
    "quantity that is none": (
        deployment(worker={"resources": {"requests": {"memory": "1 GiB"}}}),
        ("spec.worker.resources.requests.memory", "1 GiB"),
    ),
    "batch without a version": (batch(modelRef=None), ("exactly one of modelRef and deploymentRef",)),
    "batch with two versions": (
        batch(deploymentRef={"name": "towns"}),
        ("exactly one of modelRef and deploymentRef", "keep the one"),
    ),
    "columns of a batch": (batch({"columns": ["x"]}), ("source.columns has no effect in a batch", "output.columns")),
    "sample of a batch": (batch({"sample": {"rows": 5}}), ("source.sample has no effect in a batch",)),
    "query of a batch": (
        batch({"uri": "postgresql://db:5432/towns", "sql": {"query": "select 1"}}),
        ("a batch labels files",),
    ),
    "shards twice": (batch(shards=2, rowsPerShard=5000), ("shards and rowsPerShard", "keep one of them")),
    "too many shards": (batch(shards=2001), ("spec.shards", "2000")),
    "name too long for its versions": (model(name="a" * 64), ("metadata.name", "63 characters", "shorten it")),
}


@pytest.mark.parametrize("manifest", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_a_right_object_is_accepted(api: Api, manifest: Object) -> None:
    api.accepted(manifest)


@pytest.mark.parametrize(("manifest", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_object_is_refused_with_the_remedy(api: Api, manifest: Object, told: tuple[str, ...]) -> None:
    text = api.refused(manifest)
    for part in told:
        assert part in text


def test_a_version_is_a_record(api: Api) -> None:
    api.must("apply", "-f", "-", stdin=json.dumps(version()))
    assert "never changes" in api.refused(version(algorithm={"dbscan": {"eps": 0.6}}))
    api.accepted(version())


def test_a_deployment_stays_with_its_model(api: Api) -> None:
    api.must("apply", "-f", "-", stdin=json.dumps(deployment("moved")))
    text = api.refused(deployment("moved", modelRef={"name": "cities"}))
    assert "modelRef.name cannot change from towns to cities; create another" in text
    api.accepted(deployment("moved", modelRef={"name": "towns", "version": "3"}))


@pytest.mark.parametrize("way", [(), ("--server-side",)], ids=["client-side apply", "server-side apply"])
def test_a_change_of_strategy_leaves_nothing_of_the_other_behind(api: Api, way: tuple[str, ...]) -> None:
    name = f"changed-{len(way)}"
    for strategy in (None, {"blueGreen": {"steps": 3}}, {"canary": {"steps": [{"setWeight": 5}]}}, {"blueGreen": {}}):
        manifest = deployment(name, **({"strategy": strategy} if strategy else {}))
        stored = yaml.safe_load(api.must("apply", *way, "-o", "yaml", "-f", "-", stdin=json.dumps(manifest)))
        assert stored["spec"].get("strategy") == strategy


def test_a_change_of_algorithm_leaves_nothing_of_the_other_behind(api: Api) -> None:
    for manifest in (model("varied"), adaptive(minClusterSize=30), model("varied", dbscan={"minSamples": 7})):
        manifest["metadata"]["name"] = "varied"
        stored = yaml.safe_load(api.must("apply", "-o", "yaml", "-f", "-", stdin=json.dumps(manifest)))
        assert stored["spec"]["algorithm"] == manifest["spec"]["algorithm"]


def test_defaults_show_in_the_stored_object_and_say_the_same(api: Api) -> None:
    for kind, manifest in ((ClusteringDeploymentSpec, deployment()), (ClusteringModelSpec, model())):
        stored = api.accepted(manifest)["spec"]
        assert stored != manifest["spec"]
        assert kind.model_validate(stored) == kind.model_validate(manifest["spec"])


def test_a_gate_that_is_switched_off_stays_off(api: Api) -> None:
    stored = api.accepted(deployment(analysis={"latency": {"enabled": False}}))["spec"]
    analysis = ClusteringDeploymentSpec.model_validate(stored).analysis
    assert analysis.latency is None
    assert analysis.error_rate is not None


def test_the_scale_subresource_changes_the_workers(api: Api) -> None:
    api.must("apply", "-f", "-", stdin=json.dumps(deployment("scaled")))
    api.must("scale", "cdep/scaled", "--replicas=5")
    assert api.must("get", "cdep", "scaled", "-o", "jsonpath={.spec.worker.replicas}") == "5"


def test_kubectl_lists_the_kinds_by_their_short_names_and_category(api: Api) -> None:
    api.must("apply", "-f", "-", stdin=json.dumps(version()))
    row = api.must("get", "cmv").splitlines()
    assert row[0].split() == [
        "NAME",
        "MODEL",
        "VERSION",
        "STATE",
        "ROWS",
        "CLUSTERS",
        "NOISE",
        "SILHOUETTE",
        "VERDICT",
        "AGE",
    ]
    assert row[1].split()[:3] == ["towns-v1", "towns", "1"]
    assert "clusteringmodelversion.shoal.dev/towns-v1" in api.must("get", "shoal", "-o", "name")


def test_explain_tells_what_a_field_does(api: Api) -> None:
    told = api.must("explain", "cdep.spec.strategy.canary")
    assert "steps" in told
    assert "What to do, in order; weights never fall." in " ".join(told.split())
    told = " ".join(api.must("explain", "cmodel.spec.algorithm.adaptiveDbscan").split())
    assert "no radius to choose" in told
    assert "Fewest rows of a cluster" in told
    assert "Why each choice was made" in " ".join(api.must("explain", "cmv.spec.plan.reasons").split())


@pytest.mark.parametrize("file", sorted(Path(REPOSITORY, "examples").rglob("*.yaml")), ids=lambda file: file.name)
def test_the_examples_are_accepted_as_printed(api: Api, file: Path) -> None:
    api.must("apply", "--dry-run=server", "-f", str(file))

"""`shoal lint` and the comparison of `shoal diff`: what is wrong or risky in a manifest, and what it would do."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shoal_cli.__main__ import main
from shoal_cli.deployments.comparison import Surroundings, compare_deployment, compare_model
from shoal_cli.deployments.rules import share_by_pods
from shoal_cli.errors import ShoalError
from shoal_cli.lint.check import SPECS, check
from shoal_cli.lint.documents import read_documents
from shoal_operator.api.deployment import ClusteringDeploymentSpec
from shoal_operator.api.model import ClusteringModelSpec
from tests.unit.cli.sights import Raw, ago, deployment, on_trial, revision
from tests.unit.core import objects

HEAD = "apiVersion: shoal.dev/v1alpha1\nkind: ClusteringDeployment\nmetadata: {name: towns}\n"
GOOD = {
    "modelRef": {"name": "cities"},
    "worker": {"replicas": 10, "resources": {"requests": {"cpu": "100m"}}},
}


@pytest.fixture
def lint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Lint a text; return exit code and findings."""

    def run(text: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
        path = tmp_path / "manifest.yaml"
        path.write_text(text)
        code = main(["lint", str(path), "-o", "json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def manifest(kind: str = "ClusteringDeployment", name: str = "towns", **spec: Any) -> str:
    document = {"apiVersion": "shoal.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    return yaml.safe_dump(document, sort_keys=False)


def test_the_kinds_are_those_of_the_api_package() -> None:
    assert {"ClusteringModel", "ClusteringModelVersion", "ClusteringDeployment"} <= set(SPECS)


@pytest.mark.parametrize(
    ("text", "line", "field", "message"),
    [
        (HEAD, 1, "", "spec is missing"),
        (HEAD + "spec: {}\n", 4, "spec.modelRef", "it is required"),
        (
            HEAD + "spec:\n  modelRef: {name: x}\n  worker:\n    replica: 3\n",
            7,
            "spec.worker.replica",
            "mean replicas?",
        ),
        (HEAD + "spec:\n  modelRef: {name: x}\n  worker: {replicas: '2'}\n", 6, "spec.worker.replicas", 'it is "2"'),
        (
            HEAD + "spec:\n  modelRef: {name: x}\n  strategy:\n    canary:\n      steps:\n      - setWeight: 120\n",
            9,
            "spec.strategy.canary.steps[0].setWeight",
            "less than or equal to 100 (it is 120)",
        ),
        (
            HEAD + "spec:\n  modelRef: {name: x}\n  strategy:\n    canary: {steps: [{setWeight: 9}, {setWeight: 5}]}\n",
            7,
            "spec.strategy.canary",
            "the setWeight of canary.steps must never fall; put them in rising order",
        ),
        (
            HEAD + "spec:\n  modelRef: {name: x}\n  strategy: {canary: {}, blueGreen: {}}\n",
            6,
            "spec.strategy",
            "exactly one of blueGreen and canary must be set",
        ),
        (
            HEAD + "spec:\n  modelRef: {name: x}\n  worker:\n    resources:\n      requests:\n        cpu: lots\n",
            9,
            "spec.worker.resources.requests.cpu",
            "it is no quantity",
        ),
        (HEAD.replace("towns", "Towns") + "spec: {modelRef: {name: x}}\n", 3, "metadata.name", "lower case"),
        (HEAD.replace("v1alpha1", "v9") + "spec: {}\n", 1, "apiVersion", "write shoal.dev/v1alpha1"),
        (HEAD.replace("Deployment", "Deploymnt"), 2, "kind", "did you mean ClusteringDeployment?"),
        (HEAD + "spc: {}\nspec: {modelRef: {name: x}}\n", 4, "spc", "did you mean spec?"),
    ],
)
def test_what_is_wrong_is_told_by_line_and_field(lint: Any, text: str, line: int, field: str, message: str) -> None:
    code, found = lint(text)
    assert code == 2
    assert (found[0]["line"], found[0]["field"], found[0]["severity"]) == (line, field, "error")
    assert message in found[0]["message"]


def test_all_that_is_wrong_is_told_at_once_and_other_objects_are_left_alone(lint: Any) -> None:
    text = "---\n".join(
        [
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\nspec: nonsense\n",
            manifest(modelRef={"name": "x"}, worker={"replicas": -1, "drainDelaySeconds": 999}),
            manifest("ClusteringModel", source={"uri": "ftp://x"}, algorithm={"dbscan": {"eps": 0}}),
        ]
    )
    _, found = lint(text)
    assert [each["object"].partition("/")[0] for each in found] == ["ClusteringDeployment"] * 2 + [
        "ClusteringModel"
    ] * 2


def test_lists_folders_and_json_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = yaml.safe_load(manifest(modelRef={"name": "x"}, worker={"replicas": -1}))
    (tmp_path / "list.json").write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [document]}, indent=1))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.yml").write_text(yaml.safe_dump(document))
    assert main(["lint", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    line = next(n for n, text in enumerate((tmp_path / "list.json").read_text().splitlines(), 1) if "replicas" in text)
    assert f"list.json:{line}: error: ClusteringDeployment/towns: spec.worker.replicas: " in out
    assert "2 objects of Shoal, 2 errors, 0 warnings." in out


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(manifest(**GOOD)))
    assert main(["lint", "-"]) == 0
    assert "1 object of Shoal, 0 errors, 0 warnings." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rule", "spec"),
    [
        ("one-pod", {"worker": {"replicas": 1}}),
        ("one-pod", {"scaling": {"maxReplicas": 20, "metrics": {"queue": {"averageValue": 8}}}}),
        ("no-request-to-scale-by", {"scaling": {"maxReplicas": 20, "metrics": {"memory": {"averageUtilization": 70}}}}),
        ("memory-alone", {"scaling": {"maxReplicas": 20, "metrics": {"memory": {"averageUtilization": 70}}}}),
        (
            "nothing-to-scale",
            {"scaling": {"minReplicas": 9, "maxReplicas": 9, "metrics": {"queue": {"averageValue": 8}}}},
        ),
        (
            "begins-outside",
            {"scaling": {"minReplicas": 2, "maxReplicas": 9, "metrics": {"queue": {"averageValue": 8}}}},
        ),
        (
            "restless",
            {
                "scaling": {
                    "maxReplicas": 20,
                    "metrics": {"queue": {"averageValue": 8}},
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
                }
            },
        ),
        ("no-resources", {"worker": {"replicas": 10, "resources": {}}}),
        ("moving-tag", {"worker": {"replicas": 10, "image": "registry:5000/worker"}}),
        ("moving-tag", {"worker": {"replicas": 10, "image": "worker:latest"}}),
        ("no-drain-delay", {"worker": {"replicas": 10, "drainDelaySeconds": 0}}),
        ("paused", {"paused": True}),
        ("nothing-judged", {"strategy": {"canary": {"steps": [{"setWeight": 10}]}}}),
        ("nothing-judged", {"strategy": {"blueGreen": {"steps": 1}}}),
        ("no-way-back", {"strategy": {"blueGreen": {"scaleDownDelaySeconds": 0}}}),
        ("nothing-asked", {"strategy": {"blueGreen": {"postPromotion": {"durationSeconds": 60}}}}),
        ("nothing-judged", {"strategy": {"blueGreen": {"steps": 1, "postPromotion": {"durationSeconds": 60}}}}),
        ("sticky-connections", {"strategy": {"blueGreen": {"intervalSeconds": 30}}}),
        ("pause-on-failure", {"onFailure": "Pause"}),
        ("coarse-weight", {"worker": {"replicas": 2}}),
        ("no-gates", {"analysis": {"errorRate": {"enabled": False}, "latency": {"enabled": False}}}),
        ("proceeds-unjudged", {"analysis": {"onInconclusive": "Proceed"}}),
        ("few-samples", {"analysis": {"latency": {"minSamples": 3}}}),
    ],
)
def test_risky_settings_are_warned_of(lint: Any, rule: str, spec: dict[str, Any]) -> None:
    code, found = lint(manifest(**{**GOOD, **spec}))
    assert code == 0
    assert rule in {each["rule"] for each in found}
    assert lint(manifest(**{**GOOD, **spec}), "--strict")[0] == 2


def test_a_careful_deployment_has_no_warning(lint: Any) -> None:
    assert lint(manifest(**GOOD), "--strict") == (0, [])


INGESTION: Raw = {
    "nats": {"url": "nats://nats:4222", "monitoringUrl": "http://nats:8222"},
    "stream": "readings",
    "subject": "readings.>",
    "output": {"subject": "labels"},
    "deadLetterSubject": "dead",
}


STORE: Raw = {"uri": "s3://shoal-data/results"}


@pytest.mark.parametrize(
    ("rule", "ingestion", "scaling"),
    [
        (None, {}, None),
        ("mixed-letters", {"deadLetterSubject": "labels"}, None),
        ("stream-loop", {"subject": "labels"}, None),
        ("pod-per-message", {}, {"maxReplicas": 5, "metrics": {"queue": {"averageValue": 0.5}}}),
        (None, {"output": {"store": STORE}}, {"maxReplicas": 5, "metrics": {"queue": {"averageValue": 12_000}}}),
        (
            "files-look-like-backlog",
            {"output": {"store": STORE}},
            {"maxReplicas": 5, "metrics": {"queue": {"averageValue": 5000}}},
        ),
    ],
)
def test_what_is_risky_with_a_stream_is_warned_of_and_nothing_that_is_only_so_with_calls(
    lint: Any, rule: str | None, ingestion: Raw, scaling: Raw | None
) -> None:
    worker = {**GOOD["worker"], "replicas": 1}
    spec = {**GOOD, "worker": worker, "ingestion": {**INGESTION, **ingestion}}
    _, found = lint(manifest(name="a.b", **(spec if scaling is None else {**spec, "scaling": scaling})))
    assert [each["rule"] for each in found] == ([rule] if rule else [])


def test_names_are_held_against_their_uses(lint: Any) -> None:
    model = manifest("ClusteringModel", "towns", source={"uri": "s3://b/x.csv"}, algorithm={"adaptiveDbscan": {}})
    _, found = lint(f"{model}---\n{manifest(name='a.b', **GOOD)}")
    rules = {each["rule"]: each["message"] for each in found}
    assert "there are towns" in rules["unknown-model"]
    assert "no dots" in rules["service-name"]
    assert "no-limits" in rules


def test_an_eps_that_spans_continents_is_told_in_kilometres(lint: Any) -> None:
    algorithm = {"dbscan": {"eps": 1.0, "metric": "haversine"}}
    _, found = lint(manifest("ClusteringModel", source={"uri": "s3://b/x.csv"}, algorithm=algorithm))
    assert any("6,371 km" in each["message"] for each in found)


@pytest.mark.parametrize(
    ("retrain", "field"),
    [
        ({"schedule": "61 * * * *"}, "spec.retrain.schedule"),
        ({"schedule": "@daily", "timeZone": "Moon/Sea"}, "spec.retrain.timeZone"),
        ({"schedule": "0 3 29 2 *"}, None),
    ],
)
def test_a_schedule_that_names_no_time_is_told(lint: Any, retrain: Raw, field: str | None) -> None:
    spec = {"source": {"uri": "s3://b/x.csv"}, "algorithm": {"adaptiveDbscan": {}}, "retrain": retrain}
    _, found = lint(manifest("ClusteringModel", **spec))
    assert [each["field"] for each in found if each["rule"] == "no-time"] == ([field] if field else [])


@given(st.integers(0, 100), st.integers(1, 200))
def test_the_share_of_pods_is_a_percent_and_near_where_pods_are_many(weight: int, replicas: int) -> None:
    share = share_by_pods(weight, replicas, full_pool=False)
    assert 0 <= share <= 100
    assert abs(share - weight) <= 100 / (replicas + 1) + 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "it is not YAML"),
        ("- 1\n- 2\n", "it is no object"),
        ("kind: A\nkind: B\n", "comes twice"),
        ("a: !!python/object/apply:os.system [ls]\n", "a tag makes no sense"),
        ("a: !!python/name:os.system\n", "could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_manifest_is_told_by_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ShoalError, match=told) as error:
        read_documents([str(path)])
    assert f"{path}:" in str(error.value)


def test_anchors_cannot_blow_a_small_file_up(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    with pytest.raises(ShoalError, match="too large"):
        read_documents([str(tmp_path / "x.yaml")])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("ab0-", max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["modelRef", "name", "worker", "strategy", "canary", "steps"]), inner)
        ),
        max_leaves=12,
    )
)
def test_any_spec_gets_findings_and_no_traceback(tmp_path_factory: pytest.TempPathFactory, spec: Any) -> None:
    path = tmp_path_factory.mktemp("lint") / "x.yaml"
    document = {"apiVersion": "shoal.dev/v1alpha1", "kind": "ClusteringDeployment", "metadata": {"name": "x"}}
    path.write_text(json.dumps({**document, "spec": spec}))
    for each in read_documents([str(path)]):
        assert all(found.line == 1 for found in check(each))


# What a manifest would do


def compare(raw: Raw, live: Raw | None = None, versions: tuple[int, ...] = (1, 3, 4), **around: Any) -> Any:
    base = deployment() if live is None else live
    spec = ClusteringDeploymentSpec.model_validate(raw)
    known = [objects.version(number) for number in versions]
    return compare_deployment("towns", base, spec, raw, Surroundings(objects.model(), known, **around))


def wanted(live: Raw, **spec: Any) -> Raw:
    return {**live["spec"], **spec}


def test_what_is_the_same_is_no_difference() -> None:
    live = deployment()
    found = compare(live["spec"], live)
    assert (found.different, found.effects) == (False, ())


@pytest.mark.parametrize(
    ("live", "spec", "effects", "told"),
    [
        (
            deployment(),
            {"modelRef": {"name": "cities", "version": "4"}},
            ["chooses the version"],
            "of version 4 rolls out",
        ),
        (deployment(), {"worker": {"replicas": 3, "maxInFlight": 9}}, ["new revision"], "25 %, hold 1 min, 50 %"),
        (deployment(), {"worker": {"replicas": 7}}, ["scales in place"], "from 3 to 7"),
        (
            deployment(),
            {"modelRef": {"name": "cities", "version": "9"}},
            ["chooses the version"],
            "nothing would roll out",
        ),
        (deployment(), {"modelRef": {"name": "other"}}, ["refused"], "refuses it"),
        (deployment(), {"analysis": {"intervalSeconds": 9}}, ["from the next look on"], ""),
        (deployment(), {"onFailure": "Pause"}, ["at once"], ""),
        (deployment(), {"traffic": {"hostnames": [], "router": "Gateway", "gateway": {"name": "g"}}}, None, ""),
        (on_trial(), {"strategy": {"blueGreen": {}}}, None, ""),
    ],
)
def test_each_change_has_its_effect(live: Raw, spec: Raw, effects: list[str] | None, told: str) -> None:
    found = compare(wanted(live, **spec), live)
    assert found.different
    if effects is not None:
        assert [each.effect for each in found.changes] == effects
    assert told in "; ".join(found.effects)


SCALING = {"minReplicas": 2, "maxReplicas": 9, "metrics": {"queue": {"averageValue": 8}}}
SCALED = {"replicas": 5}


@pytest.mark.parametrize(
    ("before", "after", "effect", "told"),
    [
        ((3, SCALING), (4, SCALING), "no effect beside spec.scaling", "the number of pods stays: spec.scaling decides"),
        ((3, SCALING), (0, SCALING), "scales in place", "from 5 to 0: worker.replicas 0 switches spec.scaling off"),
        ((0, SCALING), (4, SCALING), "scales in place", "pods come back, as many as spec.scaling decides"),
        ((3, SCALING), (3, None), None, "pods scale in place from 5 to 3"),
        ((3, None), (3, SCALING), None, "from 3 pods on, spec.scaling decides"),
    ],
)
def test_beside_scaling_worker_replicas_is_told_for_what_it_is(
    before: tuple[int, Raw | None], after: tuple[int, Raw | None], effect: str | None, told: str
) -> None:
    def spec(replicas: int, scaling: Raw | None) -> Raw:
        return {"worker": {"replicas": replicas}, **({"scaling": scaling} if scaling else {})}

    live = deployment(spec=spec(*before), **({"scaling": SCALED} if before[1] else {}))
    wish = {**wanted(live), **spec(*after)}
    if after[1] is None:
        wish.pop("scaling", None)
    found = compare(wish, live)
    assert told in "; ".join(found.effects)
    effects = {each.field: each.effect for each in found.changes}
    assert effects.get("worker.replicas") == effect


def test_a_strategy_of_another_length_begins_a_rollout_again() -> None:
    live = on_trial()
    found = compare(wanted(live, strategy={"canary": {"steps": [{"setWeight": 50}]}}), live)
    assert {each.effect for each in found.changes} == {"the rollout begins again at its first step"}


def test_replicas_that_a_manifest_leaves_out_are_left_alone() -> None:
    live = deployment()
    raw = wanted(live)
    del raw["worker"]
    assert not compare(raw, live).different


def test_a_blocked_revision_is_told() -> None:
    live = deployment()
    live["spec"]["modelRef"]["version"] = "3"
    target = compare(wanted(live, modelRef={"name": "cities", "version": "4"}), live)
    name = target.effects[0].split()[3]
    entry = {**revision(4), "revision": name, "reason": "GateFailed", "since": ago(9)}
    blocked = deployment(blockedVersions=[entry])
    blocked["spec"]["modelRef"]["version"] = "3"
    found = compare(wanted(blocked, modelRef={"name": "cities", "version": "4"}), blocked)
    assert "is blocked (GateFailed) until: shoal retry" in found.effects[0]


def test_a_model_is_trained_anew_only_by_what_it_is_made_from() -> None:
    def spec(**more: Any) -> ClusteringModelSpec:
        base = {"source": {"uri": "s3://b/x.csv"}, "algorithm": {"dbscan": {"eps": 0.5}}}
        return ClusteringModelSpec.model_validate({**base, **more})

    trained = compare_model("m", {}, spec(), spec(algorithm={"dbscan": {"eps": 0.6}}))
    assert ([each.effect for each in trained.changes], len(trained.effects)) == (["trains a new version"], 1)
    kept = compare_model("m", {}, spec(), spec(retention={"keep": 3}))
    assert ([each.effect for each in kept.changes], kept.effects) == (["at once"], ())
    assert compare_model("m", None, None, spec()).different

"""Gates that ask servers outside: what is asked, whom, and what their answers mean, sane or not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shoal_operator.api.analysis import Analysis
from shoal_operator.core.facts import timestamp
from shoal_operator.core.gates import describe_denial, judge_outside, wanted_requests
from shoal_operator.core.gates.outside import host_of, is_name
from shoal_operator.core.gates.prometheus import judge_prometheus
from shoal_operator.core.gates.webhook import judge_webhook
from shoal_operator.core.snapshot import Answer
from tests.unit.core import objects
from tests.unit.core.fake_cluster import FakeCluster
from tests.unit.core.trials import good_calls, trying

HOST = "prometheus.monitoring:9090"
QUERY = {
    "name": "noise",
    "address": f"http://{HOST}/",
    "query": 'rate(shoal_noise_rows_total{pod=~"$(deployment)-$(revision)-.*",namespace="$(namespace)"}[$(seconds)s])',
    "maxRatio": 1.5,
    "minSamples": 0,
}
HOOK = {"name": "business", "url": "https://hooks.example.org/judge?team=a"}
AT = timestamp(objects.NOW)
NOW = objects.NOW.timestamp()


def vector(*values: float | str, time: float = NOW) -> str:
    result = [{"metric": {}, "value": [time, str(value)]} for value in values]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


def scalar(value: float) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [NOW, str(value)]}})


def said(body: str, status: int = 200) -> Answer:
    return Answer(AT, status, body)


def judged(candidate: Answer | None, stable: Answer | None = None, **limits: Any) -> str:
    gate = Analysis.model_validate({"prometheus": [{**QUERY, "maxRatio": None, **limits}]}).prometheus[0]
    answers = {"prometheus/noise/candidate": candidate, "prometheus/noise/stable": stable}
    return judge_prometheus(gate, {key: answer for key, answer in answers.items() if answer is not None}).verdict


@pytest.mark.parametrize(
    ("candidate", "stable", "limits", "expected"),
    [
        (said(vector(0.4)), None, {"max": 0.5}, "pass"),
        (said(vector(0.6)), None, {"max": 0.5}, "fail"),
        (said(vector(-3)), None, {"min": 0}, "fail"),
        (said(vector(0.14)), said(vector(0.1)), {"maxRatio": 1.5}, "pass"),
        (said(vector(0.16)), said(vector(0.1)), {"maxRatio": 1.5}, "fail"),
        (said(vector(0.04)), said(vector(0.1)), {"minRatio": 0.5}, "fail"),
        (said(scalar(7)), None, {"max": 8}, "pass"),
        # No data is no failure.
        (None, None, {"max": 0.5}, "inconclusive"),
        (said(vector()), None, {"max": 0.5}, "inconclusive"),
        (said(vector("NaN")), None, {"max": 0.5}, "inconclusive"),
        (said(vector(0.1)), said(vector()), {"maxRatio": 1.5}, "inconclusive"),
        # What cannot be an answer is an error.
        (said(vector("+Inf")), None, {"max": 0.5}, "error"),
        (said(vector(1, 2)), None, {"max": 0.5}, "error"),
        (said(vector("much")), None, {"max": 0.5}, "error"),
        (said(vector(0.1, time=NOW - 600)), None, {"max": 0.5}, "error"),
        (said("<html>", 200), None, {"max": 0.5}, "error"),
        (said('{"status":"error","error":"parse error"}', 400), None, {"max": 0.5}, "error"),
        (said("[" * 100_000), None, {"max": 0.5}, "error"),
        (
            said('{"status":"success","data":{"resultType":"matrix","result":[{"values":[]}]}}'),
            None,
            {"max": 1},
            "error",
        ),
        (said('{"status":"success","data":{"resultType":"string","result":[1,"x"]}}'), None, {"max": 1}, "error"),
        (said('{"status":"success","data":{}}'), None, {"max": 1}, "error"),
        (Answer(AT, error="none within 5 s"), None, {"max": 0.5}, "error"),
    ],
)
def test_prometheus(candidate: Answer | None, stable: Answer | None, limits: dict[str, float], expected: str) -> None:
    assert judged(candidate, stable, **limits) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_is_a_verdict(value: Any) -> None:
    body = json.dumps(value)
    assert judged(said(body), max=1.0) in ("error", "inconclusive")
    wrapped = json.dumps({"status": "success", "data": {"resultType": "vector", "result": value}})
    assert judged(said(wrapped), max=1.0) in ("error", "inconclusive")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, "inconclusive"),
        (Answer(AT, 204), "pass"),
        (said('{"verdict": "pass"}'), "pass"),
        (said('{"verdict": "fail", "message": "sales fell"}'), "fail"),
        (said('{"verdict": "inconclusive"}'), "inconclusive"),
        (said('{"verdict": "error"}'), "error"),
        (said("{}"), "error"),
        (said("[]"), "error"),
        (said("ok"), "error"),
        (said('{"verdict": "fail"}', 500), "error"),
        (said("", 302), "error"),
        (Answer(AT, error="ClientConnectorError"), "error"),
    ],
)
def test_webhook(answer: Answer | None, expected: str) -> None:
    gate = Analysis.model_validate({"webhooks": [HOOK]}).webhooks[0]
    assert judge_webhook(gate, {"webhook/business": answer} if answer else {}).verdict == expected


def test_what_a_service_says_is_told() -> None:
    gate = Analysis.model_validate({"webhooks": [HOOK]}).webhooks[0]
    said_so = said('{"verdict": "fail", "message": "sales\\nfell' + "x" * 2000 + '"}')
    message = judge_webhook(gate, {"webhook/business": said_so}).message
    assert message.startswith("sales fell")
    assert len(message) <= 500


def asking(**analysis: Any) -> FakeCluster:
    return trying(analysis={"prometheus": [QUERY], "webhooks": [HOOK], **analysis})


def test_requests_name_both_sides_and_replace_the_placeholders() -> None:
    cluster = asking()
    stable, candidate = cluster.revision("stable"), cluster.revision("candidate")
    cluster.wait(30)
    requests = wanted_requests(cluster.deployment, (HOST, "hooks.example.org"), cluster.now)
    assert [item.key for item in requests] == [
        "prometheus/noise/candidate",
        "prometheus/noise/stable",
        "webhook/business",
    ]
    query = dict(requests[0].form)["query"]
    assert query == f'rate(shoal_noise_rows_total{{pod=~"cities-{candidate}-.*",namespace="fish"}}[30s])'
    assert requests[0].url == f"http://{HOST}/api/v1/query"
    assert stable in dict(requests[1].form)["query"]
    facts = json.loads(requests[2].body)
    assert (facts["deployment"], facts["candidate"]["version"], facts["weight"]) == ("cities", 2, 25)


def test_nobody_is_asked_who_is_not_allowed_and_the_verdict_says_so() -> None:
    cluster = asking()
    assert [item.key for item in wanted_requests(cluster.deployment, ("hooks.example.org",), cluster.now)] == [
        "webhook/business"
    ]
    assert wanted_requests(cluster.deployment, (), cluster.now) == ()
    found = judge_outside(Analysis.model_validate({"prometheus": [QUERY]}), {}, (), 500)
    assert found[0].verdict == "error"
    assert "analysis.allowedHosts" in found[0].message


def test_without_a_window_nothing_is_asked() -> None:
    assert (
        wanted_requests(objects.deployment({"analysis": {"webhooks": [HOOK]}}), ("hooks.example.org",), objects.NOW)
        == ()
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://prometheus.monitoring:9090@evil.example/",
        "http://evil.example/?http://prometheus.monitoring:9090",
        "http://prometheus.monitoring:9091/",
        "http://prometheus.monitoring/",
        "http://prometheus.monitoring.:9090/",
        "ftp://prometheus.monitoring:9090/",
        "http://[::1/",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_spelling_reaches_another_host(url: str) -> None:
    assert describe_denial(url, (HOST,)) != ""


@given(st.text())
def test_any_text_has_a_host_or_none(url: str) -> None:
    assert isinstance(host_of(url), str)
    assert not set(host_of(f"http://{url}/")) & set("/@#?")


@pytest.mark.parametrize("text", ['x"}', "a b", "a\n", "", "x" * 254, "$(revision)", "a'", "a\\", "-a", "."])
def test_what_is_no_name_stands_in_no_query(text: str) -> None:
    assert not is_name(text)
    cluster = asking()
    cluster.deployment["metadata"]["namespace"] = text
    assert [item.key for item in wanted_requests(cluster.deployment, (HOST,), cluster.now)] == []


@pytest.mark.parametrize(
    ("analysis", "told"),
    [
        ({"prometheus": [{**QUERY, "maxRatio": None}]}, "set min, max, minRatio or maxRatio"),
        ({"prometheus": [QUERY, QUERY]}, "the same name"),
        ({"webhooks": [HOOK, HOOK]}, "the same name"),
        ({"webhooks": [{**HOOK, "url": "gopher://x"}]}, "pattern"),
        ({"webhooks": [{**HOOK, "url": "https://user:pass@x/"}]}, "pattern"),
        ({"webhooks": [{**HOOK, "name": "a/b"}]}, "pattern"),
        ({"prometheus": [{**QUERY, "query": ""}]}, "at least 1"),
    ],
)
def test_bad_specs_are_refused(analysis: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Analysis.model_validate(analysis)


def test_a_gate_that_is_off_is_not_asked() -> None:
    analysis = Analysis.model_validate({"webhooks": [{**HOOK, "enabled": False}]})
    assert judge_outside(analysis, {}, ("hooks.example.org",), 0) == ()


def test_few_calls_are_inconclusive_whatever_the_server_says() -> None:
    analysis = Analysis.model_validate({"prometheus": [{**QUERY, "minSamples": 50}]})
    answers = {f"prometheus/noise/{side}": said(vector(value)) for side, value in (("candidate", 9), ("stable", 1))}
    assert [judge_outside(analysis, answers, (HOST,), calls)[0].verdict for calls in (49, 50)] == [
        "inconclusive",
        "fail",
    ]


class TestRollout:
    def answer(self, cluster: FakeCluster, body: str, number: int = 0) -> None:
        good_calls(cluster)
        at = timestamp(objects.NOW.replace(second=number))
        cluster.answers = {"webhook/business": Answer(at, 200, body)}
        cluster.reconcile()

    def cluster(self, **hook: Any) -> FakeCluster:
        cluster = trying(analysis={"onInconclusive": "Proceed", "webhooks": [{**HOOK, **hook}]})
        cluster.defaults = replace(cluster.defaults, analysis_allowed_hosts=("hooks.example.org",))
        return cluster

    def test_a_service_stops_a_version(self) -> None:
        cluster = self.cluster()
        self.answer(cluster, '{"verdict": "fail", "message": "sales fell"}')
        assert "webhook/business: sales fell" in cluster.status["blockedVersions"][0]["message"]

    def test_a_service_that_answers_nonsense_holds_the_rollout_and_moves_no_traffic(self) -> None:
        cluster = self.cluster(consecutiveErrorLimit=2)
        for number in range(4):
            self.answer(cluster, "<html>", number)
        cluster.wait(61)
        cluster.settle()
        assert (cluster.status["step"], cluster.status["actualWeight"]) == (1, 25)
        assert cluster.condition("Paused")["reason"] == "GateError"
        self.answer(cluster, '{"verdict": "pass"}', 9)
        cluster.settle()
        assert cluster.status["step"] == 3

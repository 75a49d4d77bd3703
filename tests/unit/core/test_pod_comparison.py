"""What a stable pod says is read, checked and pooled, or refused in words, whatever it is."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.api.deployment import Revision
from shoal_operator.core.pod_comparison import PodComparison, Refusal, pool, read_answer

STABLE = Revision(revision="aaaaaaaa", version=4, digest="sha256:4")
CANDIDATE = Revision(revision="bbbbbbbb", version=5, digest="sha256:5")


def figure(value: float, variance: float = 1e-4) -> dict[str, float]:
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "variance": variance}


def answer(**more: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "digest": "sha256:4",
        "candidate": {"version": "5", "digest": "sha256:5"},
        "requests": 310,
        "rows": 2000,
        "refused": 3,
        "oldestSeconds": 55.2,
        "ari": figure(0.97),
        "ami": figure(0.96),
        "noiseAgreement": figure(0.99),
        "labelAgreement": figure(0.98),
        "noise": {"stable": 0.1, "candidate": 0.12, "difference": figure(0.02)},
        "silhouette": {"stable": 0.51, "candidate": 0.5, "difference": figure(-0.01)},
        "outOfReach": {"stable": 0.01, "candidate": 0.01, "difference": figure(0.0)},
        "clusters": {"stable": 7, "candidate": 8},
        "matches": [{"stable": 3, "candidate": 1, "rows": 400, "jaccard": 0.93}],
        **more,
    }


def read(body: object, status: int = 200) -> PodComparison | Refusal:
    return read_answer(status, body if isinstance(body, str) else json.dumps(body), STABLE, CANDIDATE)


def test_an_answer_is_read() -> None:
    found = pool([read(answer())], "t", 0)
    assert (found.looks, found.rows, found.requests, found.refused, found.problem) == (1, 2000, 310, 3, "")
    assert found.ari is not None
    assert (found.ari.value, found.ari.variance) == (0.97, 1e-4)
    assert found.silhouettes is not None
    assert found.silhouettes.difference.value == -0.01
    assert found.clusters == (7, 8)
    assert found.matches[0].jaccard == 0.93


def test_what_is_above_1_by_rounding_is_1() -> None:
    found = pool([read(answer(ari=figure(1 + 1e-12)))], "t", 0)
    assert found.ari is not None
    assert found.ari.value == 1.0


def test_pods_count_by_their_rows() -> None:
    small = read(
        answer(rows=1000, requests=10, refused=0, ari=figure(0.4, 4e-4), clusters={"stable": 1, "candidate": 1})
    )
    large = read(answer(rows=3000, requests=30, ari=figure(0.8, 1e-4), silhouette=None))
    found = pool([small, large], "t", 4)
    assert found.ari is not None
    assert found.ari.value == pytest.approx(0.7)
    assert found.ari.variance == pytest.approx(4e-4 / 16 + 1e-4 * 9 / 16)
    assert (found.looks, found.rows, found.requests, found.refused, found.clusters) == (5, 4000, 40, 3, (7, 8))
    assert found.silhouettes is not None
    assert found.silhouettes.stable == pytest.approx(0.51), "of the pods that have one"


def test_a_pod_that_fails_leaves_the_others_figures() -> None:
    found = pool([Refusal(reason="NoAnswer"), read(answer()), Refusal(reason="TooFewRows", rows=3)], "t", 0)
    assert (found.rows, found.problem) == (2000, "")


@pytest.mark.parametrize("refused", [0, 5])
def test_too_few_rows_are_no_problem_and_are_added_up(refused: int) -> None:
    told = {"reason": "TooFewRows", "message": "3 requests", "rows": 12, "refused": refused}
    found = pool([*(read(told, 409) for _ in range(2)), Refusal(reason="NoAnswer")], "t", 7)
    assert (found.rows, found.refused, found.problem, found.lack) == (24, 2 * refused, "", "3 requests")
    assert found.looks == (8 if refused else 7), "a look counts where something can be judged"


@pytest.mark.parametrize(
    ("refusals", "told"),
    [
        ([], "NoStablePod: no stable pod is ready"),
        (
            [read({"reason": "CandidateMismatch", "message": "it is version 6"}, 409)],
            "CandidateMismatch: it is version 6",
        ),
        ([read({"reason": "CandidateUnreachable", "message": "refused"}, 502)], "CandidateUnreachable: refused"),
        ([read("<html>", 404)], "its image may be older"),
        ([read("[]", 500)], "status 500"),
        ([read({}, 503)], "status 503"),
    ],
)
def test_a_problem_is_told(refusals: list[Refusal], told: str) -> None:
    found = pool(refusals, "t", 0)
    assert told in found.problem
    assert (found.looks, found.rows) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        answer(rows=-1),
        answer(rows="many"),
        answer(ari=figure(1.5)),
        answer(ari=figure(0.5, -1.0)),
        answer(matches=[{"stable": 1, "candidate": 1, "rows": 1, "jaccard": 0.5}] * 17),
        answer(matches=[{"stable": 1, "candidate": 1, "rows": 1, "jaccard": 7}]),
        json.dumps(answer(ari=figure(math.nan))),
        json.dumps(answer(silhouette={"stable": math.inf, "candidate": 0, "difference": figure(0)})),
        answer(version="3"),
        answer(digest="sha256:9"),
        answer(candidate={"version": "5", "digest": "sha256:9"}),
        answer(candidate={"version": "6", "digest": "sha256:5"}),
    ],
)
def test_an_answer_that_cannot_be_is_refused(body: object) -> None:
    found = read(body)
    assert isinstance(found, Refusal)
    assert found.reason == "AnswerInvalid"
    assert found.message


@given(st.integers(100, 599), st.text(max_size=200))
def test_any_text_gives_an_answer_and_any_pool_is_finite(status: int, body: str) -> None:
    found = pool([read(body, status)], "t", 0)
    assert found.problem or found.rows == 0


def test_a_message_is_bounded_and_printable() -> None:
    found = pool([read({"reason": "Odd", "message": "a\x1b[31m" * 100}, 500)], "t", 0)
    assert len(found.problem) <= 300
    assert found.problem.isprintable()

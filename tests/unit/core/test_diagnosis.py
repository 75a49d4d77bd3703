"""What a pod's status tells about why it does not work."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_operator.core.diagnosis import diagnose_pod
from shoal_operator.core.report import read_failure, read_success
from tests.unit.core import objects


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"image": "img:1", "restartCount": 0, "state": state}]}


def restarted(message: str, *, restarts: int, reason: str = "Error", ready: bool = False) -> dict[str, Any]:
    ended = {"terminated": {"reason": reason, "exitCode": 1, "message": message}}
    return {"containerStatuses": [{"ready": ready, "restartCount": restarts, "state": {}, "lastState": ended}]}


@pytest.mark.parametrize(
    ("status", "reason", "told", "hopeless"),
    [
        ({}, None, "", False),
        (waiting("ContainerCreating"), None, "", False),
        (waiting("ImagePullBackOff", "not found"), "ImagePullFailed", "img:1", False),
        (waiting("CreateContainerConfigError", "no secret"), "NotAvailable", "no secret", False),
        (objects.crash_loop(2), "CrashLoop", "restarted 2 times", False),
        (objects.crash_loop(3), "CrashLoop", "restarted 3 times", True),
        (restarted("", restarts=4, reason="OOMKilled"), "OutOfMemory", "memory", True),
        (restarted(objects.failure_report(reason="ArtifactRefused"), restarts=1), "ArtifactRefused", "lon", False),
        (restarted(objects.failure_report(reason="StoreUnavailable"), restarts=5), "StoreUnavailable", "lon", False),
        (restarted("", restarts=9, ready=True), None, "", False),
        (objects.terminated(reason="Completed", code=0), None, "", False),
        (objects.terminated(code=137), "CrashLoop", "exit code 137", False),
    ],
)
def test_diagnosis(status: dict[str, Any], reason: str | None, told: str, hopeless: bool) -> None:
    diagnosis = diagnose_pod(status)
    if reason is None:
        assert diagnosis is None
        return
    assert diagnosis is not None
    assert diagnosis.reason == reason
    assert told in diagnosis.message
    assert diagnosis.hopeless is hopeless


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["conditions", "containerStatuses", "state", "lastState", "terminated", "message", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(json_values)
def test_any_status_can_be_read(status: Any) -> None:
    diagnose_pod(status)


@given(st.text() | json_values.map(str))
def test_any_message_can_be_read(message: str) -> None:
    assert read_success(message, objects.STORE) is None
    read_failure(message)


def test_a_report_is_bounded_and_printable() -> None:
    failure = read_failure(objects.failure_report(message="a\x1b[31m\n" + "b" * 2000))
    assert failure is not None
    assert len(failure.message) <= 600
    assert failure.message.isprintable()

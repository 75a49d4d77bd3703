"""The benchmark's client against a real server: what it sends, counts and compares."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench_serving.contestants import PEERS, Server
from tests.bench_serving.load import Caller, Phase, build_caller
from tests.bench_serving.model import write_messages

MESSAGES = [b"one", b"the other", b""]


@pytest.fixture(scope="module")
def caller() -> Caller:
    return build_caller(min(os.sched_getaffinity(0)))


@pytest.fixture(scope="module")
def echo() -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen([sys.executable, str(PEERS / "serve_echo.py"), str(port)]) as process:
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
            yield Server("echo", f"127.0.0.1:{port}", process, 0.0)
        finally:
            process.kill()


def test_a_closed_loop_counts_right_answers(caller: Caller, echo: Server, tmp_path: Path) -> None:
    sent = write_messages(tmp_path / "sent", MESSAGES)
    (outcome,) = caller.load(echo, sent, sent, [Phase(0.3, inFlight=4)], connections=2)
    assert outcome.right == outcome.sent == outcome.calls["OK"]["count"] >= 4
    assert outcome.failed == outcome.wrong == 0
    assert 0 < outcome.calls["OK"]["p50"] <= outcome.calls["OK"]["p99"] <= outcome.calls["OK"]["most"]
    assert sum(each["calls"] for each in outcome.bins) == outcome.sent


def test_an_open_loop_sends_at_its_rate_whatever_the_answers(caller: Caller, echo: Server, tmp_path: Path) -> None:
    sent = write_messages(tmp_path / "sent", MESSAGES)
    before, after = caller.load(echo, sent, sent, [Phase(1, rate=200), Phase(0.5, rate=50)], connections=2, seed=3)
    assert 140 <= before.sent <= 260
    assert 10 <= after.sent <= 45


def test_an_answer_that_is_not_the_expected_one_is_wrong(caller: Caller, echo: Server, tmp_path: Path) -> None:
    sent = write_messages(tmp_path / "sent", MESSAGES)
    # The first message goes over the only connection before the load, and must be right.
    expected = write_messages(tmp_path / "expected", [MESSAGES[0], b"another", MESSAGES[2]])
    (outcome,) = caller.load(echo, sent, expected, [Phase(0.3, inFlight=3)], connections=1)
    assert 0 < outcome.wrong == outcome.failed < outcome.sent
    with pytest.raises(RuntimeError, match="the first call over connection 0"):
        caller.load(echo, sent, write_messages(tmp_path / "none", [b"x", b"x", b"x"]), [], connections=1)

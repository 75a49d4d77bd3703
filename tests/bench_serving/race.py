"""The race: all contestants stand ready and take turns, round by round, so that what drifts on the machine hits all.

Invariant: before any load every contestant has answered every request with the engine's own labels; else there is no
race. From then on its answers must stay those bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench_serving.contestants import ECHO, Server
from tests.bench_serving.load import Caller, Outcome, Phase
from tests.bench_serving.model import (
    Served,
    count_differing,
    draw_batches,
    encode_request,
    write_messages,
)

Row = dict[str, Any]
CONNECTIONS = 4
IN_FLIGHT = 16
QUESTIONS = 64
"""Different requests of each size."""
OPEN_SHARE = 0.5
"""The open loop's rate, as a share of what the slowest contestant bears."""
_WARM_UP = Phase(0.3, inFlight=IN_FLIGHT)


@dataclass(frozen=True)
class Effort:
    """How long and how often, and rows of a call."""

    rounds: int
    seconds: float
    batches: tuple[int, ...] = (1, 64, 1_000)


def race(
    servers: Sequence[Server], served: Served, caller: Caller, folder: Path, effort: Effort
) -> Iterator[str | list[Row]]:
    """Yield a line saying what comes next, or the rows of what is done."""
    for batch in effort.batches:
        requests = [encode_request(rows) for rows in draw_batches(served, batch, QUESTIONS)]
        asked = write_messages(folder / f"requests-{batch}", requests)
        expected = {server.name: _agree(server, served, batch, requests, folder) for server in servers}
        yield [{"kind": "agreement", "batch": batch, "name": server.name, "differing": 0} for server in servers]
        yield f"{batch:,} rows, closed loop"
        closed: list[Row] = []
        for turn in range(effort.rounds):
            for server in _order(servers, turn):
                phase = Phase(effort.seconds, inFlight=IN_FLIGHT)
                closed.append(_measure(caller, server, asked, expected[server.name], phase, batch, turn))
        yield closed
        rate = OPEN_SHARE * min(
            median(row["callsPerSecond"] for row in closed if row["name"] == server.name) for server in servers
        )
        yield f"{batch:,} rows, open loop at {rate:,.0f} calls/s"
        for turn in range(effort.rounds):
            for server in _order(servers, turn):
                phase = Phase(effort.seconds, rate=rate)
                yield [_measure(caller, server, asked, expected[server.name], phase, batch, turn)]


def answers_of(server: Server, requests: Sequence[bytes], path: Path) -> Path:
    """Ask each request once and keep the answers for the caller to compare."""
    return write_messages(path, [server.ask(request) for request in requests])


def _agree(server: Server, served: Served, batch: int, requests: Sequence[bytes], folder: Path) -> Path:
    answers = [server.ask(request) for request in requests]
    if server.name == ECHO:
        differing = sum(answer != request for answer, request in zip(answers, requests, strict=True))
    else:
        expected = [served.reference(rows) for rows in draw_batches(served, batch, QUESTIONS)]
        differing = count_differing(answers, expected)
    if differing:
        raise RuntimeError(
            f"{server.name} answers {differing} of {batch * len(requests):,} rows otherwise than the engine: "
            "contestants that do not do the same work cannot be compared"
        )
    return write_messages(folder / f"answers-{server.name}-{batch}", answers)


def _order(servers: Sequence[Server], turn: int) -> list[Server]:
    """Each round begins with another."""
    first = turn % len(servers)
    return [*servers[first:], *servers[:first]]


def _measure(caller: Caller, server: Server, requests: Path, answers: Path, phase: Phase, batch: int, turn: int) -> Row:
    before = server.cpu_seconds()
    outcomes = caller.load(server, requests, answers, [_WARM_UP, phase], connections=CONNECTIONS, seed=turn + 1)
    spent = server.cpu_seconds() - before
    measured = outcomes[-1]
    if measured.wrong:
        raise RuntimeError(f"{server.name} gave {measured.wrong} answers of {batch:,} rows that are not its first ones")
    return {
        "kind": "open" if phase.rate else "closed",
        "batch": batch,
        "round": turn,
        "name": server.name,
        "rate": phase.rate,
        "callsPerSecond": measured.rate,
        "p50": measured.latency("p50"),
        "p99": measured.latency("p99"),
        "calls": measured.sent,
        "failed": measured.failed,
        **_busy(outcomes, spent),
    }


def _busy(outcomes: Sequence[Outcome], server_cpu_seconds: float) -> Row:
    """How busy both cores were, warm-up included: who is at 100 % is the one who is measured."""
    seconds = sum(outcome.seconds for outcome in outcomes)
    calls = sum(outcome.sent for outcome in outcomes)
    return {
        "serverBusy": server_cpu_seconds / seconds,
        "clientBusy": sum(outcome.cpu_seconds for outcome in outcomes) / seconds,
        "serverSecondsPerCall": server_cpu_seconds / calls,
    }

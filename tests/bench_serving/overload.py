"""Five times what the worker bears: what it still answers, how fast it refuses, how soon it is itself again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench_serving.contestants import Server
from tests.bench_serving.load import Caller, Outcome, Phase
from tests.bench_serving.model import (
    Served,
    draw_batches,
    draw_hard_batches,
    encode_request,
    make_hard_model,
    write_messages,
)
from tests.bench_serving.race import IN_FLIGHT, QUESTIONS, Effort, answers_of

Row = dict[str, Any]
BATCHES, HARD_BATCHES = (1, 1_000), (64,)
REFUSALS = ("ResourceExhausted", "Canceled")
FACTOR = 5.0
CONNECTIONS = 32
"""As many clients. One connection alone is limited by the calls that the worker takes on it."""
PEAK_SECONDS = 3.0
CALM_SHARE = 0.5
CALM_SECONDS = 2.0
AFTER_SECONDS = 4.0
BIN_SECONDS = 0.1
SLOWER = 5.0
"""As many times the median latency from before the overload are not recovered yet."""


@dataclass(frozen=True)
class Case:
    """Calls of one kind, and the model that they ask."""

    hard: bool
    """Whether labelling is what they cost, so that the worker refuses; else the transport costs more, and refuses."""
    served: Served
    batches: tuple[int, ...]

    def draw(self, batch: int, count: int) -> list[bytes]:
        """Different requests of so many rows."""
        drawn = draw_hard_batches(batch, count) if self.hard else draw_batches(self.served, batch, count)
        return [encode_request(rows) for rows in drawn]


def cases(served: Served, folder: Path) -> tuple[Case, ...]:
    """Short calls of the race's model, and long ones of a model whose rows are hard."""
    return Case(False, served, BATCHES), Case(True, make_hard_model(folder), HARD_BATCHES)


def overload(server: Server, case: Case, caller: Caller, folder: Path, effort: Effort) -> Iterator[str | list[Row]]:
    """Yield a line saying what comes next, or the row of a round that is done."""
    for batch in case.batches:
        yield f"overload by calls of {batch:,} {'hard ' * case.hard}rows"
        requests = case.draw(batch, QUESTIONS)
        asked = write_messages(folder / f"requests-overload-{case.hard}-{batch}", requests)
        expected = answers_of(server, requests, folder / f"answers-overload-{case.hard}-{batch}")
        for turn in range(effort.rounds):
            told = {"batch": batch, "hard": case.hard, "round": turn}
            yield [told | _round(server, caller, asked, expected, effort.seconds)]


def _round(server: Server, caller: Caller, asked: Path, expected: Path, seconds: float) -> Row:
    closed = [Phase(0.3, inFlight=IN_FLIGHT), Phase(PEAK_SECONDS, inFlight=IN_FLIGHT)]
    peak = caller.load(server, asked, expected, closed, connections=CONNECTIONS)[-1].rate
    resident = server.resident_bytes()
    phases = [
        Phase(CALM_SECONDS, rate=CALM_SHARE * peak),
        Phase(seconds, rate=FACTOR * peak),
        Phase(AFTER_SECONDS, rate=CALM_SHARE * peak),
    ]
    before, during, after = caller.load(server, asked, expected, phases, connections=CONNECTIONS)
    grown = server.resident_bytes() - resident
    return {"peak": peak, "grown": grown} | _judge(before, during, after, peak)


def _judge(before: Outcome, during: Outcome, after: Outcome, peak: float) -> Row:
    calm = median(each["p50"] for each in before.bins if each["right"])
    # The worker's own refusals, or the transport's where that refuses.
    refusals = max(REFUSALS, key=lambda code: during.calls.get(code, {"count": 0})["count"])
    return {
        "factor": during.sent / during.seconds / peak,
        "goodput": during.rate / peak,
        "answeredP50": during.latency("p50"),
        "answeredP99": during.latency("p99"),
        "calls": {code: int(calls["count"]) for code, calls in during.calls.items()},
        "wrong": before.wrong + during.wrong + after.wrong,
        "refusedP50": during.latency("p50", refusals),
        "refusedP99": during.latency("p99", refusals),
        "recovery": recovery(after.bins, calm),
        "clientBusy": during.cpu_seconds / during.seconds,
        "lateness": during.lateness,
    }


def recovery(bins: list[dict[str, float]], calm: float) -> float:
    """Seconds after the overload until every call is answered right, and in about the time it took before.

    bins: calls, right and p50 of each tenth of a second. From the example, 0.2:
    >>> recovery([{"calls": 9, "right": 4, "p50": 0.1}, {"calls": 9, "right": 9, "p50": 0.1},
    ...           {"calls": 9, "right": 9, "p50": 0.001}], 0.001)
    0.2
    """
    bad = [at for at, each in enumerate(bins) if each["right"] < each["calls"] or each["p50"] > SLOWER * calm]
    return round((bad[-1] + 1) * BIN_SECONDS, 3) if bad else 0.0

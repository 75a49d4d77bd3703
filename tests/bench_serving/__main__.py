"""Measures a worker on loopback: `python -m tests.bench_serving [--seconds S] [--setting SHOAL_X=1]...`.

Prints calls per second and CPU time per call of one client with 16 one-row calls in flight, then what becomes of one to
five times as many calls as that. CPU time is the worker's own, so that it says something on a busy machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.bench_serving.wire import Call, Outcome, run_closed, run_open
from tests.component.worker_process import WorkerProcess, make_request, run_worker

IN_FLIGHT = 16
ROUNDS = 5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run")
    parser.add_argument("--rows", type=int, default=1, help="of each call, up to 1000")
    parser.add_argument("--times", type=float, nargs="*", default=[0.5, 1, 2, 5], help="the open loop's rates")
    parser.add_argument("--setting", action="append", default=[], help="a variable of the worker, NAME=VALUE")
    chosen = parser.parse_args(arguments)
    settings = dict(setting.split("=", 1) for setting in chosen.setting)
    call = Call.build(make_request(chosen.rows).SerializeToString())
    with tempfile.TemporaryDirectory() as directory, run_worker(Path(directory), **settings) as worker:
        asyncio.run(run_closed(worker.grpc_port, call, IN_FLIGHT, 1.0))
        rounds = [measure_closed(worker, call, chosen.seconds) for _ in range(ROUNDS)]
        peak = float(np.median([rate for rate, _ in rounds]))
        print(
            f"closed loop, {IN_FLIGHT} in flight, median of {ROUNDS}: {peak:.0f} calls/s, "
            f"{np.median([micros for _, micros in rounds]):.0f} us of CPU per call; "
            f"best: {max(rate for rate, _ in rounds):.0f} calls/s, {min(micros for _, micros in rounds):.0f} us"
        )
        for times in chosen.times:
            began = worker.cpu_seconds()
            outcome = asyncio.run(run_open(worker.grpc_port, call, peak * times, chosen.seconds))
            print(f"{times:>4} times: {describe(outcome)}; {(worker.cpu_seconds() - began) / chosen.seconds:.2f} CPUs")
        print(f"{worker.resident_mib():.0f} MiB resident")


def measure_closed(worker: WorkerProcess, call: Call, seconds: float) -> tuple[float, float]:
    """Calls a second, and microseconds of the worker's CPU time for each."""
    began = worker.cpu_seconds()
    outcome = asyncio.run(run_closed(worker.grpc_port, call, IN_FLIGHT, seconds))
    return outcome.goodput, (worker.cpu_seconds() - began) / len(outcome.good) * 1e6


def describe(outcome: Outcome) -> str:
    return (
        f"{outcome.sent / outcome.seconds:.0f} calls/s, good {outcome.goodput:.0f} ({quantiles(outcome.good)}), "
        f"refused {len(outcome.refused) / outcome.seconds:.0f} ({quantiles(outcome.refused)}), "
        f"not sent {outcome.held}, settled in {outcome.settled:.2f} s"
    )


def quantiles(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    median, high = np.percentile(seconds, [50, 99]) * 1000
    return f"p50 {median:.1f} ms, p99 {high:.1f} ms"


if __name__ == "__main__":
    main()

"""Open-loop load on a served model: calls at rates that are given, whatever the answers, and what became of each.

Run by the demo as a pod inside the cluster (so that it needs no route from the host) and by the end-to-end tests from
the host. Calls are spread over several channels and are never retried by policy, so a failed call is a failed call.
Prints one JSON line a second and a last one with `"final": true`. Bounded in rate and time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np
from numpy.typing import NDArray

from shoal_proto import inference_pb2, inference_pb2_grpc

LONGEST_SECONDS = 1800
HIGHEST_RATE = 1000
SILENCE_SECONDS = 2.0


@dataclass
class Tally:
    """What became of the calls so far."""

    began: float = field(default_factory=time.time)
    """When the first call was due, Unix time."""
    sent: int = 0
    ok: int = 0
    by_version: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    details: Counter[str] = field(default_factory=Counter)
    millis: list[float] = field(default_factory=list)
    appeared: dict[str, float] = field(default_factory=dict)
    """Version -> when it answered for the first time after a silence of `SILENCE_SECONDS`, Unix time."""
    last_answer: dict[str, float] = field(default_factory=dict)
    """Version -> when it answered last, Unix time."""

    def count_answer(self, version: str, now: float) -> None:
        """Count a call that a version answered."""
        self.ok += 1
        self.by_version[version] += 1
        if now - self.last_answer.get(version, 0.0) > SILENCE_SECONDS:
            self.appeared[version] = now
        self.last_answer[version] = now

    def to_line(self, *, final: bool = False) -> str:
        """Return the tally as one JSON line; latencies in milliseconds."""
        latency = np.percentile(self.millis, [50, 99]).round(2).tolist() if self.millis else [None, None]
        return json.dumps(
            {
                "began": self.began,
                "sent": self.sent,
                "ok": self.ok,
                "failed": sum(self.errors.values()),
                "byVersion": dict(self.by_version),
                "errors": dict(self.errors),
                "details": dict(self.details.most_common(3)),
                "p50Millis": latency[0],
                "p99Millis": latency[1],
                "appeared": self.appeared,
                "lastAnswer": self.last_answer,
                "final": final,
            }
        )


def build_request(
    model: str, points: NDArray[np.float64], columns: Sequence[str] = ()
) -> inference_pb2.ModelInferRequest:
    """Return an Open Inference Protocol request for rows of float64, as raw contents; a tensor a column if named."""
    request = inference_pb2.ModelInferRequest(model_name=model)
    for name, values in zip(columns, points.T, strict=True) if columns else [("points", points)]:
        request.inputs.add(name=name, datatype="FP64", shape=list(values.shape))
        request.raw_input_contents.append(np.ascontiguousarray(values).tobytes())
    return request


async def call(
    stub: inference_pb2_grpc.GRPCInferenceServiceStub, request: inference_pb2.ModelInferRequest, tally: Tally
) -> None:
    """Send one call and count its outcome."""
    started = time.perf_counter()
    try:
        response = await stub.ModelInfer(request, timeout=10)
    except grpc.aio.AioRpcError as error:
        tally.errors[error.code().name] += 1
        tally.details[f"{error.code().name}: {(error.details() or '')[:160]}"] += 1
    else:
        tally.count_answer(response.model_version, time.time())
    tally.millis.append((time.perf_counter() - started) * 1000)


def parse_stage(text: str) -> tuple[float, float]:
    """Read RATE:SECONDS.

    >>> parse_stage("80:30")
    (80.0, 30.0)
    """
    rate, _, seconds = text.partition(":")
    return float(rate), float(seconds)


def calls_due(stages: Sequence[tuple[float, float]], elapsed: float) -> int:
    """Return how many calls should have been sent after so many seconds, by (rate, seconds) one after the other.

    >>> calls_due([(10, 2), (100, 1)], 2.5)
    70
    """
    due = 0.0
    for rate, seconds in stages:
        due += min(rate, HIGHEST_RATE) * min(max(elapsed, 0.0), seconds)
        elapsed -= seconds
    return int(due)


async def run(arguments: argparse.Namespace) -> Tally:
    """Send calls at the rates until the time is over or SIGTERM comes, then wait for those in flight."""
    random = np.random.default_rng(arguments.seed)
    tally, stop = Tally(), asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(arguments.target, options=options) for _ in range(arguments.channels)]
    stubs = [inference_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
    in_flight: set[asyncio.Task[None]] = set()
    known = np.load(arguments.points) if arguments.points else None
    stages = arguments.stages or [(arguments.rate, arguments.seconds)]
    whole = min(sum(seconds for _, seconds in stages), LONGEST_SECONDS)
    started = reported = time.perf_counter()
    while not stop.is_set() and (now := time.perf_counter()) - started < whole:
        due = calls_due(stages, now - started)
        while tally.sent < due:
            if known is None:
                points = random.uniform(-1, 1, size=(arguments.rows, arguments.width))
            else:
                points = known[random.integers(len(known), size=arguments.rows)]
            if random.random() < arguments.missing:
                points[0, 0] = np.nan
            request = build_request(arguments.model, points, arguments.columns)
            task = asyncio.create_task(call(stubs[tally.sent % len(stubs)], request, tally))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
            tally.sent += 1
        if now - reported >= 1:
            print(tally.to_line(), flush=True)
            reported = now
        await asyncio.sleep(0.005)
    await asyncio.gather(*in_flight)
    await asyncio.gather(*(channel.close() for channel in channels))
    return tally


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", help="host:port of the endpoint")
    parser.add_argument("model", help="name of the served model")
    parser.add_argument("--rate", type=float, default=50, help="calls per second")
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument(
        "--stages", nargs="*", type=parse_stage, metavar="RATE:SECONDS", help="rates one after the other, instead"
    )
    parser.add_argument("--rows", type=int, default=4, help="rows per call")
    parser.add_argument("--width", type=int, default=2, help="columns per row, which are uniform from -1 to 1")
    parser.add_argument("--points", help=".npy file of float64 rows to draw from instead")
    parser.add_argument("--channels", type=int, default=8, help="connections")
    parser.add_argument("--columns", nargs="*", default=[], help="names of the columns, to send a tensor for each")
    parser.add_argument("--missing", type=float, default=0, help="share of the calls in which a value is missing")
    parser.add_argument("--seed", type=int, default=0, help="seed of the points")
    print(asyncio.run(run(parser.parse_args())).to_line(final=True), flush=True)


if __name__ == "__main__":
    main()

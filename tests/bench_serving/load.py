"""Load on one server by the caller, a process of its own on a core of its own; used by `race` and `overload`.

The caller (`caller/`, Go) sends prepared bytes and compares the answers' bytes: it decodes nothing.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hack.cluster.binaries import ensure_module
from hack.cluster.layout import default_layout
from hack.cluster.progress import Steps
from tests.bench_serving.contestants import METHOD, Server

SOURCE = Path(__file__).with_name("caller")
DEADLINE_SECONDS = 5.0
_GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Phase:
    """A stretch of load: closed with so many calls in flight, or open at a mean rate, a Poisson process."""

    seconds: float
    inFlight: int = 0
    rate: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What came of a phase."""

    seconds: float
    cpu_seconds: float
    """The caller's own."""
    right: int
    """Right answers within the phase."""
    wrong: int
    calls: dict[str, dict[str, float]]
    """By gRPC code: count and latencies in seconds (p50, p90, p99, most)."""
    lateness: float
    """How far behind its schedule an open loop sent, 99th percentile."""
    bins: list[dict[str, float]]
    """By tenth of a second: calls, right, p50."""

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.right / self.seconds

    @property
    def sent(self) -> int:
        """All calls."""
        return int(sum(code["count"] for code in self.calls.values()))

    @property
    def failed(self) -> int:
        """Calls without a right answer."""
        return self.sent - int(self.calls.get("OK", {"count": 0})["count"]) + self.wrong

    def latency(self, quantile: str, code: str = "OK") -> float | None:
        """A quantile of the latency of calls that ended with that code; None where there is none."""
        found = self.calls.get(code)
        return None if found is None else found[quantile]


@dataclass(frozen=True)
class Caller:
    """The program and the core it runs on."""

    program: Path
    core: int

    def load(
        self, server: Server, requests: Path, answers: Path, phases: list[Phase], *, connections: int, seed: int = 1
    ) -> list[Outcome]:
        """Put the phases of load on a server, one after the other."""
        job = {
            "target": server.target,
            "method": METHOD,
            "requests": str(requests),
            "answers": str(answers),
            "connections": connections,
            "deadline": DEADLINE_SECONDS,
            "seed": seed,
            "phases": [asdict(phase) for phase in phases],
        }
        done = subprocess.run(
            ["taskset", "--cpu-list", str(self.core), str(self.program)],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            timeout=sum(phase.seconds for phase in phases) + _GRACE_SECONDS,
        )
        if done.returncode:
            raise RuntimeError(f"the caller of {server.name} failed: {done.stderr.strip()}")
        return [_outcome(told) for told in json.loads(done.stdout)]


def build_caller(core: int) -> Caller:
    """The caller, built if it is not there."""
    return Caller(ensure_module(default_layout(), Steps(), SOURCE, "half a minute"), core)


def _outcome(told: dict[str, Any]) -> Outcome:
    return Outcome(
        seconds=told["seconds"],
        cpu_seconds=told["cpuSeconds"],
        right=told["right"],
        wrong=told["wrong"],
        calls=told["calls"],
        lateness=told["lateness"],
        bins=told["bins"],
    )

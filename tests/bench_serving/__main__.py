"""`make bench-serving`: Shoal's worker against a bare echo, MLServer and KServe; writes docs/benchmarks-serving.md.

`--quick` takes 90 seconds and writes nothing under docs/. A run that is cut keeps the suites that it finished.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from shoal_worker.log import configure_logging
from tests.bench.machine import stamp
from tests.bench_serving import page
from tests.bench_serving.contestants import (
    KSERVE,
    MLSERVER,
    Contestant,
    contestants,
    peer_python,
    prepare_peers,
    run_server,
    shoal,
)
from tests.bench_serving.load import Caller, build_caller
from tests.bench_serving.model import RACE_ROWS, draw_batches, encode_request, make_model
from tests.bench_serving.overload import cases, overload
from tests.bench_serving.race import Effort, Row, race
from tests.bench_serving.starting import start

CACHE = Path(os.environ.get("SHOAL_CACHE", Path.home() / ".cache" / "shoal")) / "bench-serving"
SUITES = ("race", "start", "overload")
FULL = {"race": Effort(5, 2.0), "start": Effort(5, 2.0), "overload": Effort(3, 10.0)}
QUICK = {"race": Effort(2, 0.4, (1, 1_000)), "start": Effort(1, 0.5), "overload": Effort(1, 3.0)}
Steps = Iterator[str | list[Row]]


def main() -> int:
    """Run the suites asked for, and write their figures after each."""
    parser = argparse.ArgumentParser(prog="make bench-serving ARGS=", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds, 90 seconds in all; docs/ stays as it is")
    parser.add_argument("--suite", action="append", choices=SUITES, help="this suite only; may be repeated")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("error: server and client need a core each, and this process may use one only", file=sys.stderr)
        return 1
    configure_logging("error")
    console = Console(width=None if sys.stdout.isatty() else 200)
    began = time.monotonic()
    found: dict[str, Any] = {}
    effort = QUICK if arguments.quick else FULL
    caller = build_caller(cores[1])
    with tempfile.TemporaryDirectory(prefix="shoal-bench-") as scratch:
        for name in arguments.suite or SUITES:
            rows: list[Row] = []
            for step in _steps(name, caller, Path(scratch), cores[0], effort[name]):
                if isinstance(step, str):
                    console.print(f"{time.monotonic() - began:4.0f} s  {name}: {step}", highlight=False)
                else:
                    rows += step
            found[name] = {**stamp(), "versions": _versions(), "rows": rows}
            for table in page.tables(name, rows):
                console.print(table.rich())
            if not arguments.quick:
                page.write({name: found[name]})
    console.print(page.goals(found).rich())
    if said := page.warning(found):
        console.print(said, style="red")
    figures = CACHE / "latest.json"
    figures.write_text(json.dumps(found, indent=1))
    console.print(f"{time.monotonic() - began:.0f} s in all; figures: {figures}")
    return 0


def _steps(name: str, caller: Caller, folder: Path, core: int, effort: Effort) -> Steps:
    if name == "start":
        yield from start(caller, folder, core, effort.rounds, effort.seconds)
        return
    served = make_model(RACE_ROWS, folder)
    first = encode_request(draw_batches(served, 1, 1)[0])
    if name == "overload":
        for number, case in enumerate(cases(served, folder)):
            place, (request,) = folder / f"{name}-{number}", case.draw(1, 1)
            with run_server(Contestant("Shoal", shoal), case.served, place, core, request) as server:
                yield from overload(server, case, caller, folder, effort)
        return
    yield "preparing the peers' model"
    prepare_peers(served, CACHE, folder)
    with ExitStack() as stack:
        servers = []
        for each in contestants(CACHE, folder):
            yield f"starting {each.name}"
            servers.append(stack.enter_context(run_server(each, served, folder / each.name, core, first)))
        started = [server.resident_bytes() for server in servers]
        yield from race(servers, served, caller, folder, effort)
        yield [
            {
                "kind": "server",
                "name": server.name,
                "batch": 0,
                "readySeconds": server.seconds_to_ready,
                "residentBytes": resident,
                "loadedResidentBytes": server.resident_bytes(),
            }
            for server, resident in zip(servers, started, strict=True)
        ]


def _versions() -> dict[str, str]:
    """Of the servers and of what they stand on."""
    told = {name: version(name) for name in ("shoal-worker", "grpcio", "protobuf", "numpy")}
    for peer in (MLSERVER, KSERVE):
        for package in (peer.lower(), "grpcio", "scikit-learn"):
            code = f"from importlib.metadata import version; print(version({package!r}))"
            found = subprocess.run([peer_python(CACHE, peer), "-c", code], capture_output=True, text=True, check=True)
            told[peer if package == peer.lower() else f"{peer}'s {package}"] = found.stdout.strip()
    return told


if __name__ == "__main__":
    sys.exit(main())

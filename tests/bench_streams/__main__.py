"""`make bench-streams`: how fast one worker consumes, what a kill and a share do; writes docs/benchmarks-streams.md."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.machine import stamp
from tests.bench_streams import page
from tests.bench_streams.measures import measure_kill, measure_latency, measure_rate, measure_share
from tests.bench_streams.storing import measure_store
from tests.nats_server import run_nats
from tests.streaming import store_model

MEASURES = {
    "rate": measure_rate,
    "latency": measure_latency,
    "kill": measure_kill,
    "share": measure_share,
    "store": measure_store,
}


def main() -> int:
    """Measure, write and show."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        stored = store_model(folder / "store")
        with run_nats(folder / "nats") as server:
            for name, measure in MEASURES.items():
                with console.status(f"measuring: {name}"):
                    found[name] = asyncio.run(measure(server, stored, folder / name))
    written = page.write({**stamp(), "figures": found})
    console.print(page.figures(found).rich())
    console.print("written: " + ", ".join(map(str, written)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

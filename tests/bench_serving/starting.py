"""From the start of the worker's process to its first answer, with 100 MB of model in its cache; and its memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench_serving.contestants import OURS, Contestant, run_server, shoal
from tests.bench_serving.load import Caller, Phase
from tests.bench_serving.model import LARGE_ROWS, draw_batches, encode_request, make_model, write_messages
from tests.bench_serving.race import CONNECTIONS, IN_FLIGHT, QUESTIONS, answers_of

Row = dict[str, Any]
_BATCH = 1_000


def start(caller: Caller, folder: Path, core: int, starts: int, seconds: float) -> Iterator[str | list[Row]]:
    """Yield a line saying what comes next, or the rows of what is done; the first start fills the cache."""
    yield "fitting the model of 100 MB"
    served = make_model(LARGE_ROWS, folder)
    requests = [encode_request(rows) for rows in draw_batches(served, _BATCH, QUESTIONS)]
    asked = write_messages(folder / "requests-start", requests)
    for turn in range(1 + starts):
        yield f"start {turn} of {starts}" if turn else "start with an empty cache"
        with run_server(Contestant(OURS, shoal), served, folder / "large", core, requests[0]) as server:
            row: Row = {
                "cached": turn > 0,
                "modelBytes": served.size,
                "readySeconds": server.seconds_to_ready,
                "cpuSeconds": server.cpu_seconds(),
                "residentBytes": server.resident_bytes(),
            }
            if turn == starts:
                expected = answers_of(server, requests, folder / "answers-start")
                load = [Phase(seconds, inFlight=IN_FLIGHT)]
                caller.load(server, asked, expected, load, connections=CONNECTIONS)
                row["loadedResidentBytes"] = server.resident_bytes()
            yield [row]

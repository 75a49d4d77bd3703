"""Counts the calls that a gRPC server received, also those that its transport refused; used by `server`.

Python never sees a call that the transport refuses, but gRPC's own records (channelz) have it: every call that came,
and every one that was answered, whatever the status. What came and was neither answered nor is still open was refused.
"""

import json
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # where grpcio-channelz reads them, too

S = TypeVar("S")


class Arrivals(NamedTuple):
    """Calls of one server since its start."""

    received: int
    answered: int
    """Those that ended with a status of the worker's, or by their client while the worker had them."""


def make_counted(make: Callable[[], S]) -> tuple[S, Callable[[], Arrivals]]:
    """Make a server, and what reads its records."""
    others = _recorded()
    made = make()
    (number,) = _recorded() - others

    def read() -> Arrivals:
        told = json.loads(cygrpc.channelz_get_server(number))["server"]["data"]
        succeeded, failed = int(told["callsSucceeded"]), int(told["callsFailed"])
        return Arrivals(int(told["callsStarted"]), succeeded + failed)

    return made, read


def _recorded() -> set[int]:
    """The numbers of the servers of this process. gRPC gives one its number when it is first asked for."""
    numbers: set[int] = set()
    ended = False
    while not ended:
        page = json.loads(cygrpc.channelz_get_servers(max(numbers, default=0) + 1))
        numbers |= {int(each["ref"]["serverId"]) for each in page["server"]}
        ended = page.get("end", False)
    return numbers

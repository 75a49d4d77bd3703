"""Waits until the clients of a port have left; called by `server` in the drain.

A call that is under way while the gRPC server shuts down is answered with CANCELLED (grpc/grpc#41785). So the server
goes on until each client has left: routes send no new one, and connections end at their greatest age.
"""

import asyncio
from contextlib import suppress

import psutil

_LOOK_SECONDS = 0.25


def count_connections(port: int) -> int:
    """Return how many connections of this process to its port are open."""
    return sum(
        item.status == psutil.CONN_ESTABLISHED and item.laddr.port == port
        for item in psutil.Process().net_connections("tcp")
    )


async def await_departure(port: int, seconds: float, hurry: asyncio.Event) -> int:
    """Wait until no connection to a port is open; return how many still are after so many seconds, or when hurried."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left := count_connections(port)) and not hurry.is_set() and loop.time() < until:
        with suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), _LOOK_SECONDS)
    return left

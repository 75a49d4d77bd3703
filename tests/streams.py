"""Streams of a NATS server for tests and benchmarks: messages in, answers and dead letters out.

Knows nothing of workers, so that end-to-end tests, whose client has protocol messages of its own, can use it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import nats
import numpy as np
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy, RetentionPolicy

CONSUMER = "labels"


@dataclass(slots=True)
class Streams:
    """One set of streams on a server: in, out and dead letters."""

    client: Client
    name: str

    @property
    def subjects(self) -> tuple[str, str, str]:
        """In, out and dead letters."""
        return f"{self.name}.in", f"{self.name}.out", f"{self.name}.dead"

    async def create(self) -> None:
        """Create the streams, in with the retention of a work queue."""
        jetstream = self.client.jetstream()
        for subject in self.subjects:
            kind = subject.rpartition(".")[2]
            await jetstream.add_stream(
                name=f"{self.name}-{kind}",
                subjects=[subject],
                retention=RetentionPolicy.WORK_QUEUE if kind == "in" else RetentionPolicy.LIMITS,
                duplicate_window=120,
            )

    async def publish(self, payloads: Sequence[bytes], headers: Mapping[str, str] | None = None) -> None:
        """Publish to the stream in, and wait until all are stored."""
        jetstream = self.client.jetstream(publish_async_max_pending=1000)
        told = [
            await jetstream.publish_async(self.subjects[0], payload, headers=dict(headers) if headers else None)
            for payload in payloads
        ]
        for ack in told:
            await ack

    async def count(self, kind: str) -> int:
        """Messages in a stream."""
        info = await self.client.jetstream().stream_info(f"{self.name}-{kind}")
        return int(info.state.messages)

    async def read(self, kind: str, count: int, seconds: float = 20) -> list[Msg]:
        """Read so many messages of a stream from its beginning."""
        subject = self.subjects[("in", "out", "dead").index(kind)]
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        subscription = await self.client.jetstream().subscribe(subject, ordered_consumer=True, config=config)
        found = [await subscription.next_msg(timeout=seconds) for _ in range(count)]
        await subscription.unsubscribe()
        return found

    async def await_count(self, kind: str, count: int, seconds: float = 30) -> None:
        """Wait until a stream holds so many messages."""
        deadline = time.monotonic() + seconds
        while (found := await self.count(kind)) < count:
            assert time.monotonic() < deadline, f"{found} of {count} messages in {kind} after {seconds:g} s"
            await asyncio.sleep(0.02)

    async def await_settled(self, seconds: float = 30) -> None:
        """Wait until no message waits and none is leased."""
        jetstream = self.client.jetstream()
        deadline = time.monotonic() + seconds
        while True:
            info = await jetstream.consumer_info(f"{self.name}-in", CONSUMER)
            if not info.num_pending and not info.num_ack_pending:
                return
            assert time.monotonic() < deadline, f"{info.num_pending} wait, {info.num_ack_pending} are leased"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def open_streams(url: str, name: str) -> AsyncIterator[Streams]:
    """Connect, create the streams, and disconnect at the end."""
    client = await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    try:
        streams = Streams(client, name)
        await streams.create()
        yield streams
    finally:
        await client.close()


def rows_of(points: np.ndarray, count: int) -> list[bytes]:
    """So many messages of one row each, which are all different."""
    return [
        json.dumps({"x": float(x), "y": float(y), "number": number}).encode()
        for number, (x, y) in zip(range(count), np.resize(points, (count, points.shape[1])), strict=True)
    ]

"""Calls as prepared HTTP/2 frames: a client that costs a fraction of what the worker does, so that it can overload it.

An answer counts as good if it brought a message; of the rest the status is read. Nothing is retried.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, SettingsFrame, WindowUpdateFrame

INFER = "/inference.GRPCInferenceService/ModelInfer"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS = {SettingsFrame.HEADER_TABLE_SIZE: 0, SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 24}
_DATA, _HEADERS, _RESET, _SETTINGS_KIND, _PING = 0, 1, 3, 4, 6
_END_STREAM = _ACK = 1
_HEAD = 9
_TICK_SECONDS = 0.002
_PATIENCE_SECONDS = 10.0
_DECODED = 50


@dataclass(slots=True)
class Outcome:
    """What became of the calls of one run."""

    seconds: float
    sent: int = 0
    good: list[float] = field(default_factory=list)
    """Seconds to each answer that brought a message."""
    refused: list[float] = field(default_factory=list)
    """Seconds to each other answer."""
    statuses: Counter[str] = field(default_factory=Counter)
    """Of some of the latter."""
    hints: list[int] = field(default_factory=list)
    """Milliseconds after which those would be welcome."""
    held: int = 0
    """Calls not sent, for the worker allows no more on a connection."""
    unanswered: int = 0
    settled: float = 0.0
    """Seconds after the last call until all were answered."""

    @property
    def goodput(self) -> float:
        return len(self.good) / self.seconds


@dataclass(slots=True)
class Call:
    """A call as the frames of a stream, but for its number."""

    headers: bytes
    message: bytes

    @classmethod
    def build(cls, message: bytes, *metadata: tuple[str, str]) -> Call:
        encoder = Encoder()
        encoder.header_table_size = 0
        block = encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", INFER),
                (":authority", "worker"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                *metadata,
            ],
            huffman=False,
        )
        body = b"\0" + struct.pack(">I", len(message)) + message
        assert len(body) < 1 << 14, "a call is one frame"
        return cls(block, body)

    def frames(self, stream: int) -> bytes:
        return (
            HeadersFrame(stream, self.headers, flags=["END_HEADERS"]).serialize()
            + DataFrame(stream, self.message, flags=["END_STREAM"]).serialize()
        )


class Connection(asyncio.Protocol):
    """One connection, its calls and what became of them."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome
        self._unread = b""
        self._next = 1
        self._begun: dict[int, float] = {}
        self._with_message: set[int] = set()
        self._most = 100
        self.again: Call | None = None
        """What is sent after each answer."""

    @property
    def open(self) -> int:
        return len(self._begun)

    @property
    def full(self) -> bool:
        return len(self._begun) >= self._most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        frames = SettingsFrame(0, _SETTINGS).serialize() + WindowUpdateFrame(0, window_increment=1 << 30).serialize()
        transport.write(PREFACE + frames)

    def send(self, call: Call) -> None:
        self._begun[self._next] = time.perf_counter()
        self._outcome.sent += 1
        self._transport.write(call.frames(self._next))
        self._next += 2

    def close(self) -> None:
        self._outcome.unanswered += len(self._begun)
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        data = self._unread + data
        at = 0
        while len(data) - at >= _HEAD:
            length, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            if len(data) - at < _HEAD + length:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._take(kind, flags, stream, data[at + _HEAD : at + _HEAD + length])
            at += _HEAD + length
        self._unread = data[at:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA and payload:
            self._with_message.add(stream)
        elif (kind == _HEADERS and flags & _END_STREAM) or kind == _RESET:
            self._end(stream, payload if kind == _HEADERS else b"")
        elif kind == _SETTINGS_KIND and not flags & _ACK:
            settings = dict(struct.iter_unpack(">HI", payload))
            self._most = settings.get(SettingsFrame.MAX_CONCURRENT_STREAMS, self._most)
            self._transport.write(SettingsFrame(0, flags=["ACK"]).serialize())
        elif kind == _PING and not flags & _ACK:
            self._transport.write(PingFrame(0, payload, flags=["ACK"]).serialize())

    def _end(self, stream: int, trailers: bytes) -> None:
        begun = self._begun.pop(stream, None)
        if begun is None:
            return
        seconds = time.perf_counter() - begun
        if stream in self._with_message:
            self._with_message.discard(stream)
            self._outcome.good.append(seconds)
        else:
            self._outcome.refused.append(seconds)
            if len(self._outcome.refused) <= _DECODED:
                told = dict(Decoder().decode(trailers)) if trailers else {}
                self._outcome.statuses[told.get("grpc-status", "reset")] += 1
                if "grpc-retry-pushback-ms" in told:
                    self._outcome.hints.append(int(told["grpc-retry-pushback-ms"]))
        if self.again is not None:
            self.send(self.again)


async def run_closed(port: int, call: Call, in_flight: int, seconds: float) -> Outcome:
    """One connection with so many calls in flight all the time."""
    outcome = Outcome(seconds)
    [connection] = await _connect(port, outcome, 1)
    connection.again = call
    for _ in range(in_flight):
        connection.send(call)
    await asyncio.sleep(seconds)
    connection.again = None
    await _settle([connection], outcome)
    return outcome


async def run_open(port: int, call: Call, rate: float, seconds: float, connections: int = 24) -> Outcome:
    """So many calls a second, whatever becomes of them."""
    outcome = Outcome(seconds)
    peers = await _connect(port, outcome, connections)
    begun, due = time.perf_counter(), 0
    while (now := time.perf_counter()) - begun < seconds:
        while due < (now - begun) * rate:
            peer = peers[due % connections]
            due += 1
            if peer.full:
                outcome.held += 1
            else:
                peer.send(call)
        await asyncio.sleep(_TICK_SECONDS)
    await _settle(peers, outcome)
    return outcome


async def _connect(port: int, outcome: Outcome, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Connection(outcome), "127.0.0.1", port) for _ in range(count)]
    await asyncio.sleep(0.1)
    return [connection for _, connection in made]


async def _settle(connections: list[Connection], outcome: Outcome) -> None:
    ended = time.perf_counter()
    while any(peer.open for peer in connections) and time.perf_counter() - ended < _PATIENCE_SECONDS:  # noqa: ASYNC110
        await asyncio.sleep(_TICK_SECONDS)
    outcome.settled = time.perf_counter() - ended
    for peer in connections:
        peer.close()
    await asyncio.sleep(0.05)

"""Clients that break HTTP/2 or abuse it, each bounded in count and time; for tests on loopback only."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LONGEST_SECONDS = 2.0
_INFER = "/inference.GRPCInferenceService/ModelInfer"

Attack = Callable[[int], None]


def header_block(*extra: tuple[str, str]) -> bytes:
    """The header block of a call, without use of the dynamic table."""
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _INFER),
        (":authority", "worker"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    ]
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(headers, huffman=False)


@contextmanager
def connection(port: int, *frames: Frame) -> Iterator[socket.socket]:
    """An HTTP/2 connection whose answers are read by `drain` only; that it is closed by the worker is no error."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=LONGEST_SECONDS) as peer:
        peer.sendall(PREFACE + b"".join(frame.serialize() for frame in (SettingsFrame(0), *frames)))
        yield peer


def drain(peer: socket.socket) -> None:
    """Read what has come, without waiting."""
    peer.setblocking(False)
    with suppress(BlockingIOError):
        while peer.recv(1 << 16):
            pass
    peer.settimeout(LONGEST_SECONDS)


def flood(peer: socket.socket, parts: Iterator[bytes]) -> None:
    """Send until the parts or the time are over, or the worker closes the connection."""
    deadline = time.monotonic() + LONGEST_SECONDS
    for part in parts:
        peer.sendall(part)
        drain(peer)
        if time.monotonic() > deadline:
            return


def rapid_reset(port: int) -> None:
    """Streams that are opened and reset at once."""
    block = header_block()

    def parts() -> Iterator[bytes]:
        for first in range(1, 50_000, 200):
            yield b"".join(
                HeadersFrame(number, block, flags=["END_HEADERS"]).serialize()
                + RstStreamFrame(number, error_code=8).serialize()
                for number in range(first, first + 200, 2)
            )

    with connection(port) as peer:
        flood(peer, parts())


def continuation_flood(port: int) -> None:
    """A header block that never ends."""
    part = ContinuationFrame(1, b"\x00\x01a\x01b" * 3000).serialize()
    with connection(port, HeadersFrame(1, header_block())) as peer:
        flood(peer, (part for _ in range(2000)))


def empty_continuations(port: int) -> None:
    """The same, of frames that hold nothing."""
    part = ContinuationFrame(1, b"").serialize() * 500
    with connection(port, HeadersFrame(1, header_block())) as peer:
        flood(peer, (part for _ in range(200)))


def hpack_bomb(port: int) -> None:
    """One large header in the dynamic table, named thousands of times by a byte each."""
    large = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000
    block = header_block() + large + b"\xbe" * 12_000
    with connection(port) as peer:
        flood(
            peer,
            (
                HeadersFrame(number, block, flags=["END_HEADERS", "END_STREAM"]).serialize()
                for number in range(1, 400, 2)
            ),
        )


def ping_flood(port: int) -> None:
    """Pings, each of which wants an answer."""
    part = PingFrame(0, b"12345678").serialize() * 200
    with connection(port) as peer:
        flood(peer, (part for _ in range(250)))


def settings_flood(port: int) -> None:
    """Settings, each of which wants an answer."""
    part = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 20}).serialize() * 200
    with connection(port) as peer:
        flood(peer, (part for _ in range(250)))


def unread_answers(port: int) -> None:
    """Calls whose answers find no window, on a connection that nobody reads."""
    window = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    block = header_block()
    with connection(port, window) as peer:
        for number in range(1, 400, 2):
            peer.sendall(
                HeadersFrame(number, block, flags=["END_HEADERS"]).serialize()
                + DataFrame(number, b"\0\0\0\0\0", flags=["END_STREAM"]).serialize()
            )
        time.sleep(0.5)


def messages_without_end(port: int) -> None:
    """Calls that announce large messages and send a few bytes of them."""
    block = header_block()
    with connection(port) as peer:
        for number in range(1, 400, 2):
            peer.sendall(
                HeadersFrame(number, block, flags=["END_HEADERS"]).serialize()
                + DataFrame(number, b"\0\x00\xff\xff\xff" + b"x" * 200).serialize()
            )
        time.sleep(0.5)


def idle_connections(port: int) -> None:
    """Half of them silent before the preface, half after it."""
    peers: list[socket.socket] = []
    with suppress(OSError):
        for number in range(300):
            peers.append(socket.create_connection(("127.0.0.1", port), timeout=LONGEST_SECONDS))
            if number % 2:
                peers[-1].sendall(PREFACE + SettingsFrame(0).serialize())
        time.sleep(0.5)
    for peer in peers:
        peer.close()


def slow_headers(port: int) -> None:
    """Header blocks that come byte by byte."""
    frame = HeadersFrame(1, header_block(), flags=["END_HEADERS"]).serialize()
    with connection(port) as peer:
        flood(peer, (bytes([byte]) for byte in frame[:-1]))


def broken_frames(port: int) -> None:
    """Frames that the protocol forbids, then noise; every connection is a new one."""
    source = random.Random(7)
    block = header_block()
    forbidden = [
        HeadersFrame(2, block, flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, b"\xff" * 50, flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, block[:-3], flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, header_block(("UPPER", "x")), flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, header_block((":path", "/twice")), flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, header_block(("trace-bin", "%%% no base64 %%%")), flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, header_block(("grpc-timeout", "99999999999999S")), flags=["END_HEADERS"]).serialize(),
        HeadersFrame(1, header_block(("grpc-encoding", "no-such")), flags=["END_HEADERS"]).serialize(),
        DataFrame(1, b"before the headers").serialize(),
        b"\x00\x00\x04\x00\x00\x00\x00\x00\x00oops",  # data on no stream
        WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize() * 2,
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # a window update of nothing
        b"\x00\x00\x05\x04\x00\x00\x00\x00\x00wrong",  # settings of five bytes
        b"\x00\x00\x03\x06\x00\x00\x00\x00\x00abc",  # a ping of three bytes
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # a frame of 16 MiB
        b"\x00\x00\x08\xee\xff\x00\x00\x00\x01unknown!",
        ContinuationFrame(3, b"of nothing").serialize(),
    ]
    for number in range(200):
        with connection(port) as peer:
            peer.sendall(forbidden[number] if number < len(forbidden) else source.randbytes(source.randrange(1, 3000)))
            drain(peer)


ATTACKS: tuple[Attack, ...] = (
    rapid_reset,
    continuation_flood,
    empty_continuations,
    hpack_bomb,
    ping_flood,
    settings_flood,
    unread_answers,
    messages_without_end,
    idle_connections,
    slow_headers,
    broken_frames,
)

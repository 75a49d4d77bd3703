"""A real worker and those who hold its connections: too many, for too long, or in a silence that never ends."""

from __future__ import annotations

import resource
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
from hyperframe.frame import Frame, GoAwayFrame, PingFrame, SettingsFrame

from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from tests.component.attacks import PREFACE, connection
from tests.component.honest import INFER, honest_client, make_hard_request, make_request, serve_model, store_hard_model
from tests.component.wire import Call
from tests.serving import CALL_SECONDS, WorkerProcess, wait_until

IDLE_CONNECTIONS = 10_000
# Files that both processes need besides.
SPARE_FILES = 400
# More than a second of work.
LONG_ROWS = 5_000
ENHANCE_YOUR_CALM = 11


def read_frames(peer: socket.socket) -> Iterator[Frame]:
    """The frames that the worker sends until it closes the connection."""
    peer.settimeout(CALL_SECONDS)
    unread = b""
    with suppress(ConnectionError):
        while received := peer.recv(1 << 16):
            unread += received
            while len(unread) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(unread)[:9])
                if len(unread) < 9 + length:
                    break
                frame.parse_body(memoryview(unread)[9 : 9 + length])
                unread = unread[9 + length :]
                yield frame


def limited(files: int) -> tuple[str, ...]:
    """A command that starts another with so many open files at most."""
    return ("bash", "-c", f'ulimit -n {files} && exec "$@"', "limited")


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that say nothing more, every second one not even the preface; fewer where the worker closes them."""
    with ExitStack() as stack:
        peers = []
        for number in range(count):
            with suppress(OSError):
                peer = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=CALL_SECONDS))
                peers.append(peer)
                if number % 2:
                    peer.sendall(PREFACE + SettingsFrame(0).serialize())
        yield peers


def test_who_pings_all_the_time_is_told_to_go(tmp_path: Path) -> None:
    with serve_model(tmp_path) as worker, honest_client(worker) as honest, connection(worker.grpc_port) as peer:
        peer.sendall(PingFrame(0, b"12345678").serialize() * 20)
        told = [frame for frame in read_frames(peer) if isinstance(frame, GoAwayFrame)]
    assert told
    assert told[-1].error_code == ENHANCE_YOUR_CALM
    assert told[-1].additional_data == b"too_many_pings"
    assert honest.failures == []


def test_thousands_of_idle_connections_are_in_nobodys_way(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(IDLE_CONNECTIONS, hard - SPARE_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with serve_model(tmp_path, before=limited(hard)) as worker:
            with honest_client(worker) as alone:
                pass
            resident = worker.resident_mib()
            with honest_client(worker) as honest, idle_connections(worker.grpc_port, count) as peers:
                assert len(peers) == count
                # Also who comes when all of them are there.
                with honest_client(worker) as late:
                    pass
            grown = (worker.resident_mib() - resident) * 1024 / count
            print(
                f"{count} connections, {grown:.0f} KiB each; p99 {percentile(alone.millis):.2f} ms alone, "
                f"{percentile(honest.millis):.2f} ms while they came, {percentile(late.millis):.2f} ms beside them"
            )
            assert worker.alive
            assert honest.failures == late.failures == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def percentile(millis: list[float]) -> float:
    return sorted(millis)[int(len(millis) * 0.99)]


def test_a_worker_without_files_left_serves_those_it_has(tmp_path: Path) -> None:
    with serve_model(tmp_path, before=limited(256)) as worker:
        with honest_client(worker) as honest:
            with idle_connections(worker.grpc_port, 600):
                began, at = worker.cpu_seconds(), time.monotonic()
                time.sleep(1.0)
                busy = (worker.cpu_seconds() - began) / (time.monotonic() - at)
            print(f"{busy:.0%} of a core at the limit of files")
        assert honest.failures == []
        assert worker.alive
        # And others, once there are files again.
        with worker.open_channel() as channel:
            GRPCInferenceServiceStub(channel).ModelInfer(make_request(), timeout=CALL_SECONDS, wait_for_ready=True)


def test_who_says_nothing_is_cut_off(tmp_path: Path) -> None:
    with serve_model(tmp_path) as worker:
        peers = [socket.create_connection(("127.0.0.1", worker.grpc_port)) for _ in range(3)]
        peers[1].sendall(PREFACE[:5])
        peers[2].sendall(PREFACE)
        began = time.monotonic()
        for peer in peers:
            # It ends, or the test's patience does.
            list(read_frames(peer))
            peer.close()
        print(f"cut off after {time.monotonic() - began:.1f} s")


def test_who_ignores_that_its_connection_ends_is_cut_off(tmp_path: Path) -> None:
    age, longest_call = 1, 1
    settings = {"MAX_CONNECTION_AGE_SECONDS": str(age), "MAX_REQUEST_SECONDS": str(longest_call)}
    call = Call.build(make_request().SerializeToString())
    with serve_model(tmp_path, **settings) as worker, honest_client(worker) as honest:
        began = time.monotonic()
        with connection(worker.grpc_port) as peer:
            frames: list[Frame] = []
            reading = threading.Thread(target=lambda: frames.extend(read_frames(peer)))
            reading.start()
            stream = 1
            while reading.is_alive() and time.monotonic() < began + CALL_SECONDS:
                peer.sendall(call.frames(stream))
                stream += 2
                time.sleep(0.02)
            reading.join()
        print(f"cut off after {time.monotonic() - began:.2f} s, age {age} s and calls of {longest_call} s")
    assert any(isinstance(frame, GoAwayFrame) for frame in frames)
    assert time.monotonic() < began + CALL_SECONDS
    assert honest.failures == []


class Balancer:
    """Gives each new connection to the next of the workers, as a Service of Kubernetes does."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._given = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._other: dict[socket.socket, socket.socket] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for peer in (self._listener, *self._other):
            peer.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listener:
                    self._take_in()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._pass_on(key.fileobj)

    def _take_in(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self.ports[self._given % len(self.ports)]))
        self._given += 1
        for one, other in ((client, server), (server, client)):
            self._other[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, peer: socket.socket) -> None:
        if peer not in self._other:
            return
        with suppress(OSError):
            if content := peer.recv(1 << 16):
                self._other[peer].sendall(content)
                return
        for each in (peer, self._other[peer]):
            del self._other[each]
            self._selector.unregister(each)
            each.close()


@contextmanager
def callers(port: int, count: int) -> Iterator[list[str]]:
    """So many clients, each of which calls all the time over one connection; yields their failures."""
    failures: list[str] = []
    over = threading.Event()

    def call_on() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            stub = GRPCInferenceServiceStub(channel)
            while not over.wait(0.02):
                try:
                    stub.ModelInfer(make_request(), timeout=CALL_SECONDS)
                except grpc.RpcError as error:
                    failures.append(str(error))

    threads = [threading.Thread(target=call_on) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield failures
    finally:
        over.set()
        for thread in threads:
            thread.join()


def answered(worker: WorkerProcess) -> float:
    return worker.metrics()['shoal_requests_total{code="OK"}']


def test_clients_that_hold_their_connection_come_to_a_new_worker(tmp_path: Path) -> None:
    age = 2.0
    settings = {"MAX_CONNECTION_AGE_SECONDS": str(age)}
    with ExitStack() as stack:
        old, new = (stack.enter_context(serve_model(tmp_path / name, **settings)) for name in ("old", "new"))
        balancer = Balancer()
        stack.callback(balancer.close)
        balancer.ports = [old.grpc_port]
        failures = stack.enter_context(callers(balancer.port, 20))
        assert wait_until(lambda: answered(old) > 100, CALL_SECONDS)
        assert answered(new) == 0
        balancer.ports = [old.grpc_port, new.grpc_port]
        time.sleep(2 * age)
        before = answered(old), answered(new)
        time.sleep(2 * age)
        calls = answered(old) - before[0], answered(new) - before[1]
        share = calls[1] / sum(calls)
        print(f"the new worker's share after two ages: {share:.1%} of {sum(calls):.0f} calls")
        assert 0.35 <= share <= 0.65
    assert failures == []


def test_long_calls_outlive_sigterm(tmp_path: Path) -> None:
    settings = {"MAX_REQUEST_SECONDS": "300", "DRAIN_GRACE_SECONDS": "300", "THREADS": "2"}
    request = make_hard_request(LONG_ROWS).SerializeToString()
    with serve_model(tmp_path, store_hard_model, **settings) as worker:
        channels = [worker.open_channel() for _ in range(4)]
        began = time.monotonic()
        calls = [channel.unary_unary(INFER).future(request) for channel in channels]
        assert wait_until(lambda: worker.metrics()["shoal_in_flight"] == len(calls), CALL_SECONDS)
        worker.process.send_signal(signal.SIGTERM)
        assert not any(call.done() for call in calls)
        assert all(call.result() for call in calls)
        took = time.monotonic() - began
        for channel in channels:
            channel.close()
        assert worker.process.wait(CALL_SECONDS) == 0
        exited = time.monotonic() - began - took
        print(f"{len(calls)} calls of up to {took:.1f} s outlived SIGTERM; the process ended {exited:.1f} s later")

"""`shoal-worker consume` for real: a NATS server with JetStream and worker processes, killed and restarted."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pytest
from nats.aio.msg import Msg
from nats.js.api import DiscardPolicy
from nats.js.errors import NotFoundError

from shoal_operator.runtime.figures import parse
from shoal_operator.runtime.monitoring import NatsMonitor
from shoal_proto import inference_pb2 as pb
from shoal_worker.settings import ServeSettings
from tests.nats_server import NatsServer, run_nats
from tests.streaming import Stored, Worker, environment, forget_consumer, run_worker
from tests.streams import CONSUMER, Streams, open_streams, rows_of
from tests.unit.worker.harness import run_server

Environment = Callable[..., dict[str, str]]


@pytest.fixture
def variables(stored: Stored, server: NatsServer, streams: Streams, tmp_path: Path) -> Environment:
    return lambda **changes: environment(stored, server, streams.name, tmp_path, **changes)


def numbers(messages: Sequence[Msg]) -> list[int]:
    """The sequences in the stream in that the messages answer."""
    return [int((message.headers or {})["Shoal-Sequence"]) for message in messages]


async def assert_each_once(streams: Streams, count: int) -> None:
    """Every message in has one answer, and no more than one."""
    await streams.await_count("out", count)
    await streams.await_settled()
    assert await streams.count("out") == count
    assert sorted(numbers(await streams.read("out", count))) == list(range(1, count + 1))
    assert await streams.count("dead") == 0


async def test_the_answers_are_those_of_grpc(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path
) -> None:
    request = pb.ModelInferRequest(model_name="blobs", id="r1")
    request.inputs.add(name="points", datatype="FP64", shape=stored.points.shape)
    request.raw_input_contents.append(stored.points.tobytes())
    for name in ("labels", "cluster_ids"):
        request.outputs.add(name=name)
    values = {key.removeprefix("SHOAL_").lower(): value for key, value in variables().items()}
    settings = ServeSettings.model_validate({**values, "grpc_port": 0, "cache_dir": tmp_path / "grpc"})
    async with run_server(settings) as grpc:
        expected = await grpc.stub.ModelInfer(request)
    labels, ids = (
        np.frombuffer(raw, dtype) for raw, dtype in zip(expected.raw_output_contents, ("<i4", "<i8"), strict=True)
    )
    with run_worker(variables(), tmp_path):
        await streams.publish(rows_of(stored.points, len(stored.points)))
        await streams.publish([request.SerializeToString()], {"Content-Type": "application/x-protobuf", "trace": "t1"})
        answers = await streams.read("out", len(stored.points) + 1)
    # Answers may overtake one another.
    *rows, last = (message for _, message in sorted(zip(numbers(answers), answers, strict=True), key=itemgetter(0)))
    found = [json.loads(message.data) for message in rows]
    assert [each["labels"] for each in found] == [[label] for label in labels.tolist()]
    assert [each["cluster_ids"] for each in found] == [[name] for name in ids.tolist()]
    assert pb.ModelInferResponse.FromString(last.data) == expected
    assert (last.headers or {})["trace"] == "t1"


async def test_a_killed_worker_loses_nothing_and_answers_nothing_twice(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path
) -> None:
    count = 8000
    await streams.publish(rows_of(stored.points, count))
    with run_worker(variables(), tmp_path) as worker:
        await streams.await_count("out", count // 4)
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL
    assert await streams.count("out") < count
    with run_worker(variables(), tmp_path) as worker:
        await assert_each_once(streams, count)
        assert worker.metrics()["shoal_stream_redelivered"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_server_that_restarts_loses_nothing_and_nothing_is_answered_twice(
    number: signal.Signals, stored: Stored, tmp_path: Path
) -> None:
    count = 8000
    with run_nats(tmp_path / "nats") as server:
        async with open_streams(server.url, "restart") as streams:
            await streams.publish(rows_of(stored.points, count))
            with run_worker(environment(stored, server, "restart", tmp_path), tmp_path) as worker:
                await streams.await_count("out", count // 4)
                await asyncio.to_thread(server.stop, number)
                assert worker.explanation() == (503, "the servers are not reached")
                await asyncio.to_thread(server.start)
                await assert_each_once(streams, count)
                assert worker.explanation() == (200, "ready")
                assert worker.process.poll() is None


async def test_poison_becomes_a_dead_letter_and_delays_nothing(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path
) -> None:
    good = rows_of(stored.points, 1000)
    poison = {
        b"no json": "RequestInvalid",
        b'{"x": 1.0}': "RequestInvalid",
        b'{"x": 1.0, "y": null}': "RequestInvalid",
        b'{"x": 1.0, "y": NaN}': "RequestInvalid",
        b'[{"x": 1.0, "y": 2.0}, 7]': "RequestInvalid",
    }
    for payload in poison:
        await streams.publish([*good[:100], payload])
    await streams.publish([b"\xff\xfe"], {"Content-Type": "application/x-protobuf"})
    await streams.publish([b"<x>1</x>"], {"Content-Type": "application/xml"})
    await streams.publish(good)
    with run_worker(variables(), tmp_path) as worker:
        await streams.await_count("out", 1500)
        await streams.await_settled()
        letters = await streams.read("dead", len(poison) + 2)
        assert worker.metrics()['shoal_requests_total{code="INVALID_ARGUMENT"}'] == len(letters)
    assert await streams.count("out") == 1500
    assert await streams.count("dead") == len(letters)
    told = {letter.data: letter.headers or {} for letter in letters}
    assert {payload: told[payload]["Shoal-Reason"] for payload in poison} == poison
    assert told[b'{"x": 1.0}']["Shoal-Field"] == "y"
    assert told[b'{"x": 1.0}']["Shoal-Message"].startswith("y: row 0 has no such column")
    assert told[b"no json"]["Shoal-Sequence"] == "101"
    assert "application/xml" in told[b"<x>1</x>"]["Shoal-Message"]


async def test_a_worker_that_is_told_to_end_gives_its_leases_back_at_once(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path
) -> None:
    count = 8000
    await streams.publish(rows_of(stored.points, count))
    # What was not given back would come again after a minute only, later than anything here waits.
    patient = variables(ACK_WAIT_SECONDS="60")
    with run_worker(patient, tmp_path) as worker:
        await streams.await_count("out", count // 4)
        assert worker.end() == 0
    assert await streams.count("out") < count
    with run_worker(patient, tmp_path):
        await assert_each_once(streams, count)


async def test_an_output_that_is_full_is_waited_for_and_told(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path
) -> None:
    jetstream = streams.client.jetstream()
    name = f"{streams.name}-out"
    config = (await jetstream.stream_info(name)).config
    await jetstream.update_stream(config.evolve(max_msgs=10, discard=DiscardPolicy.NEW))
    await streams.publish(rows_of(stored.points, 25))
    with run_worker(variables(), tmp_path, ready=False) as worker:
        await streams.await_count("out", 10)
        async with asyncio.timeout(10):
            while worker.explanation() != (503, "answers are not stored: maximum messages exceeded"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        first = numbers(await streams.read("out", 10))
        await jetstream.purge_stream(name)
        await jetstream.update_stream(config)
        await streams.await_count("out", 15)
        await streams.await_settled()
        worker.await_ready()
    assert sorted(first + numbers(await streams.read("out", 15))) == list(range(1, 26))


async def test_the_operator_reads_the_backlog_where_no_pod_tells_it(
    streams: Streams, variables: Environment, stored: Stored, server: NatsServer, tmp_path: Path
) -> None:
    await streams.publish(rows_of(stored.points, 30))
    ask = NatsMonitor(lambda _: "")
    refuse = NatsMonitor(lambda url: f"{url} is not allowed")
    try:
        # Without the consumer it is what the stream holds.
        assert await ask(server.monitoring_url, f"{streams.name}-in", CONSUMER) == 30
        with run_worker(variables(SHARE_FILE=str(tmp_path / "none")), tmp_path) as worker:
            # Not told a share, it leases nothing; what it tells is what the server tells.
            await streams.publish(rows_of(stored.points, 12))
            assert await ask(server.monitoring_url, f"{streams.name}-in", CONSUMER) == 42
            async with asyncio.timeout(5):
                while worker.metrics()["shoal_stream_backlog"] != 42:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.02)
        with pytest.raises(ValueError, match="knows no stream 'other'"):
            await ask(server.monitoring_url, "other", CONSUMER)
        with pytest.raises(ValueError, match="is not allowed"):
            await refuse(server.monitoring_url, f"{streams.name}-in", CONSUMER)
    finally:
        await ask.close()
        await refuse.close()


class TestForgettingTheConsumer:
    async def test_it_is_deleted_and_one_that_is_gone_is_as_good(
        self, streams: Streams, variables: Environment, tmp_path: Path
    ) -> None:
        with run_worker(variables(), tmp_path):
            pass
        jetstream = streams.client.jetstream()
        assert (await jetstream.consumer_info(f"{streams.name}-in", CONSUMER)).name == CONSUMER
        for _ in range(2):
            assert await asyncio.to_thread(forget_consumer, variables()) == 0
            with pytest.raises(NotFoundError):
                await jetstream.consumer_info(f"{streams.name}-in", CONSUMER)
        assert await asyncio.to_thread(forget_consumer, variables(INPUT_STREAM="none")) == 0

    def test_servers_that_are_away_are_told_in_bounded_time(
        self, stored: Stored, server: NatsServer, tmp_path: Path
    ) -> None:
        changes = {"NATS_URL": "nats://127.0.0.1:1", "CONNECT_SECONDS": "3"}
        assert forget_consumer(environment(stored, server, "none", tmp_path, **changes)) == 2
        report = json.loads((tmp_path / "report").read_text())
        assert (report["reason"], report["transient"]) == ("StreamUnavailable", True)
        assert "nats consumer rm none-in labels --force" in report["remedy"]


class TestShares:
    """Two versions of one deployment lease from one consumer."""

    @pytest.fixture
    def shares(self, tmp_path: Path) -> Callable[[str, str], Path]:
        def write(version: str, share: str) -> Path:
            path = tmp_path / f"share-{version}"
            # As the kubelet does: the file is replaced.
            temporary = path.with_suffix(".new")
            temporary.write_text(share)
            return temporary.rename(path)

        return write

    @pytest.fixture
    def run(self, variables: Environment, tmp_path: Path) -> Callable[[str, Path], object]:
        def start(version: str, path: Path) -> object:
            work = tmp_path / f"worker-{version}"
            changes = {"MODEL_VERSION": version, "SHARE_FILE": str(path), "CACHE_DIR": str(work / "cache")}
            return run_worker(variables(**changes, MAX_IN_FLIGHT="500"), work)

        return start

    async def versions(self, streams: Streams, count: int) -> Counter[str]:
        return Counter((message.headers or {})["Shoal-Version"] for message in await streams.read("out", count))

    async def test_a_candidate_leases_its_share(self, streams: Streams, shares, run, stored: Stored) -> None:  # type: ignore[no-untyped-def]
        count = 10_000
        with run("3", shares("3", "100")), run("4", shares("4", "10")) as candidate:
            await streams.publish(rows_of(stored.points, count))
            await assert_each_once(streams, count)
            found = await self.versions(streams, count)
            assert 0.08 <= found["4"] / count <= 0.101
            assert candidate.metrics()["shoal_stream_share_percent"] == 10
            # The operator reports what it reads here as the share that was really taken.
            assert parse(candidate.metrics_text()).leased == found["4"]

    async def test_a_share_of_none_leases_nothing_and_what_was_leased_is_answered(  # type: ignore[no-untyped-def]
        self, streams: Streams, shares, run, stored: Stored
    ) -> None:
        count = 10_000
        with run("3", shares("3", "50")), run("4", shares("4", "100")) as candidate:
            publishing = asyncio.create_task(streams.publish(rows_of(stored.points, count)))
            await streams.await_count("out", count // 5)
            shares("4", "0")
            shares("3", "100")
            await self.await_share(candidate, 0)
            leased = candidate.metrics()["shoal_stream_leased"]
            await publishing
            await assert_each_once(streams, count)
            assert candidate.metrics()["shoal_stream_leased"] - leased < 512
            found = await self.versions(streams, count)
            assert 0 < found["4"] < count

    async def test_a_worker_with_a_share_stands_in_where_nobody_leases(  # type: ignore[no-untyped-def]
        self, streams: Streams, shares, run, stored: Stored
    ) -> None:
        await streams.publish(rows_of(stored.points, 500))
        with run("4", shares("4", "10")):
            await assert_each_once(streams, 500)

    async def await_share(self, worker: Worker, share: float) -> None:
        async with asyncio.timeout(5):
            while worker.metrics()["shoal_stream_share_percent"] != share:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.02)


class TestWhatIsWrongAtTheStart:
    """The process ends, and leaves a report for the operator."""

    def report(self, variables: dict[str, str], tmp_path: Path) -> tuple[str, str]:
        with run_worker(variables, tmp_path, ready=False) as worker:
            assert worker.process.wait(15) == 1
        report = json.loads((tmp_path / "report").read_text())
        assert report["transient"] is True
        assert report["remedy"]
        return report["reason"], report["message"]

    async def test_a_stream_that_is_missing(self, streams: Streams, variables: Environment, tmp_path: Path) -> None:
        assert self.report(variables(INPUT_STREAM="other"), tmp_path) == ("StreamMissing", "there is no such stream")

    async def test_an_output_that_no_stream_takes(
        self, streams: Streams, variables: Environment, tmp_path: Path
    ) -> None:
        reason, message = self.report(variables(OUTPUT_SUBJECT="nowhere"), tmp_path)
        assert (reason, message[:30]) == ("StreamMissing", "no stream takes this subject, ")

    async def test_a_consumer_of_another_subject(
        self, streams: Streams, variables: Environment, tmp_path: Path
    ) -> None:
        with run_worker(variables(), tmp_path):
            pass
        reason, message = self.report(variables(INPUT_SUBJECT=streams.subjects[0]), tmp_path)
        assert reason == "ConsumerUnfit"
        assert "not of" in message

    async def test_an_output_that_forgets_too_soon(
        self, streams: Streams, variables: Environment, tmp_path: Path
    ) -> None:
        assert self.report(variables(ACK_WAIT_SECONDS="90"), tmp_path)[0] == "DuplicateWindowTooShort"

    def test_a_host_that_does_not_exist(self, stored: Stored, server: NatsServer, tmp_path: Path) -> None:
        changes = {"NATS_URL": "nats://nats.invalid:4222", "CONNECT_SECONDS": "1"}
        reason, message = self.report(environment(stored, server, "none", tmp_path, **changes), tmp_path)
        assert reason == "StreamUnavailable"
        assert message.startswith("the servers cannot be reached (")

    def test_credentials_that_are_refused_and_then_corrected(self, stored: Stored, tmp_path: Path) -> None:
        secret = tmp_path / "nats"
        secret.mkdir()
        (secret / "user").write_text("shoal\n")
        (secret / "password").write_text("wrong\n")
        with run_nats(tmp_path / "server", 'authorization: {user: "shoal", password: "right"}') as server:
            variables = environment(stored, server, "none", tmp_path)
            assert self.report(variables, tmp_path)[0] == "StreamRefused"
            (secret / "password").write_text("right\n")
            assert self.report(variables, tmp_path)[0] == "StreamMissing"

"""`shoal-worker consume` into a result store for real: workers, servers and stores that die and come back."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from shoal_cli.__main__ import main
from shoal_worker.results.growing import seal
from shoal_worker.results.layout import batch_key
from shoal_worker.results.store import ResultStore, open_results
from tests.nats_server import NatsServer, run_nats
from tests.s3 import BUCKET, S3Server, s3_server
from tests.streaming import Stored, environment, run_worker
from tests.streams import Streams, open_streams, rows_of

__all__ = ["s3_server"]

KEY = batch_key("demo", "blobs")


@dataclass
class Labels:
    """Where labels go, and what is there."""

    uri: str
    secret: Path

    def open(self) -> ResultStore:
        return open_results(self.uri, self.secret)

    def table(self) -> pa.Table:
        """All rows, with doubles."""
        results = self.open()
        rows = results.stream_rows(results.runs(KEY))
        return rows.dataset.to_table() if rows is not None else pa.table({"sequence": pa.array([], pa.int64())})

    def verify(self) -> None:
        results = self.open()
        for run in results.runs(KEY):
            assert results.verify(run.key) > 0

    def assert_each_once(self, count: int) -> int:
        """Every message's label is there, and equal in all doubles; returns how many doubles there are."""
        self.verify()
        found = self.table()
        told = set(zip(*(found[name].to_pylist() for name in ("message_id", "sequence", "row", "label")), strict=True))
        assert sorted(sequence for _, sequence, _, _ in told) == list(range(1, count + 1))
        return found.num_rows - count

    def take_away(self) -> None:
        """Put a file where the folder is."""
        folder = Path(self.uri.removeprefix("file://"))
        folder.rename(folder.with_suffix(".away"))
        folder.write_text("not a folder")

    def bring_back(self) -> None:
        """The folder as it was."""
        folder = Path(self.uri.removeprefix("file://"))
        folder.unlink()
        folder.with_suffix(".away").rename(folder)

    async def await_rows(self, count: int) -> None:
        async with asyncio.timeout(30):
            while self.table().num_rows < count:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)


@pytest.fixture
def labels(stored: Stored, tmp_path: Path) -> Labels:
    """A folder of files."""
    folder = stored.root / "results" / tmp_path.name
    folder.mkdir(parents=True)
    return Labels(f"file://{folder}", tmp_path / "none")


async def await_that(condition: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)


Environment = Callable[..., dict[str, str]]


def variables_of(stored: Stored, server: NatsServer, name: str, work: Path, labels: Labels) -> Environment:
    settings = {
        "OUTPUT_SUBJECT": "",
        "OUTPUT_URI": labels.uri,
        "OUTPUT_SECRET_DIR": str(labels.secret),
        "OUTPUT_ROLL_SECONDS": "0.5",
        "NAMESPACE": "demo",
    }
    return lambda **changes: environment(stored, server, name, work, **{**settings, **changes})


@pytest.fixture
def variables(stored: Stored, server: NatsServer, streams: Streams, tmp_path: Path, labels: Labels) -> Environment:
    return variables_of(stored, server, streams.name, tmp_path, labels)


async def test_labels_are_rows_of_a_run_that_is_complete_when_the_worker_ends(
    streams: Streams,
    variables: Environment,
    stored: Stored,
    tmp_path: Path,
    labels: Labels,
    capsys: pytest.CaptureFixture[str],
) -> None:
    points = stored.points[:300]
    await streams.publish(rows_of(points, len(points)))
    await streams.publish([json.dumps([{"x": 0.0, "y": 0.0}] * 3).encode()], {"Nats-Msg-Id": "theirs"})
    with run_worker(variables(), tmp_path) as worker:
        await streams.await_settled()
        # The worker counts once it has heard of it, a moment after the server.
        await await_that(lambda: worker.metrics()["shoal_stream_unstored"] == 0)
        assert worker.metrics()['shoal_stream_messages_total{outcome="answered"}'] == len(points) + 1
        # What is stored can be read while the run grows.
        (run,) = labels.open().runs(KEY)
        assert (run.state, run.is_stream, run.rows) == ("Running", True, None)
        assert labels.table().num_rows == len(points) + 3
        assert worker.end() == 0
    (run,) = labels.open().runs(KEY)
    assert (run.state, run.rows, run.model and run.model.version) == ("Complete", len(points) + 3, 3)
    found = labels.table().sort_by([("sequence", "ascending"), ("row", "ascending")])
    assert found["row"].to_pylist() == [0] * len(points) + [0, 1, 2]
    assert found["sender_id"].to_pylist() == [None] * len(points) + ["theirs"] * 3
    assert set(found["digest"].to_pylist()) == {stored.files.digest}
    where = ["--store", labels.uri]
    assert main(["results", "verify", "demo/blobs", *where]) == 0
    statement = "SELECT count(*) AS n, count(DISTINCT message_id) AS m FROM results"
    capsys.readouterr()
    assert main(["results", "sql", "demo/blobs", statement, "-o", "json", *where]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": len(points) + 3, "m": len(points) + 1}]


async def test_a_killed_worker_loses_no_label_and_its_run_goes_on_to_count(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    count = 8000
    await streams.publish(rows_of(stored.points, count))
    with run_worker(variables(), tmp_path) as worker:
        await labels.await_rows(count // 4)
        assert worker.end(signal.SIGKILL) == -signal.SIGKILL
    assert labels.table().num_rows < count
    with run_worker(variables(), tmp_path) as worker:
        await streams.await_settled()
        assert worker.end() == 0
    labels.assert_each_once(count)
    assert sorted(run.state for run in labels.open().runs(KEY)) == ["Complete", "Running"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_a_server_that_restarts_loses_no_label(
    number: signal.Signals, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    count = 8000
    with run_nats(tmp_path / "nats") as server:
        async with open_streams(server.url, "restart") as streams:
            await streams.publish(rows_of(stored.points, count))
            variables = variables_of(stored, server, "restart", tmp_path, labels)
            with run_worker(variables(), tmp_path) as worker:
                await labels.await_rows(count // 4)
                await asyncio.to_thread(server.stop, number)
                await asyncio.to_thread(server.start)
                await streams.await_settled(60)
                await labels.await_rows(count)
                assert worker.explanation() == (200, "ready")
                assert worker.end() == 0
    labels.assert_each_once(count)


async def test_a_store_that_is_away_is_waited_for_and_told(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    count = 6000
    with run_worker(variables(MAX_IN_FLIGHT="1000"), tmp_path) as worker:
        labels.take_away()
        await streams.publish(rows_of(stored.points, count))
        await await_that(lambda: worker.explanation()[1].startswith("answers are not stored: "))
        assert worker.explanation()[0] == 503
        await await_that(lambda: worker.metrics()["shoal_stream_store_failures_total"] >= 3)
        leased = worker.metrics()["shoal_stream_leased"]
        assert leased < 1600
        assert worker.metrics()["shoal_stream_unstored"] > 0
        await asyncio.sleep(1)
        assert worker.metrics()["shoal_stream_leased"] == leased
        assert worker.metrics()['shoal_stream_messages_total{outcome="answered"}'] == 0
        labels.bring_back()
        await streams.await_settled()
        worker.await_ready()
        assert worker.end() == 0
    assert labels.assert_each_once(count) == 0


async def test_a_worker_that_ends_while_the_store_is_away_gives_its_messages_back(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    count = 500
    # What was not given back would come again after a minute only, later than anything here waits.
    patient = variables(ACK_WAIT_SECONDS="60", DRAIN_GRACE_SECONDS="1")
    with run_worker(patient, tmp_path) as worker:
        labels.take_away()
        await streams.publish(rows_of(stored.points, count))
        await await_that(lambda: worker.metrics()["shoal_stream_unstored"] == count)
        await await_that(lambda: worker.metrics()["shoal_stream_store_failures_total"] > 0)
        assert worker.end() == 0
    labels.bring_back()
    with run_worker(patient, tmp_path) as worker:
        await streams.await_settled()
        assert worker.end() == 0
    assert labels.assert_each_once(count) == 0


async def test_messages_of_many_rows_make_files_of_bounded_size(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    rows = [{"x": 0.0, "y": 0.0}] * 20_000
    await streams.publish([json.dumps(rows).encode()] * 30)
    with run_worker(variables(OUTPUT_ROLL_SECONDS="30"), tmp_path) as worker:
        await await_that(lambda: worker.metrics()["shoal_stream_files_total"] > 0)
        await await_that(lambda: worker.metrics()["shoal_stream_backlog"] < 30)
        assert worker.end() == 0
    (run,) = labels.open().runs(KEY)
    parts = [part.rows for part in labels.open().manifest(run.key).parts]
    assert sum(parts) == 600_000
    assert max(parts) < 300_000


async def test_poison_is_a_dead_letter_and_no_row(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    good = rows_of(stored.points, 500)
    await streams.publish([*good[:250], b"no json", b'{"x": 1.0}', *good[250:]])
    with run_worker(variables(), tmp_path) as worker:
        await streams.await_settled()
        assert worker.end() == 0
    assert await streams.count("dead") == 2
    found = labels.table()
    assert set(found["sequence"].to_pylist()) == {*range(1, 251), *range(253, 503)}


async def test_a_run_that_another_has_completed_is_left_for_a_new_one(
    streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
) -> None:
    with run_worker(variables(), tmp_path) as worker:
        await streams.publish(rows_of(stored.points, 100))
        await labels.await_rows(100)
        results = labels.open()
        (run,) = results.runs(KEY)
        seal(results.run(run.key))
        await streams.publish(rows_of(stored.points, 200)[100:])
        await streams.await_settled()
        assert worker.end() == 0
    assert labels.assert_each_once(200) == 0
    assert [run.state for run in labels.open().runs(KEY)] == ["Complete", "Complete"]


class TestS3:
    @pytest.fixture
    def labels(self, s3_server: S3Server, tmp_path: Path) -> Labels:
        return Labels(f"s3://{BUCKET}/{tmp_path.name}", s3_server.write_secret(tmp_path / "secret"))

    async def test_a_killed_worker_loses_no_label(
        self, streams: Streams, variables: Environment, stored: Stored, tmp_path: Path, labels: Labels
    ) -> None:
        await test_a_killed_worker_loses_no_label_and_its_run_goes_on_to_count(
            streams, variables, stored, tmp_path, labels
        )


class TestWhatIsWrongAtTheStart:
    """The process ends, and leaves a report for the operator."""

    def report(self, variables: dict[str, str], tmp_path: Path) -> tuple[str, str]:
        with run_worker(variables, tmp_path, ready=False) as worker:
            assert worker.process.wait(15) == 1
        report = json.loads((tmp_path / "report").read_text())
        return report["reason"], report["field"]

    async def test_credentials_that_the_store_refuses(
        self, streams: Streams, variables: Environment, s3_server: S3Server, tmp_path: Path
    ) -> None:
        secret = s3_server.write_secret(tmp_path / "secret")
        (secret / "AWS_SECRET_ACCESS_KEY").write_text("wrong")
        place = {"OUTPUT_URI": f"s3://{BUCKET}/x", "OUTPUT_SECRET_DIR": str(secret)}
        assert self.report(variables(**place), tmp_path) == ("CredentialsRejected", "SHOAL_OUTPUT_URI")

    async def test_a_folder_beyond_the_root(self, streams: Streams, variables: Environment, tmp_path: Path) -> None:
        assert self.report(variables(OUTPUT_URI="file:///etc"), tmp_path)[0] == "ParametersInvalid"

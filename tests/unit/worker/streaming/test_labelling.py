"""What becomes of messages: the answers of gRPC, dead letters that tell why, and the message that kills the worker."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal_proto import inference_pb2 as pb
from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.model import Model, build_model
from shoal_worker.streaming import labelling
from shoal_worker.streaming.forms import AnswerForm, RowForm
from shoal_worker.streaming.labelling import Labeller
from shoal_worker.streaming.message import Message
from shoal_worker.streaming.outcomes import Answered, Failed, Outcome, Refused, Tabled
from shoal_worker.streaming.suspects import Suspects
from tests.unit.worker.harness import MACHINE, make_table
from tests.unit.worker.streaming.messages import ORIGIN, message
from tests.unit.worker.test_columns import FILES, make_rows


@pytest.fixture(scope="session")
def model(files: ArtifactFiles) -> Model:
    return build_model(verify_artifact(files, files.digest), name="blobs", version="3", machine=MACHINE)


@pytest.fixture
def labeller(model: Model, tmp_path: Path) -> Labeller:
    return build_labeller(model, tmp_path)


def build_labeller(model: Model, directory: Path, batch_rows: int = 4096) -> Labeller:
    form = AnswerForm(model, ORIGIN)
    return Labeller(model, ORIGIN, form, Suspects(directory / "suspects"), batch_rows=batch_rows, max_deliveries=3)


def label(labeller: Labeller, messages: Sequence[Message]) -> dict[int, Outcome]:
    outcomes = labeller.label(messages, lambda: False).outcomes
    found = {outcome.message.lease.sequence: outcome for outcome in outcomes}
    assert len(found) == len(outcomes) == len(messages)
    return found


def refusal(labeller: Labeller, data: bytes, **changes: object) -> dict[str, str]:
    (outcome,) = label(labeller, [message(data, **changes)]).values()  # type: ignore[arg-type]
    assert isinstance(outcome, Refused)
    assert outcome.letter.payload == data
    return dict(outcome.letter.headers)


ROW = json.dumps({"x": 0.0, "y": 0.0}).encode()


@pytest.mark.parametrize("batch_rows", [1, 7, 4096])
def test_many_messages_get_the_labels_that_each_would_get_alone(model: Model, tmp_path: Path, batch_rows: int) -> None:
    points = make_table().numbers
    cuts = [0, 1, 1, 4, 50, 51, 130, len(points)]
    parts = [points[begin:end] for begin, end in pairwise(cuts)]
    messages = [
        message(json.dumps([{"y": y, "x": x, "id": "a"} for x, y in part.tolist()]).encode(), number)
        for number, part in enumerate(parts, 1)
    ]
    found = label(build_labeller(model, tmp_path, batch_rows), messages)
    for number, part in enumerate(parts, 1):
        outcome = found[number]
        assert isinstance(outcome, Answered)
        answer = json.loads(outcome.answer.payload)
        labels = model.predict(part, lambda: False)
        assert answer["labels"] == labels.tolist()
        assert answer["cluster_ids"] == model.public_ids(labels).tolist()
        assert (answer["model"], answer["version"]) == ("blobs", "3")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.from_regex(rb'\[?\{"x": ?.*\}\]?'))
def test_no_bytes_have_an_effect_on_another_message(labeller: Labeller, data: bytes) -> None:
    messages = [message(ROW, 1), message(data, 2), message(data, 3, headers={"Content-Type": "application/x-protobuf"})]
    found = label(labeller, [*messages, message(ROW, 4)])
    assert isinstance(found[1], Answered)
    assert isinstance(found[4], Answered)
    assert not isinstance(found[2], Failed)
    assert not isinstance(found[3], Failed)


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        (b"nothing", "data", "no JSON"),
        (b"[" * 100_000, "data", "no JSON"),
        (b"7", "data", "row 0 is no object"),
        (b'[{"x": 1, "y": 2}, []]', "data", "row 1 is no object"),
        (b'{"x": 1}', "y", "row 0 has no such column"),
        (b'{"x": 1, "y": "2"}', "y", "is no number"),
        (b'{"x": 1, "y": 9007199254740993}', "y", "beyond 2^53"),
        (b'{"x": 1, "y": 1e999}', "points", "not finite"),
        (b'{"x": 1, "y": null}', "points", "not finite"),
    ],
)
def test_a_dead_letter_names_what_is_wrong(labeller: Labeller, data: bytes, field: str, text: str) -> None:
    headers = refusal(labeller, data)
    assert headers["Shoal-Field"] == field
    assert text in headers["Shoal-Message"]
    assert headers["Shoal-Reason"] == "RequestInvalid"


def test_the_senders_headers_travel_on_and_the_servers_do_not(labeller: Labeller) -> None:
    sent = {"traceparent": "00-1", "Nats-Msg-Id": "theirs", "Shoal-Version": "9", "Content-Type": "application/json"}
    (outcome,) = label(labeller, [message(ROW, 5, headers=sent)]).values()
    assert isinstance(outcome, Answered)
    assert dict(outcome.answer.headers) == {
        "traceparent": "00-1",
        "Nats-Msg-Id": "labels.readings.1700000000.5",
        "Content-Type": "application/json",
        "Shoal-Version": "3",
        "Shoal-Sequence": "5",
    }
    headers = refusal(labeller, b"x", headers=sent)
    assert (headers["traceparent"], headers["Content-Type"]) == ("00-1", "application/json")
    assert "Shoal-Version" not in headers


def test_a_version_that_a_request_names_is_not_held_against_it(labeller: Labeller) -> None:
    request = pb.ModelInferRequest(model_version="2")
    request.inputs.add(name="points", datatype="FP64", shape=[1, 2])
    request.raw_input_contents.append(np.zeros(2).tobytes())
    kind = {"Content-Type": "application/x-protobuf"}
    (outcome,) = label(labeller, [message(request.SerializeToString(), headers=kind)]).values()
    assert isinstance(outcome, Answered)
    request.model_name = "other"
    assert refusal(labeller, request.SerializeToString(), headers=kind)["Shoal-Reason"] == "ModelUnknown"


def test_what_is_the_workers_fault_is_tried_again_but_not_for_ever(
    labeller: Labeller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(labelling, "answer_request", fail)
    found = label(labeller, [message(ROW, 1), message(ROW, 2, deliveries=2), message(ROW, 3, deliveries=3)])
    assert isinstance(found[1], Failed)
    assert isinstance(found[2], Failed)
    last = found[3]
    assert isinstance(last, Refused)
    assert (last.letter.headers["Shoal-Reason"], last.code) == ("DeliveriesFailed", "INTERNAL")


class TestTheMessageThatKills:
    class Killed(BaseException):
        """The process is gone."""

    def die(self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[Message]) -> list[int]:
        """Label with a worker that dies at poison; return what was labelled before."""
        real = labelling.read_message
        done: list[int] = []

        def read(of: Model, item: Message) -> object:
            if item.data == b"poison":
                raise self.Killed
            done.append(item.lease.sequence)
            return real(of, item)

        monkeypatch.setattr(labelling, "read_message", read)
        # A process that is gone cleans nothing up.
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(self.Killed):
            build_labeller(model, tmp_path).label(messages, lambda: False)
        monkeypatch.undo()
        return done

    def test_it_alone_is_blamed(self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def batch(deliveries: int) -> list[Message]:
            return [message(data, number, deliveries=deliveries) for number, data in enumerate((ROW, b"poison", ROW))]

        self.die(model, tmp_path, monkeypatch, batch(1))
        assert self.die(model, tmp_path, monkeypatch, batch(2)) == [0]
        assert self.die(model, tmp_path, monkeypatch, batch(3)) == [0]
        found = label(build_labeller(model, tmp_path), batch(4))
        guilty = found[1]
        assert isinstance(guilty, Refused)
        assert guilty.letter.headers["Shoal-Reason"] == "WorkerDied"
        assert isinstance(found[0], Answered)
        assert isinstance(found[2], Answered)

    def test_one_death_is_an_accident(self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.die(model, tmp_path, monkeypatch, [message(b"poison", 1, deliveries=2)])
        assert not Suspects(tmp_path / "suspects").is_guilty(message(ROW, 1))

    def test_where_no_note_can_be_written_nobody_is_blamed(self, model: Model, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        labeller = build_labeller(model, tmp_path / "file")
        (outcome,) = label(labeller, [message(ROW, 1, deliveries=9)]).values()
        assert isinstance(outcome, Answered)


class TestRowsOfTexts:
    """A model with preprocessing takes texts, and what is missing where its steps can fill it in."""

    @pytest.fixture
    def mixed(self) -> Model:
        return build_model(verify_artifact(FILES, FILES.digest), name="m", version="1", machine=MACHINE)

    def test_the_answers_are_those_of_the_same_rows(self, mixed: Model, tmp_path: Path) -> None:
        frame = make_rows()
        rows = [row for row in range(frame.rows) if frame.texts["kind"][row] is not None]
        messages = [
            message(
                json.dumps(
                    {
                        "size": None if np.isnan(frame.number("size")[row]) else frame.number("size")[row],
                        "kind": frame.texts["kind"][row],
                        "y": frame.number("y")[row],
                    }
                ).encode(),
                row,
            )
            for row in rows
        ]
        found = label(build_labeller(mixed, tmp_path), messages)
        expected = mixed.predict(mixed.prepare(frame.select(np.array(rows))), lambda: False)
        answers = [outcome for outcome in found.values() if isinstance(outcome, Answered)]
        assert [json.loads(item.answer.payload)["labels"] for item in answers] == [[one] for one in expected.tolist()]

    @pytest.mark.parametrize("kind", ["null", "3", '"\\ud800"', f'"{"x" * 300}"'])
    def test_a_text_that_is_none_is_a_dead_letter(self, mixed: Model, tmp_path: Path, kind: str) -> None:
        headers = refusal(build_labeller(mixed, tmp_path), f'{{"size": 20, "kind": {kind}, "y": 1.0}}'.encode())
        assert headers["Shoal-Field"] == "kind"


def test_rows_have_the_labels_of_answers_and_tell_their_messages(model: Model, tmp_path: Path) -> None:
    points = make_table().numbers
    request = pb.ModelInferRequest()
    request.inputs.add(name="points", datatype="FP64", shape=[2, 2])
    request.raw_input_contents.append(np.array([[0.0, 0.0], [50.0, 50.0]]).astype("<f8").tobytes())
    messages = [
        message(json.dumps([{"x": x, "y": y} for x, y in points[:3].tolist()]).encode(), 7),
        message(b"[]", 8),
        message(json.dumps({"x": points[3, 0], "y": points[3, 1]}).encode(), 9, headers={"Nats-Msg-Id": "theirs"}),
        message(b"no json", 10),
        message(request.SerializeToString(), 11, headers={"Content-Type": "application/x-protobuf"}),
    ]
    form = RowForm(model, ORIGIN)
    suspects = Suspects(tmp_path / "suspects")
    labeller = Labeller(model, ORIGIN, form, suspects, batch_rows=4096, max_deliveries=3)
    outcomes = labeller.label(messages, lambda: False).outcomes
    tabled = [outcome for outcome in outcomes if isinstance(outcome, Tabled)]
    assert sum(len(outcome.messages) for outcome in tabled) == len(messages) - 1
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, Tabled)] == [Refused]
    found = pa.Table.from_batches([outcome.rows for outcome in tabled]).sort_by(
        [("sequence", "ascending"), ("row", "ascending")]
    )
    assert found["sequence"].to_pylist() == [7, 7, 7, 9, 11, 11]
    assert found["row"].to_pylist() == [0, 1, 2, 0, 0, 1]
    assert found["message_id"].to_pylist()[3] == "labels.readings.1700000000.9"
    assert found["sender_id"].to_pylist() == [None, None, None, "theirs", None, None]
    labels = model.predict(np.vstack([points[:4], [[0.0, 0.0], [50.0, 50.0]]]), lambda: False)
    assert found["label"].to_pylist() == labels.tolist()
    assert found["cluster_id"].to_pylist() == model.public_ids(labels).tolist()
    assert [distance is None for distance in found["distance"].to_pylist()] == (labels == -1).tolist()
    assert (set(found["version"].to_pylist()), set(found["digest"].to_pylist())) == ({3}, {model.digest})

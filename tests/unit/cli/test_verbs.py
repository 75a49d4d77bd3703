"""The verbs as a whole, against an API server of a few lines: what is asked, what is told when it is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from shoal_cli.__main__ import main
from shoal_cli.deployments.logs import tell
from shoal_cli.errors import ShoalError, UsageError
from shoal_cli.kubectl import complete
from shoal_cli.predict.protocol import Signature, build_request, fit_columns, read_outputs
from shoal_cli.predict.rows import Rows, read_arguments, read_file
from shoal_proto import inference_pb2 as pb
from tests.unit.cli.sights import PODS, deployment, on_trial
from tests.unit.cli.test_records import ROOT, records

__all__ = ["records"]

TOWNS = f"{ROOT}/demo/clusteringdeployments/towns"
LIST = f"{ROOT}/demo/clusteringdeployments"
PODS_OF_TOWNS = "/api/v1/namespaces/demo/pods?labelSelector=shoal.dev/deployment%3Dtowns"


@pytest.fixture
def shoal(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a verb; return exit code, output and error output."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main([*words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_status_shows_the_deployment_and_ends_with_its_code(records: dict[str, Any], shoal: Any) -> None:
    records[TOWNS], records[PODS_OF_TOWNS] = on_trial(), {"items": PODS}
    code, out, err = shoal("status", "towns", "-n", "demo")
    assert (code, err) == (0, "")
    assert "▸ hold 1 min" in out
    records[TOWNS] = deployment(
        phase="Degraded", conditions=[{"type": "Degraded", "status": "True", "reason": "RolledBack"}]
    )
    assert shoal("status", "demo/towns", "--wait")[0] == 3
    code, out, _ = shoal("watch", "demo/towns", "-o", "json")
    assert (code, json.loads(out)["phase"]) == (3, "Degraded")


def test_pods_that_may_not_be_listed_are_told_and_the_rest_is_shown(records: dict[str, Any], shoal: Any) -> None:
    records[TOWNS], records[PODS_OF_TOWNS] = deployment(), 403
    code, out, _ = shoal("status", "towns", "-n", "demo")
    assert code == 0
    assert "Healthy" in out
    assert "you may not list pods in namespace demo" in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ([deployment()], "The nearest name is towns"),
        ([{"metadata": {"name": f"abc{number}"}} for number in range(9)], "There are: abc0"),
        ([], "There is none in namespace demo"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_those_that_are(
    records: dict[str, Any], shoal: Any, held: list[Any], told: str
) -> None:
    gone = {"kind": "Status", "code": 404, "message": 'clusteringdeployments.shoal.dev "town" not found'}
    records[f"{ROOT}/demo/clusteringdeployments/town"], records[LIST] = gone, {"items": held}
    code, _, err = shoal("status", "town", "-n", "demo")
    assert code == 1
    assert f"it is not in namespace demo. {told}" in err


def test_what_the_cluster_will_not_take_must_change(records: dict[str, Any], shoal: Any) -> None:
    records[TOWNS] = {"kind": "Status", "code": 422, "message": "spec.paused: Invalid value"}
    code, _, err = shoal("status", "towns", "-n", "demo")
    assert code == 2
    assert "spec.paused: Invalid value" in err


def test_a_cluster_without_shoal_is_told(records: dict[str, Any], shoal: Any) -> None:
    records[LIST] = 404
    code, _, err = shoal("get", "-n", "demo")
    assert code == 1
    assert "does not know this kind" in err


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (403, ("you may not get clusteringdeployments.shoal.dev in namespace demo", "docs/cli.md")),
        (401, ("does not know you",)),
        (500, ("refused to get",)),
        (409, ("it changed meanwhile", "Try again")),
    ],
)
def test_a_refusal_names_verb_resource_and_namespace(
    records: dict[str, Any], shoal: Any, status: int, told: tuple[str, ...]
) -> None:
    records[TOWNS] = status
    code, _, err = shoal("promote", "towns", "-n", "demo")
    assert code == 1
    for part in told:
        assert part in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("logs",), "Name one, or add --operator"),
        (("get", "towns", "-A"), "Leave out the name or -A"),
        (("status", "towns", "--timeout", "5s"), "Add --wait or --watch"),
        (("status", "towns", "--wait", "--timeout", "soon"), "1h30m"),
        (("predict", "towns"), "either as arguments or by --file"),
        (("nope",), "See shoal --help"),
    ],
)
def test_what_is_typed_wrong_is_told(records: dict[str, Any], shoal: Any, words: tuple[str, ...], told: str) -> None:
    code, _, err = shoal(*words)
    assert code == 2
    assert told in err


@pytest.mark.parametrize(
    ("subject", "known", "rows", "told"),
    [
        ("", True, ("52.5,13.4",), 'pub SUBJECT \'{"lat": 52.5, "lon": 13.4}\' (SUBJECT being any'),
        ("readings.eu", True, ("52.5,13.4",), 'pub readings.eu \'{"lat": 52.5, "lon": 13.4}\';'),
        ("readings.>", True, ("52.5",), 'pub SUBJECT \'{"lat": 0.0, "lon": 0.0}\' (SUBJECT'),
        ("readings.eu", False, ("52.5,13.4",), "pub readings.eu '{\"COLUMN\": 0.0}';"),
    ],
    ids=["any subject", "one subject", "wrong width", "columns not known"],
)
def test_predict_tells_how_a_row_reaches_a_deployment_that_labels_a_stream(
    records: dict[str, Any], shoal: Any, subject: str, known: bool, rows: tuple[str, ...], told: str
) -> None:
    ingestion = {
        "nats": {"url": "nats://nats:4222"},
        "stream": "readings",
        "subject": subject,
        "output": {"subject": "labels"},
        "deadLetterSubject": "labels-dead",
    }
    records[TOWNS] = deployment(spec={"ingestion": ingestion})
    if known:
        columns = [{"name": name, "dtype": "FP64"} for name in ("lat", "lon")]
        records[f"{ROOT}/demo/clusteringmodelversions/cities-v3"] = {"spec": {"schema": {"columns": columns}}}
    code, _, err = shoal("predict", "towns", "-n", "demo", *rows)
    text = " ".join(err.split())
    assert code == 1
    assert "demo/towns: it answers no calls, for it takes its rows from the stream readings" in text
    assert f"nats -s nats://nats:4222 {told}" in text


def test_get_counts_pods_by_one_listing(records: dict[str, Any], shoal: Any) -> None:
    records[LIST] = {"items": [deployment(message="Too long. " * 50), on_trial()]}
    records["/api/v1/namespaces/demo/pods?labelSelector=shoal.dev/deployment"] = {"items": PODS}
    code, out, _ = shoal("get", "-n", "demo")
    assert code == 0
    assert out.count("towns") == 2
    assert "3/3" in out
    assert "cities @ latest" in out
    assert len(out.splitlines()) == 6, "one line each, however long the message"


def test_names_are_completed_for_kubectl(
    records: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records[LIST] = {"items": [deployment()]}
    records[f"{ROOT}/demo/clusteringbatches"] = {"items": [{"metadata": {"name": "nightly"}}]}
    records[f"{ROOT}/demo/clusteringmodels"] = {"items": [{"metadata": {"name": "cities"}}]}
    for words, offered in (
        (["status", "-n", "demo", ""], "towns"),
        (["prom"], "promote"),
        (["status", "-n", "x", ""], ""),
        (["batch", "show", "-n", "demo", "ni"], "nightly"),
        (["models", "latest", "-n", "demo", ""], "cities"),
    ):
        monkeypatch.setattr("sys.argv", ["kubectl_complete-shoal", *words])
        monkeypatch.setenv("_SHOAL_COMPLETE", "")
        monkeypatch.setenv("COMP_WORDS", "")
        monkeypatch.setenv("COMP_CWORD", "")
        complete()
        assert capsys.readouterr().out.split() == [*([offered] if offered else []), ":4"]


# Logs


def test_a_log_line_is_shown_with_time_level_event_and_fields() -> None:
    line = {"timestamp": "2026-01-01T12:00:01.5Z", "level": "warning", "event": "no metrics", "pod": "p", "n": [1]}
    assert tell(json.dumps(line)).plain == "12:00:01 warning no metrics pod=p n=[1]"


@pytest.mark.parametrize("line", ["plain text", "[1]", '{"no": "event"}', '"event"', ""])
def test_any_other_line_is_shown_as_it_is(line: str) -> None:
    assert tell(line).plain == line


# Rows and the protocol


def test_rows_are_put_in_the_model_s_order_by_name(tmp_path: Any) -> None:
    (tmp_path / "x.csv").write_text("b,name,a\n1,u,2\n3,v,4\n")
    rows = read_file(str(tmp_path / "x.csv")).choose(["a", "b"])
    assert [values.tolist() for _, values in rows.columns] == [[2, 4], [1, 3]]
    assert [len(part) for part in rows.slices(1)] == [1, 1]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda _: read_arguments(["1,2", "1"]), "the first row has 2"),
        (lambda _: read_arguments(["1,2"]).choose(["a", "b", "c"]), "the model takes 3 columns"),
        (lambda path: read_file(str(path / "x.txt")), "tells no format"),
        (lambda path: read_file(str(path / "none.parquet")), "cannot be read"),
        (lambda path: read_file(_write(path, "x.parquet", b"no")), "cannot be read"),
        (lambda path: read_file(_write(path, "x.csv", b"a,b\n1,\n2,3\n")), "1 values are missing"),
        (lambda path: read_file(_write(path, "x.csv", b"a,b\n1,2\n")).choose(["z"]), "column z is not in the file"),
        (lambda path: read_file(_save(path, np.zeros(3))), "1 dimensions"),
        (lambda path: read_file(_save(path, np.array([[object()]]))), "cannot be read"),
    ],
)
def test_rows_that_are_none_are_told(tmp_path: Any, make: Any, told: str) -> None:
    with pytest.raises(ShoalError, match=told):
        make(tmp_path)


def test_texts_and_numbers_travel_as_the_protocol_has_them() -> None:
    rows = Rows((("kind", np.array(["a", "bé"], object)), ("x", np.array([1, 2]))), named=True)
    signature = Signature((("kind", "BYTES"), ("x", "FP64")), None, ("labels", "cluster_ids"))
    request = build_request("m", "3", rows, signature)
    assert [output.name for output in request.outputs] == ["labels", "cluster_ids"]
    assert request.raw_input_contents[0] == b"\x01\x00\x00\x00a\x03\x00\x00\x00b\xc3\xa9"
    assert np.frombuffer(request.raw_input_contents[1]).tolist() == [1.0, 2.0]
    matrix = build_request("m", "", read_arguments(["1,2", "3,4"]), Signature((), 2, ("labels",)))
    assert np.frombuffer(matrix.raw_input_contents[0]).reshape(2, 2).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(UsageError, match="it is no number"):
        build_request("m", "", read_arguments(["1,north"]), Signature((), 2, ("labels",)))


def test_columns_are_those_of_the_model_by_whatever_tells_them() -> None:
    typed = read_arguments(["1,2"])
    named = Rows((("b", np.array([2.0])), ("a", np.array([1.0]))), named=True)
    matrix, tensors = Signature((), 2, ()), Signature((("a", "FP64"), ("b", "FP64")), None, ())
    assert fit_columns(typed, matrix, ()).names == ["0", "1"]
    assert fit_columns(typed, matrix, ("a", "b")).names == ["a", "b"]
    assert fit_columns(named, matrix, ("a", "b")).names == ["a", "b"]
    assert fit_columns(named, matrix, ()).names == ["b", "a"]
    assert fit_columns(named, tensors, ()).names == ["a", "b"]
    with pytest.raises(UsageError, match="the model takes 3 columns and the file has 2"):
        fit_columns(named, Signature((), 3, ()), ())


def test_an_answer_that_does_not_fit_its_question_is_an_error() -> None:
    response = pb.ModelInferResponse(raw_output_contents=[np.array([1, 2], "<i4").tobytes()])
    response.outputs.add(name="labels", datatype="INT32", shape=[2])
    assert read_outputs(response, 2, ["labels"])["labels"].tolist() == [1, 2]
    for rows, wanted in ((3, ["labels"]), (2, ["strengths"])):
        with pytest.raises(ShoalError, match=f"no {rows} values"):
            read_outputs(response, rows, wanted)


def _write(path: Any, name: str, content: bytes) -> str:
    (path / name).write_bytes(content)
    return str(path / name)


def _save(path: Any, array: Any) -> str:
    np.save(path / "x.npy", array)
    return str(path / "x.npy")

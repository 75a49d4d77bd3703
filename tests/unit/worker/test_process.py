"""The real process from outside: a client that Shoal did not write gets the right answers; it ends as it should."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceStub
from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.model import build_model
from shoal_worker.serving.priority import NICER_BY
from tests.serving import CALL_SECONDS, COMMAND, environment, run_worker
from tests.unit.worker.harness import MACHINE, make_table

# In a process of its own: both packages define the protocol's messages, and a process can hold one definition only.
CLIENT = """
import json, sys
import numpy as np
import tritonclient.grpc as triton
client = triton.InferenceServerClient(sys.argv[1])
points = np.array(json.load(sys.stdin))
answers = {}
for datatype, dtype in (("FP64", np.float64), ("FP32", np.float32)):
    tensor = triton.InferInput("points", list(points.shape), datatype)
    tensor.set_data_from_numpy(points.astype(dtype))
    result = client.infer("blobs", [tensor], model_version="3", request_id="r1")
    answers[datatype] = result.as_numpy("labels").tolist()
metadata = client.get_model_metadata("blobs")
answers["ready"] = client.is_server_live() and client.is_server_ready() and client.is_model_ready("blobs")
answers["inputs"] = [[tensor.name, tensor.datatype, list(tensor.shape)] for tensor in metadata.inputs]
try:
    client.infer("other", [tensor])
except triton.InferenceServerException as error:
    answers["unknown"] = error.status()
print(json.dumps(answers))
"""


def test_tritonclient_gets_the_labels_of_the_model(stored: Path, files: ArtifactFiles, tmp_path: Path) -> None:
    points = make_table().numbers
    model = build_model(verify_artifact(files, files.digest), name="blobs", version="3", machine=MACHINE)
    expected = model.predict(points, lambda: False).tolist()
    with run_worker(environment(stored, files.digest, tmp_path), tmp_path) as worker:
        answers = ask(f"127.0.0.1:{worker.grpc_port}", points)
    assert answers["FP64"] == expected
    assert answers["FP32"] == expected
    assert answers["ready"] is True
    assert answers["inputs"] == [["points", "FP64", [-1, 2]]]
    assert answers["unknown"] == "StatusCode.NOT_FOUND"


def test_a_corrupt_artifact_ends_the_process_with_a_report(stored: Path, files: ArtifactFiles, tmp_path: Path) -> None:
    (stored / "model.safetensors").write_bytes(files.model[:-1])
    done = subprocess.run(
        COMMAND,
        env=environment(stored, files.digest, tmp_path),
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    report = json.loads((tmp_path / "report").read_text())
    assert (report["outcome"], report["reason"], report["transient"]) == ("Failed", "DigestMismatch", False)


def test_a_worker_that_waits_for_its_store_ends_cleanly(stored: Path, files: ArtifactFiles, tmp_path: Path) -> None:
    variables = environment(stored, files.digest, tmp_path, ARTIFACT_URI="s3://models/a")
    variables |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true"}
    with run_worker(variables, tmp_path, until="artifact not loaded"):
        pass  # Its end is what is tested.


def test_the_event_loop_goes_before_the_threads_that_call_it(
    stored: Path, files: ArtifactFiles, tmp_path: Path
) -> None:
    request = pb.ModelInferRequest(model_name="blobs", raw_input_contents=[bytes(16 * 200_000)])
    request.inputs.add(name="points", datatype="FP64", shape=[200_000, 2])
    with run_worker(environment(stored, files.digest, tmp_path, THREADS="1"), tmp_path) as worker:
        with worker.open_channel() as channel:
            # Long enough for a thread of its own.
            GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=CALL_SECONDS)
        niceness = read_niceness(worker.process.pid)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    loop = niceness.pop(worker.process.pid)
    assert loop == ("python", own)
    assert {nice for name, nice in niceness.values() if name == "event_engine"} == {min(own + NICER_BY, 19)}
    # The one that labels begins later, and is as the loop is.
    assert own in {nice for _, nice in niceness.values()}


def read_niceness(process: int) -> dict[int, tuple[str, int]]:
    """Name and niceness of each thread."""
    found = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        found[int(task.name)] = (name, int(rest.split()[16]))
    return found


def ask(target: str, points: np.ndarray) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, target],
        input=json.dumps(points.tolist()),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers: dict[str, object] = json.loads(done.stdout)
    return answers

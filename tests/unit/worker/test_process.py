"""The real process from outside: a client that Shoal did not write gets the right answers; it ends as it should."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from shoal_worker.artifact.files import ArtifactFiles, verify_artifact
from shoal_worker.model import build_model
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
    environment = serve_environment(stored, files, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "shoal_worker", "serve"], env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr
            listening = json.loads(server.stderr.readline())
            wait_until_ready(listening["metrics_port"])
            answers = ask(f"127.0.0.1:{listening['grpc_port']}", points)
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=10) == 0
    assert answers["FP64"] == expected
    assert answers["FP32"] == expected
    assert answers["ready"] is True
    assert answers["inputs"] == [["points", "FP64", [-1, 2]]]
    assert answers["unknown"] == "StatusCode.NOT_FOUND"


def test_a_corrupt_artifact_ends_the_process_with_a_report(stored: Path, files: ArtifactFiles, tmp_path: Path) -> None:
    (stored / "model.safetensors").write_bytes(files.model[:-1])
    done = subprocess.run(
        [sys.executable, "-m", "shoal_worker", "serve"],
        env=serve_environment(stored, files, tmp_path),
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    report = json.loads((tmp_path / "report").read_text())
    assert (report["outcome"], report["reason"], report["transient"]) == ("Failed", "DigestMismatch", False)


def test_a_worker_that_waits_for_its_store_ends_cleanly(stored: Path, files: ArtifactFiles, tmp_path: Path) -> None:
    environment = serve_environment(stored, files, tmp_path) | {
        "SHOAL_ARTIFACT_URI": "s3://models/a",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "shoal_worker", "serve"], env=environment, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr
            assert json.loads(server.stderr.readline())["event"] == "listening"
            assert json.loads(server.stderr.readline())["event"] == "artifact not loaded"
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=10) == 0


def serve_environment(stored: Path, files: ArtifactFiles, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SHOAL_MODEL_NAME": "blobs",
        "SHOAL_MODEL_VERSION": "3",
        "SHOAL_ARTIFACT_URI": f"file://{stored}",
        "SHOAL_ARTIFACT_DIGEST": files.digest,
        "SHOAL_FILE_ROOT": str(tmp_path),
        "SHOAL_CACHE_DIR": str(tmp_path / "cache"),
        "SHOAL_REPORT_PATH": str(tmp_path / "report"),
        "SHOAL_BIND_ADDRESS": "127.0.0.1",
        "SHOAL_GRPC_PORT": "0",
        "SHOAL_METRICS_PORT": "0",
        "SHOAL_INTERNAL_PORT": "0",
        "SHOAL_HEALTH_PORT": "0",
        "SHOAL_DRAIN_DELAY_SECONDS": "0",
    }


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


def wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
        except urllib.error.HTTPError as error:
            error.close()
            assert time.monotonic() < deadline
            time.sleep(0.02)

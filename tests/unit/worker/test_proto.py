"""The protocol is the public one, and its stubs are those of the .proto file."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DESCRIBE = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
def fields(message):
    found = {f"{message.full_name}.{field.name}": [field.number, field.type] for field in message.fields}
    for nested in message.nested_types:
        found |= fields(nested)
    return found
service = module.DESCRIPTOR.pool.FindServiceByName("inference.GRPCInferenceService")
described = {method.name: fields(method.input_type) | fields(method.output_type) for method in service.methods}
for name in ("InferParameter", "InferTensorContents"):
    described[name] = fields(module.DESCRIPTOR.message_types_by_name[name])
print(json.dumps(described))
"""


def describe(module: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE, module], capture_output=True, text=True, check=True, timeout=60
    )
    described: dict[str, object] = json.loads(done.stdout)
    return described


def test_names_and_numbers_are_those_of_an_independent_client() -> None:
    ours = describe("shoal_proto.inference_pb2")
    theirs = describe("tritonclient.grpc.service_pb2")
    assert set(ours) <= set(theirs)
    assert ours == {name: theirs[name] for name in ours}


def test_the_stubs_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "hack/generate_proto.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr

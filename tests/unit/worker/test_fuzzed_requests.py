"""Requests damaged at random: each is answered or refused in words. `make fuzz-requests` runs a million of them."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal_proto import inference_pb2 as pb
from tests.fuzz_requests.judging import ALLOWED, OK, outcome_of
from tests.fuzz_requests.mutating import mutate
from tests.fuzz_requests.targets import Target, make_targets


@pytest.fixture(scope="module")
def targets() -> tuple[Target, ...]:
    return make_targets()


def test_undamaged_requests_are_answered(targets: tuple[Target, ...]) -> None:
    for target in targets:
        for request in target.requests:
            assert outcome_of(target.model, request.SerializeToString()) == OK


def test_damaged_requests_are_answered_or_refused(targets: tuple[Target, ...]) -> None:
    seen = set()
    for case in range(20_000):
        random = Random(case)
        target = targets[case % len(targets)]
        content = mutate(random, random.choice(target.requests), random.choice(target.requests))
        seen.add(outcome_of(target.model, content))
    assert {OK, "INVALID_ARGUMENT", "NOT_FOUND"} <= seen <= ALLOWED


TENSORS = st.builds(
    pb.ModelInferRequest.InferInputTensor,
    name=st.sampled_from(["points", "size", "kind", "y", ""]),
    datatype=st.sampled_from(["FP64", "FP32", "INT64", "UINT8", "BOOL", "BYTES", "FP16"]),
    shape=st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 4), max_size=3),
    contents=st.none()
    | st.builds(
        pb.InferTensorContents,
        fp64_contents=st.lists(st.floats(), max_size=4),
        int64_contents=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
        bytes_contents=st.lists(st.binary(max_size=8), max_size=4),
    ),
)
REQUESTS = st.builds(
    pb.ModelInferRequest,
    model_name=st.just("blobs"),
    id=st.text(max_size=8),
    inputs=st.lists(TENSORS, max_size=4),
    outputs=st.lists(
        st.builds(
            pb.ModelInferRequest.InferRequestedOutputTensor,
            name=st.sampled_from(["labels", "strengths", "cluster_ids", "x"]),
        ),
        max_size=2,
    ),
    raw_input_contents=st.lists(st.binary(max_size=40), max_size=4),
)


@given(message=REQUESTS, column_wise=st.booleans())
def test_any_message_of_the_protocol_is_answered_or_refused(
    message: pb.ModelInferRequest, column_wise: bool, targets: tuple[Target, ...]
) -> None:
    assert outcome_of(targets[column_wise].model, message.SerializeToString()) in ALLOWED


@given(content=st.binary(max_size=200))
def test_any_bytes_are_answered_or_refused(content: bytes, targets: tuple[Target, ...]) -> None:
    assert outcome_of(targets[0].model, content) in ALLOWED

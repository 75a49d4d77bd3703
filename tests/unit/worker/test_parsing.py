"""What is parsed and what is refused before: by the number of fields, wherever they are nested."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_proto import inference_pb2 as pb
from shoal_worker.errors import RequestInvalid
from shoal_worker.serving.parsing import has_few_fields, parse_request

INPUTS, CONTENTS, TEXTS = 5, 5, 8
NESTED = {INPUTS: {CONTENTS: {}}}


def make_request(inputs: int, texts: int) -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="blobs")
    for _ in range(inputs):
        request.inputs.add(name="x").contents.bytes_contents.extend([b"a"] * texts)
    return request


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 5))
def test_fields_are_counted_wherever_they_are(inputs: int, texts: int) -> None:
    content = make_request(inputs, texts).SerializeToString()
    # The model's name; for each input itself, its name, its contents, and each text.
    fields = 1 + inputs * (3 + texts)
    assert has_few_fields(content, NESTED, fields)
    assert not has_few_fields(content, NESTED, fields - 1)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_are_looked_at_without_failing(content: bytes, most: int) -> None:
    assert has_few_fields(content, NESTED, most) in (True, False)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_what_is_parsed_has_no_more_fields_than_bytes(content: bytes) -> None:
    assert has_few_fields(content, NESTED, len(content))


@pytest.mark.parametrize("part", [b"\x2a\x00", b"\x32\x00", b"\x08\x01", b"\x7b", b"\xfa\x7f\x00"])
def test_a_message_of_too_many_fields_is_not_parsed(part: bytes) -> None:
    with pytest.raises(RequestInvalid, match="more than 100,000 fields") as refusal:
        parse_request(pb.ModelInferRequest, part * 100_001)
    assert "raw_input_contents" in refusal.value.remedy


def test_many_values_in_few_fields_are_parsed() -> None:
    request = pb.ModelInferRequest(model_name="blobs", raw_input_contents=[bytes(1 << 20)])
    request.inputs.add(name="points").contents.fp64_contents.extend([0.5] * 200_000)
    assert parse_request(pb.ModelInferRequest, request.SerializeToString()) == request

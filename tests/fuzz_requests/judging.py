"""What becomes of the bytes of a request in a worker: everything that the servicer does to them but the transport."""

from __future__ import annotations

import warnings

from shoal_proto import inference_pb2 as pb
from shoal_worker.errors import RequestRefused, shorten
from shoal_worker.model import Model
from shoal_worker.serving.answering import answer_request
from shoal_worker.serving.inference import check_target, declared_rows
from shoal_worker.serving.parsing import parse_request

OK = "OK"
ALLOWED = frozenset({OK, "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"})
_MESSAGE_LIMIT = 1000


def outcome_of(model: Model, content: bytes) -> str:
    """The status of the answer; whatever is raised but a RequestRefused is a bug.

    A refusal's words can be sent, and an answer has as many labels as the request said rows.
    """
    try:
        request = parse_request(pb.ModelInferRequest, content)
        check_target(model, request.model_name, request.model_version)
        rows = declared_rows(request)
        assert rows <= max(len(content), 10_000), "rows are believed that the bytes cannot hold"
        with warnings.catch_warnings():
            # What numpy warns of was not checked before it was computed with.
            warnings.simplefilter("error")
            answer = answer_request(model, request, lambda: False)
        answer.response.SerializeToString()
    except RequestRefused as refusal:
        # What the transport does to the words; a lone surrogate could not be sent.
        shorten(refusal, _MESSAGE_LIMIT).encode()
        return refusal.code
    assert len(answer.labels) == rows, "other labels than rows"
    return OK

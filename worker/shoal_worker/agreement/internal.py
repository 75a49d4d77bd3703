"""The worker's internal HTTP port: POST /answer and POST /compare, for its own operator and its own other pods.

Invariant: bodies are bounded, whatever is wrong ends as JSON with a reason, and nothing here is counted among, waits
with, or takes a thread from users' calls. Who may reach the port is told only aggregates of what others sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from shoal_proto import inference_pb2 as pb
from shoal_worker.agreement.asking import DIGEST_HEADER, OUT_OF_REACH, PROTOBUF, VERSION_HEADER, Identity
from shoal_worker.agreement.background import Background, Pause
from shoal_worker.agreement.comparing import Comparer, Comparison
from shoal_worker.errors import ComparisonFailed, ModelNotReady, RequestInvalid, RequestRefused, WorkerError, shorten
from shoal_worker.model import Model
from shoal_worker.serving.answering import answer_request
from shoal_worker.serving.inference import check_target
from shoal_worker.serving.parsing import parse_request
from shoal_worker.serving.state import ServingState

MOST_BODY_BYTES = 2 << 20
MOST_WAITING = 8
"""Answers that are waited for at once; more are refused."""
_BODY_SECONDS = 10.0
_ANSWER_SECONDS = 20.0
_MESSAGE_LIMIT = 500

_STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "UNAVAILABLE": 503,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 504,
}
_COMPARISON_STATUS = {"TooFewRows": 409, "CandidateMismatch": 409, "Busy": 409, "CandidateUnreachable": 502}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class _Version(_Part):
    version: str = Field(min_length=1, max_length=20)
    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$")


class CompareRequest(_Part):
    """The body of POST /compare."""

    candidate: _Version
    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 2000
    deadline_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0


def build_internal_app(state: ServingState, background: Background, comparer: Comparer | None) -> web.Application:
    """The two routes; without a comparer nothing is ever compared."""
    waiting = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal waiting
        model = _require_ready(state)
        if waiting >= MOST_WAITING:
            raise ComparisonFailed(f"{waiting} answers are waited for already", reason="Busy", remedy="Retry later")
        waiting += 1
        try:
            message = parse_request(pb.ModelInferRequest, await _read_body(request))
            check_target(model, message.model_name, message.model_version)
            async with asyncio.timeout(_ANSWER_SECONDS):
                content = await background.run(lambda pause: _answer(model, message, pause))
        finally:
            waiting -= 1
        return web.Response(body=content, content_type=PROTOBUF)

    async def compare(request: web.Request) -> web.Response:
        model = _require_ready(state)
        asked = _parse_asked(await _read_body(request))
        if comparer is None:
            raise ComparisonFailed(
                "no requests are kept",
                reason="TooFewRows",
                remedy="Set SHOAL_COMPARE_URL, and SHOAL_RESERVOIR_ROWS above 0",
            )
        candidate = Identity(asked.candidate.version, asked.candidate.digest)
        compared = await comparer.compare(model, candidate, asked.max_rows, asked.deadline_seconds)
        return web.json_response(_told(compared))

    @web.middleware
    async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except WorkerError as error:
            response = _failed(error)
        except TimeoutError:
            response = _problem(504, "DeadlinePassed", "it took too long")
        except web.HTTPException as error:
            response = _problem(error.status, "RequestInvalid", error.reason)
        except Exception:
            _log.exception("an internal request failed", path=request.path)
            response = _problem(500, "Internal", "internal error of the worker; its log has the details")
        if model := state.model:
            response.headers[VERSION_HEADER] = model.version
            response.headers[DIGEST_HEADER] = model.digest
        return response

    app = web.Application(client_max_size=MOST_BODY_BYTES, middlewares=[explain])
    app.add_routes([web.post("/answer", answer), web.post("/compare", compare)])
    return app


def _require_ready(state: ServingState) -> Model:
    if state.ready:
        return state.require_model()
    raise ModelNotReady(state.explanation, remedy="Ask a pod that is ready")


async def _read_body(request: web.Request) -> bytes:
    async with asyncio.timeout(_BODY_SECONDS):
        return await request.read()


def _parse_asked(content: bytes) -> CompareRequest:
    try:
        return CompareRequest.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise RequestInvalid(
            problem["msg"], field=shorten(place) or "body", remedy="Send candidate, maxRows and deadlineSeconds as JSON"
        ) from None


def _answer(model: Model, request: pb.ModelInferRequest, pause: Pause) -> bytes:
    """What ModelInfer answers, and beside it the rows out of reach where the model knows and values are raw."""

    def cancelled() -> bool:
        pause()
        return False

    answer = answer_request(model, request, cancelled)
    response = answer.response
    if model.ranges is not None and request.raw_input_contents:
        response.outputs.add(name=OUT_OF_REACH, datatype="BOOL", shape=[len(answer.points)])
        response.raw_output_contents.append(model.ranges.find_outside(answer.points).tobytes())
    return response.SerializeToString()


def _told(compared: Comparison) -> dict[str, Any]:
    told = asdict(compared)
    return _camel({**told.pop("stable"), **told.pop("figures"), **told})


def _camel(fields: dict[str, Any]) -> dict[str, Any]:
    return {to_camel(name): _camel_within(value) for name, value in fields.items()}


def _camel_within(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_camel_within(part) for part in value]
    return _camel(value) if isinstance(value, dict) else value


def _failed(error: WorkerError) -> web.Response:
    if isinstance(error, ComparisonFailed):
        more = {"rows": error.rows, "refused": error.refused}
        return _problem(_COMPARISON_STATUS[error.reason], error.reason, str(error), **more)
    status = _STATUS[error.code] if isinstance(error, RequestRefused) else 500
    return _problem(status, error.reason, str(error))


def _problem(status: int, reason: str, message: str, **more: int) -> web.Response:
    return web.json_response({"reason": reason, "message": shorten(message, _MESSAGE_LIMIT), **more}, status=status)

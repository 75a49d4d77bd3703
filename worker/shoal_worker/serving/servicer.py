"""The gRPC face of the Open Inference Protocol: a thin translation, and the only map from errors to statuses.

Invariant: each call ends in a response or in the status of a RequestRefused; INTERNAL is a bug, logged with its
traceback. A ModelInfer call is counted exactly once. No numbers are looked at here.
"""

# ruff: noqa: N802, ARG002 - names and signatures are those of the generated base class
import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import grpc
import structlog
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from shoal_proto import inference_pb2 as pb
from shoal_proto.inference_pb2_grpc import GRPCInferenceServiceServicer
from shoal_worker import __version__
from shoal_worker.agreement.keeping import Keeper
from shoal_worker.errors import DeadlinePassed, ModelNotReady, Overloaded, RequestInvalid, RequestRefused, shorten
from shoal_worker.serving.answering import answer_request
from shoal_worker.serving.dispatch import Dispatcher, is_short
from shoal_worker.serving.inference import build_metadata, check_target, declared_rows
from shoal_worker.serving.metrics import Metrics
from shoal_worker.serving.parsing import parse_request
from shoal_worker.serving.state import ServingState

SERVER_NAME = "shoal-worker"
# A status message travels in a header, whose size is limited.
_MESSAGE_LIMIT = 1000
TENANT_KEY = "shoal-tenant"
# gRPC's own retries heed it: the milliseconds to wait, or a negative number for "not again".
_PUSHBACK_KEY = "grpc-retry-pushback-ms"
_LONGEST_PUSHBACK_SECONDS = 10.0

INFERENCE_SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]

_log = structlog.get_logger(__name__)


Context = grpc.aio.ServicerContext[Message, Message]


@dataclass(frozen=True, slots=True)
class _Malformed:
    """Stands for a request whose bytes are no message."""

    refusal: RequestInvalid


class InferenceServicer(GRPCInferenceServiceServicer):
    """Answers inference.GRPCInferenceService from the serving state."""

    def __init__(
        self,
        state: ServingState,
        dispatcher: Dispatcher,
        metrics: Metrics,
        keeper: Keeper | None,
        *,
        max_request_seconds: float,
    ) -> None:
        self._state = state
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._keeper = keeper
        self._longest = max_request_seconds

    def guard(self, name: str) -> Callable[[Message | _Malformed, Context], Awaitable[Message]]:
        """The method of that name, behind a check that there is a request at all."""
        method = getattr(self, name)
        if name == "ModelInfer":
            # It looks itself: one more coroutine around it would be felt in every call.
            answering: Callable[[Message | _Malformed, Context], Awaitable[Message]] = method
            return answering

        async def guarded(request: Message | _Malformed, context: Context) -> Message:
            if isinstance(request, _Malformed):
                await _abort(context, request.refusal)
            answer: Message = await method(request, context)
            return answer

        return guarded

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> pb.ServerLiveResponse:
        """Whoever reads the answer knows that the event loop turns."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> pb.ServerReadyResponse:
        """Is there a verified model, and no drain?"""
        return pb.ServerReadyResponse(ready=self._state.ready)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> pb.ServerMetadataResponse:
        """Name and version of this server; it has no extensions."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=__version__)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> pb.ModelReadyResponse:
        """Like ServerReady, for the one model that is served."""
        try:
            check_target(self._state.require_model(), request.name, request.version)
        except ModelNotReady:
            return pb.ModelReadyResponse(ready=False)
        except RequestRefused as error:
            await _abort(context, error)
        return pb.ModelReadyResponse(ready=self._state.ready)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> pb.ModelMetadataResponse:
        """Names, types and shapes of the model's tensors."""
        try:
            model = self._state.require_model()
            check_target(model, request.name, request.version)
        except RequestRefused as error:
            await _abort(context, error)
        return build_metadata(model)

    async def ModelInfer(self, request: pb.ModelInferRequest | _Malformed, context: Context) -> pb.ModelInferResponse:
        """Label points."""
        started = time.perf_counter()
        code = "OK"
        try:
            if isinstance(request, _Malformed):
                raise request.refusal
            model = self._state.require_model()
            check_target(model, request.model_name, request.model_version)
            remaining = context.time_remaining()
            if remaining is not None and remaining <= 0:
                raise DeadlinePassed("the deadline passed before the call's turn", remedy="Allow more time")
            rows = declared_rows(request)
            expected = rows * model.seconds_per_row
            if rows <= model.loop_rows and is_short(expected):
                # Whoever else waits: the event loop is its queue.
                answer = answer_request(model, request, _never)
            else:
                answer = await self._dispatcher.run(
                    partial(answer_request, model, request),
                    self._longest if remaining is None else min(remaining, self._longest),
                    expected,
                    _tenant(context),
                )
            self._metrics.record_rows(len(answer.labels), answer.noise, answer.out_of_reach)
            if self._keeper is not None:
                self._keeper.offer(model, request, answer)
            return answer.response
        except RequestRefused as error:
            code = error.code
            if isinstance(error, Overloaded):
                self._metrics.record_refusal(error.reason)
            await _abort(context, error)
        except asyncio.CancelledError:
            # gRPC cancels the handler when the client goes away and when its deadline passes.
            remaining = context.time_remaining()
            code = "DEADLINE_EXCEEDED" if remaining is not None and remaining <= 0 else "CANCELLED"
            raise
        except Exception:
            code = "INTERNAL"
            _log.exception(
                "ModelInfer failed", request_bytes=0 if isinstance(request, _Malformed) else request.ByteSize()
            )
            await context.abort(grpc.StatusCode.INTERNAL, "internal error of the worker; its log has the details")
        finally:
            self._metrics.record_call(code, time.perf_counter() - started)


def build_handler(servicer: InferenceServicer) -> grpc.GenericRpcHandler:
    """Bind the service's methods. Unlike generated code it answers bytes that do not parse with INVALID_ARGUMENT."""
    methods = {
        method.name: grpc.unary_unary_rpc_method_handler(
            servicer.guard(method.name),
            request_deserializer=_tolerant(GetMessageClass(method.input_type)),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in INFERENCE_SERVICE.methods
    }
    return grpc.method_handlers_generic_handler(INFERENCE_SERVICE.full_name, methods)


def _tolerant(kind: type[Message]) -> Callable[[bytes], Message | _Malformed]:
    def parse(content: bytes) -> Message | _Malformed:
        try:
            return parse_request(kind, content)
        except RequestInvalid as refusal:
            return _Malformed(refusal)

    return parse


def _never() -> bool:
    return False


async def _abort(context: Context, error: RequestRefused) -> NoReturn:
    pushback = ((_PUSHBACK_KEY, _pushback(error.retry_after)),) if isinstance(error, Overloaded) else ()
    await context.abort(grpc.StatusCode[error.code], shorten(error, _MESSAGE_LIMIT), pushback)
    raise AssertionError("abort returned")


def _pushback(seconds: float | None) -> str:
    if seconds is None:
        return "-1"
    # Spread, so that the refused do not come back together.
    spread = random.uniform(0.5, 1.5)  # noqa: S311 - no secret
    return str(round(1000 * min(seconds, _LONGEST_PUSHBACK_SECONDS) * spread) + 1)


def _tenant(context: Context) -> str:
    """Whom the call is for; the empty name where it does not say."""
    for key, value in context.invocation_metadata() or ():
        if key == TENANT_KEY and isinstance(value, str):
            return value
    return ""

"""Labels a batch of messages with the code that answers gRPC calls; run by `consumer` in a thread.

Invariant: every message of a batch is in exactly one outcome, and no message has an effect on another's: rows that are
refused together are asked for one message at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog

from shoal_proto import inference_pb2 as pb
from shoal_worker.errors import DeadlinePassed, MessageRefused, RequestRefused, WorkerError
from shoal_worker.model import Cancelled, Model
from shoal_worker.serving.answering import Answer, answer_request
from shoal_worker.streaming.answers import Origin, build_dead_letter
from shoal_worker.streaming.formats import Row, Rows, build_request, read_message
from shoal_worker.streaming.forms import Form
from shoal_worker.streaming.message import Message
from shoal_worker.streaming.outcomes import Failed, Outcome, Refused
from shoal_worker.streaming.suspects import Suspects

T = TypeVar("T")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Labelled:
    """What became of a batch."""

    outcomes: list[Outcome] = field(default_factory=list)
    answers: list[tuple[pb.ModelInferRequest, Answer]] = field(default_factory=list)
    """The requests that were made of it, for the metrics and to be compared with a candidate's answers."""


class Labeller:
    """Labels for one stream with one model."""

    def __init__(
        self, model: Model, origin: Origin, form: Form, suspects: Suspects, *, batch_rows: int, max_deliveries: int
    ) -> None:
        self._model = model
        self._form = form
        self._origin = origin
        self._suspects = suspects
        self._batch_rows = batch_rows
        self._max_deliveries = max_deliveries

    def label(self, messages: Sequence[Message], cancelled: Cancelled) -> Labelled:
        """Give each message its outcome. What was delivered before is labelled alone: it may be what kills workers."""
        found = Labelled()
        self._label(found, [message for message in messages if not message.redelivered], cancelled)
        for message in (message for message in messages if message.redelivered):
            if self._suspects.is_guilty(message):
                error = MessageRefused(
                    "the worker died each time it labelled this message",
                    reason="WorkerDied",
                    remedy="See why the pods ended, such as OutOfMemory, and send fewer rows in a message",
                )
                found.outcomes.append(self._refuse(message, error, "INTERNAL"))
                continue
            with self._suspects.watch(message):
                self._label(found, [message], cancelled)
        return found

    def _label(self, found: Labelled, messages: Iterable[Message], cancelled: Cancelled) -> None:
        waiting: list[tuple[Message, list[Row]]] = []
        rows = 0
        for message in messages:
            content = self._attempt(found, message, partial(read_message, self._model, message))
            if isinstance(content, Rows):
                waiting.append((message, content.rows))
                rows += len(content.rows)
            elif content is not None:
                self._answer_one(found, message, content, cancelled)
            if rows >= self._batch_rows:
                self._answer_rows(found, waiting, cancelled)
                waiting, rows = [], 0
        self._answer_rows(found, waiting, cancelled)

    def _answer_rows(self, found: Labelled, waiting: Sequence[tuple[Message, list[Row]]], cancelled: Cancelled) -> None:
        """Answer the rows of several messages by one request; one by one where that is refused."""
        if not waiting:
            return
        request = build_request(self._model, [row for _, rows in waiting for row in rows])
        try:
            answer = answer_request(self._model, request, cancelled)
            outcomes = self._form.write([message for message, _ in waiting], [len(rows) for _, rows in waiting], answer)
        except Exception as error:
            if len(waiting) > 1:
                for item in waiting:
                    self._answer_rows(found, [item], cancelled)
            else:
                self._give_up(found, waiting[0][0], error)
            return
        found.answers.append((request, answer))
        found.outcomes += outcomes

    def _answer_one(
        self, found: Labelled, message: Message, request: pb.ModelInferRequest, cancelled: Cancelled
    ) -> None:
        def work() -> tuple[Answer, Outcome]:
            answer = answer_request(self._model, request, cancelled)
            return answer, self._form.write_one(message, answer)

        if (made := self._attempt(found, message, work)) is not None:
            answer, outcome = made
            found.answers.append((request, answer))
            found.outcomes.append(outcome)

    def _attempt(self, found: Labelled, message: Message, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except Exception as error:
            self._give_up(found, message, error)
            return None

    def _give_up(self, found: Labelled, message: Message, error: Exception) -> None:
        """Refuse what is wrong with the message; try again what is wrong with the worker, but not for ever."""
        if isinstance(error, RequestRefused) and not isinstance(error, DeadlinePassed):
            found.outcomes.append(self._refuse(message, error, error.code))
            return
        _log.error("a message was not labelled", sequence=message.lease.sequence, exc_info=error)
        if message.lease.deliveries < self._max_deliveries:
            found.outcomes.append(Failed(message))
            return
        told = MessageRefused(
            f"{message.lease.deliveries} deliveries failed, the last by {type(error).__name__}: {error}",
            reason="DeliveriesFailed",
            remedy="See the worker's log",
        )
        found.outcomes.append(self._refuse(message, told, "INTERNAL"))

    def _refuse(self, message: Message, error: WorkerError, code: str) -> Refused:
        return Refused(message, build_dead_letter(self._origin, message, error), code)

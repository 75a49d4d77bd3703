"""The messages that go out: answers and dead letters, with the headers that make them findable and unrepeatable.

Called by `labelling`. Invariant: whatever worker of whatever version answers a message, and however often, the answer
has the same `Nats-Msg-Id`, so that the output stream keeps the first only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal_worker.errors import WorkerError, shorten
from shoal_worker.streaming.message import Message

MESSAGE_ID = "Nats-Msg-Id"
CONTENT_TYPE = "Content-Type"
_PREFIX = "Shoal-"
_TEXT_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Origin:
    """Where messages come from: the stream, when it was created, and who reads it."""

    stream: str
    created: str
    """Its numbers begin anew with another stream of its name."""
    consumer: str

    def identify(self, message: Message) -> str:
        """The message's id among all that go out."""
        return f"{self.consumer}.{self.stream}.{self.created}.{message.lease.sequence}"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is published for one message."""

    payload: bytes
    headers: Mapping[str, str]


def build_answer(origin: Origin, message: Message, payload: bytes, content_type: str, version: str) -> Outgoing:
    """The answer: the message's own headers travel on, so that traces and correlation ids do."""
    headers = {
        **_carried(message),
        MESSAGE_ID: origin.identify(message),
        CONTENT_TYPE: content_type,
        f"{_PREFIX}Version": version,
        f"{_PREFIX}Sequence": str(message.lease.sequence),
    }
    return Outgoing(payload, headers)


def build_dead_letter(origin: Origin, message: Message, error: WorkerError) -> Outgoing:
    """The message as it came, and why it is answered by nobody."""
    told = {
        "Reason": error.reason,
        "Field": error.field,
        "Message": shorten(error, _TEXT_LIMIT),
        "Stream": message.lease.stream,
        "Subject": message.subject,
        "Sequence": str(message.lease.sequence),
        "Deliveries": str(message.lease.deliveries),
    }
    headers = {
        **_carried(message),
        **{f"{_PREFIX}{name}": _plain(value) for name, value in told.items() if value},
        MESSAGE_ID: origin.identify(message),
    }
    if content_type := message.headers.get(CONTENT_TYPE):
        headers[CONTENT_TYPE] = content_type
    return Outgoing(message.data, headers)


def _carried(message: Message) -> dict[str, str]:
    """The headers that are the sender's own: those of the server are about the stream that they came by."""
    return {
        name: value
        for name, value in message.headers.items()
        if not name.startswith(("Nats-", _PREFIX)) and name not in (CONTENT_TYPE, "Status", "Description")
    }


def _plain(text: str) -> str:
    """A header is one line of ASCII."""
    return text.encode("ascii", "replace").decode()

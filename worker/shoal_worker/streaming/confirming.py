"""Sends many messages at once and waits until the server has confirmed each; used by `consumer`.

A publish is confirmed by the stream's PubAck, an acknowledgement by an empty answer. Invariant: what is not confirmed
in time counts as not done, and an answer that comes too late for its group is dropped.
"""

import asyncio
import json
from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shoal_worker.errors import shorten
from shoal_worker.streaming.connection import Connection

_NO_RESPONDERS = "503"
_log = structlog.get_logger(__name__)


class Request(NamedTuple):
    """A message that wants to be confirmed."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


class Confirmation(NamedTuple):
    """What became of a message."""

    done: bool
    duplicate: bool = False
    """The stream had the message already."""


_NOT_DONE = Confirmation(done=False)


class _Group:
    """Messages that are waited for together."""

    def __init__(self, size: int) -> None:
        self.answers = [_NOT_DONE] * size
        self.missing = size
        self.complete = asyncio.Event()

    def take(self, place: int, answer: Confirmation) -> None:
        self.answers[place] = answer
        self.missing -= 1
        if not self.missing:
            self.complete.set()


class Confirmer:
    """One inbox for all answers. Use: start, send_all, close."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._inbox = connection.new_inbox()
        self._numbers = count()
        self._waiting: dict[str, tuple[_Group, int]] = {}
        self._subscription: Subscription | None = None
        self.problem = ""
        """What the last message that was not taken was refused for."""

    async def start(self) -> None:
        """Begin to listen for answers."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_answer)

    async def send_all(self, requests: Sequence[Request]) -> list[Confirmation]:
        """Send all, and return what became of each, in their order."""
        if not requests:
            return []
        group = _Group(len(requests))
        tokens: list[str] = []
        try:
            for place, request in enumerate(requests):
                token = f"{self._inbox}.{next(self._numbers)}"
                self._waiting[token] = (group, place)
                tokens.append(token)
                try:
                    await self._connection.publish(request.subject, request.payload, token, request.headers)
                except NatsError as error:
                    self.problem = f"{type(error).__name__}: {shorten(error, 200)}"
                    self._take(token, _NOT_DONE)
            async with asyncio.timeout(self._seconds):
                await group.complete.wait()
        except TimeoutError:
            self.problem = f"no confirmation within {self._seconds:g} s"
        finally:
            for token in tokens:
                self._waiting.pop(token, None)
        return group.answers

    def give_up(self) -> None:
        """Wait no longer for what has been sent: the connection that it went by is lost."""
        self.problem = "the connection was lost"
        for token in list(self._waiting):
            self._take(token, _NOT_DONE)

    async def close(self) -> None:
        """Listen no longer."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _on_answer(self, message: Msg) -> None:
        self._take(message.subject, self._read(message))

    def _take(self, token: str, answer: Confirmation) -> None:
        if waiting := self._waiting.pop(token, None):
            group, place = waiting
            group.take(place, answer)

    def _read(self, message: Msg) -> Confirmation:
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            self.problem = "nobody takes the subject"
            return _NOT_DONE
        if not message.data:
            return Confirmation(done=True)
        answer = json.loads(message.data)
        if "error" in answer:
            self.problem = shorten(answer["error"].get("description", "refused"), 200)
            return _NOT_DONE
        return Confirmation(done=True, duplicate=bool(answer.get("duplicate")))

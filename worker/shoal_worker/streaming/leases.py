"""Leases messages from the durable consumer: as many as there is room for and as the share allows; used by `consumer`.

Invariant: every message that was leased is held here until it is settled, so that it is kept leased while it is worked
on and can be given back. What is given back has not been begun.
"""

import asyncio
import json
import time
from collections import deque

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from shoal_worker.errors import StreamError
from shoal_worker.settings import ConsumeSettings
from shoal_worker.streaming.connection import Connection
from shoal_worker.streaming.message import Message, read_lease
from shoal_worker.streaming.pacing import Pacer, Standing

MOST_AT_ONCE = 512
"""Messages in a pull, and in a batch."""
_MOST_BYTES = 64 << 20
"""Bytes that may be held before no more is leased."""
_EXPIRY_SECONDS = 1.0
_EXPIRY_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 1.0
_PACED_LOOK_SECONDS = 0.1
_IDLE_SECONDS = 0.02
_LONGEST_HOLD_SECONDS = 600.0
"""What is still not settled then is left to another worker."""
_PROGRESS, _GIVE_BACK = b"+WPI", b"-NAK"

_log = structlog.get_logger(__name__)


class Leases:
    """All messages that this worker holds. Use: start, run beside take and settle, stop."""

    def __init__(self, connection: Connection, settings: ConsumeSettings, share: float | None) -> None:
        self._connection = connection
        self._settings = settings
        self._pacer = Pacer(share, time.monotonic())
        self._inbox = connection.new_inbox()
        self._subscription: Subscription | None = None
        self._begun: dict[int, Message] = {}
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._asked = 0
        """Messages that were asked for and may still come."""
        self._asked_at = 0.0
        self._arrived = asyncio.Event()
        self._stopping = False
        self._on_hold = False
        self._looked_at = 0.0
        self._looked = False
        self.standing = Standing(0, 0, 0)
        self.leased = 0
        self.redelivered = 0

    @property
    def held(self) -> int:
        """Messages that are leased and not settled."""
        return len(self._begun) + len(self._waiting)

    @property
    def backlog(self) -> int | None:
        """Messages that nobody has answered; None where that is not known now."""
        known = self._connection.is_up and self._looked
        return self.standing.pending + self.standing.held if known else None

    @property
    def share(self) -> float | None:
        """The share that is kept to."""
        return self._pacer.share

    async def start(self) -> None:
        """Begin to listen; nothing is leased yet."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._on_message)
        self._connection.on_reconnect = self._forget_asked

    async def run(self) -> None:
        """Lease until cancelled; raises StreamError where the consumer is gone."""
        while True:
            now = time.monotonic()
            if self._asked and now - self._asked_at > _EXPIRY_SECONDS + _EXPIRY_GRACE_SECONDS:
                self._asked = 0
            if self._connection.is_up:
                await self._look(now)
                await self._ask(now)
            await asyncio.sleep(_IDLE_SECONDS)

    async def keep_leased(self) -> None:
        """Tell the server again and again that what is held is worked on, until cancelled."""
        while True:
            await asyncio.sleep(self._connection.ack_wait / 3)
            now = time.monotonic()
            for message in (*self._begun.values(), *self._waiting):
                if now - message.received < _LONGEST_HOLD_SECONDS:
                    await self._tell(message, _PROGRESS)

    async def take(self) -> list[Message]:
        """Wait for messages, and begin as many as are there."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
        for message in batch:
            self._begun[message.lease.number] = message
        return batch

    def settle(self, message: Message) -> None:
        """The message is done with, however it ended."""
        if self._begun.pop(message.lease.number, None) is not None:
            self._bytes -= len(message.data)

    async def give_back(self, message: Message, delay: float = 0.0) -> None:
        """Let the message be delivered again, to whomever."""
        self.settle(message)
        after = b" " + json.dumps({"delay": round(delay * 1e9)}).encode() if delay else b""
        await self._tell(message, _GIVE_BACK + after)

    def hold(self, on: bool) -> None:
        """Lease nothing more, or go on: what is held cannot be settled now."""
        self._on_hold = on

    async def change_share(self, share: float | None) -> None:
        """Keep to another share; with none, what has not been begun goes back at once."""
        if share == self._pacer.share:
            return
        _log.info("share of the leases", percent=share, before=self._pacer.share)
        self._pacer.change(share, time.monotonic())
        if share == 0:
            await self._give_all_back()

    async def stop(self) -> None:
        """Lease nothing more, and give back what has not been begun, also what still comes."""
        self._stopping = True
        await self._give_all_back()
        deadline = time.monotonic() + _EXPIRY_SECONDS + _EXPIRY_GRACE_SECONDS
        while self._asked and time.monotonic() < deadline and self._connection.is_up:  # noqa: ASYNC110 - also the clock ends it
            await asyncio.sleep(_IDLE_SECONDS)
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    async def _look(self, now: float) -> None:
        """Ask where the consumer stands: now and then, and often where a share is kept to."""
        paced = self.share is None or 0 < self.share < 100
        if now - self._looked_at < (_PACED_LOOK_SECONDS if paced else _LOOK_SECONDS):
            return
        self._looked_at = now
        try:
            found = await self._connection.standing()
        except StreamError as error:
            self._looked = False
            if error.reason == "ConsumerMissing":
                raise
            return
        self.standing = found
        self._looked = True

    async def _ask(self, now: float) -> None:
        room = self._settings.max_in_flight - self.held - self._asked
        wanted = min(room, MOST_AT_ONCE)
        if (
            self._stopping
            or self._on_hold
            or wanted < 1
            or self._bytes > _MOST_BYTES
            or self._asked > MOST_AT_ONCE // 2
        ):
            return
        allowed = self._pacer.allow(self.standing, self.held + self._asked, now)
        if allowed is not None:
            wanted = min(wanted, allowed - self._asked)
        if wanted < 1:
            return
        pull = {"batch": wanted, "expires": round(_EXPIRY_SECONDS * 1e9), "max_bytes": _MOST_BYTES}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._settings.input_stream}.{self._settings.consumer}"
        self._asked += wanted
        self._asked_at = now
        try:
            await self._connection.publish(subject, json.dumps(pull).encode(), f"{self._inbox}.1")
        except NatsError:
            self._asked = 0

    async def _on_message(self, message: Msg) -> None:
        lease = read_lease(message.reply) if message.reply else None
        if lease is None:
            self._on_status(message)
            return
        self._asked = max(0, self._asked - 1)
        self._pacer.count(1)
        self.leased += 1
        self.redelivered += lease.deliveries > 1
        self.standing = Standing(max(self.standing.leases, lease.number), lease.pending, self.standing.held)
        leased = Message(message.subject, message.data, message.headers or {}, message.reply, lease, time.monotonic())
        if self._stopping or self.share == 0:
            await self._tell(leased, _GIVE_BACK)
            return
        self._bytes += len(leased.data)
        self._waiting.append(leased)
        self._arrived.set()

    def _on_status(self, message: Msg) -> None:
        """A pull has ended: what it left open does not come any more."""
        headers = message.headers or {}
        left = headers.get("Nats-Pending-Messages", "")
        if headers.get("Status") == "408" and left.isdigit():
            self._asked = max(0, self._asked - int(left))
        elif headers.get("Status") in ("404", "408", "409", "503"):
            self._asked = 0
            # What is wrong with the consumer, the next look at it tells.
            self._looked_at = 0.0

    def _forget_asked(self) -> None:
        self._asked = 0

    async def _give_all_back(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            self._bytes -= len(message.data)
            await self._tell(message, _GIVE_BACK)

    async def _tell(self, message: Message, word: bytes) -> None:
        try:
            await self._connection.publish(message.reply, word, "")
        except NatsError as error:
            _log.debug("a lease was not changed", sequence=message.lease.sequence, problem=str(error))

"""The work on a stream: take leased messages, label them, send the answers off, then acknowledge; run by `process`.

Answers are published, or stored as rows. Invariant: a message is acknowledged only after its answer, or its dead
letter, is confirmed to be stored. Whatever else happens it is delivered again. The next batch is labelled while the
answers of the one before are confirmed.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event

import structlog

from shoal_worker.agreement.keeping import Keeper
from shoal_worker.model import Model
from shoal_worker.settings import ConsumeSettings
from shoal_worker.streaming.confirming import Confirmer, Request
from shoal_worker.streaming.labelling import Labelled, Labeller
from shoal_worker.streaming.leases import Leases
from shoal_worker.streaming.message import Message
from shoal_worker.streaming.metrics import StreamMetrics
from shoal_worker.streaming.outcomes import Answered, Failed, Outcome, Refused, Tabled
from shoal_worker.streaming.runs import StreamRuns
from shoal_worker.streaming.storing import StreamFiles

_ACK, _TERM = b"+ACK", b"+TERM"
_AHEAD = 2
"""Batches that are labelled or wait for it; more would only wait, while they could grow."""
_ACKS_AT_ONCE = 2048
_UNCONFIRMED_DELAY = 1.0
_LONGEST_DELAY = 30.0

_log = structlog.get_logger(__name__)


class Consumer:
    """The work. Use: run until cancelled, then finish."""

    def __init__(
        self,
        settings: ConsumeSettings,
        model: Model,
        leases: Leases,
        labeller: Labeller,
        confirmer: Confirmer,
        metrics: StreamMetrics,
        keeper: Keeper | None,
        runs: StreamRuns | None,
    ) -> None:
        """`runs` are what rows are stored in; without, answers are published."""
        self._settings = settings
        self._model = model
        self._leases = leases
        self._labeller = labeller
        self._confirmer = confirmer
        self._metrics = metrics
        self._keeper = keeper
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="label")
        self._abandoned = Event()
        self._room = asyncio.Semaphore(_AHEAD)
        self._settling: set[asyncio.Task[None]] = set()
        self._storing: asyncio.Task[None] | None = None
        self._unpublished = ""
        """Why the last messages were not published; empty where they were."""
        self.files = StreamFiles(settings, runs, leases, metrics, self._on_stored) if runs is not None else None

    @property
    def problem(self) -> str:
        """Why the last answers were not stored; empty where they were."""
        return (self.files.problem if self.files else "") or self._unpublished

    def start(self) -> asyncio.Task[None] | None:
        """Begin to store rows, if that is what answers are; this goes on until `finish`."""
        if self.files is not None:
            self._storing = asyncio.create_task(self.files.run())
        return self._storing

    async def run(self) -> None:
        """Take, label and settle batch after batch, until cancelled; a batch that has begun is finished by `finish`."""
        while True:
            await self._room.acquire()
            batch = await self._leases.take()
            task = asyncio.create_task(self._work(batch))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def finish(self, seconds: float) -> None:
        """Wait for the batches that have begun; what takes longer is left to another worker."""
        deadline = time.monotonic() + seconds
        if self._settling:
            await asyncio.wait(self._settling, timeout=seconds)
        if self.files is not None and self._storing is not None:
            self.files.hasten()
            await asyncio.wait([self._storing], timeout=max(0.0, deadline - time.monotonic()))
            self._storing.cancel()
            await self._give_back([message for item in self.files.abandon() for message in item.messages], 0.0)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self.files.close()

    def close(self) -> None:
        """End what is still labelled."""
        self._abandoned.set()
        if self._storing is not None:
            self._storing.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self, batch: Sequence[Message]) -> None:
        try:
            work = partial(self._labeller.label, batch, self._abandoned.is_set)
            labelled = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except Exception:
            _log.exception("a batch was not labelled", messages=len(batch))
            labelled = Labelled([Failed(message) for message in batch])
        finally:
            self._room.release()
        self._count_rows(labelled)
        await self._settle(labelled.outcomes)

    async def _settle(self, outcomes: Sequence[Outcome]) -> None:
        answered = [outcome for outcome in outcomes if isinstance(outcome, Answered)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
        failed = [outcome.message for outcome in outcomes if isinstance(outcome, Failed)]
        if self.files is not None:
            self.files.add([outcome for outcome in outcomes if isinstance(outcome, Tabled)])
        await self._give_back(failed)
        await self._answer(answered)
        await self._refuse(refused)

    async def _answer(self, answered: Sequence[Answered]) -> None:
        if not answered:
            return
        subject = self._settings.output_subject
        sent = await self._confirmer.send_all(
            [Request(subject, item.answer.payload, dict(item.answer.headers)) for item in answered]
        )
        stored = [item.message for item, told in zip(answered, sent, strict=True) if told.done]
        await self._acknowledge(stored, _ACK)
        fresh = [item.message for item, told in zip(answered, sent, strict=True) if told.done and not told.duplicate]
        now = time.monotonic()
        for message in fresh:
            self._record_call("OK", message, now)
        self._metrics.record_answered(len(fresh), len(stored) - len(fresh))
        await self._unconfirmed([item.message for item, told in zip(answered, sent, strict=True) if not told.done])

    async def _on_stored(self, items: Sequence[Tabled]) -> None:
        """Acknowledge what a file of the result store holds."""
        messages = [message for item in items for message in item.messages]
        for start in range(0, len(messages), _ACKS_AT_ONCE):
            await self._acknowledge(messages[start : start + _ACKS_AT_ONCE], _ACK)
        for item in items:
            for message in item.messages:
                # How long a file is gathered is no part of how long a message takes.
                self._record_call("OK", message, item.labelled)
        self._metrics.record_answered(len(messages), 0)

    async def _refuse(self, refused: Sequence[Refused]) -> None:
        if not refused:
            return
        subject = self._settings.dead_letter_subject
        sent = await self._confirmer.send_all(
            [Request(subject, item.letter.payload, dict(item.letter.headers)) for item in refused]
        )
        stored = [item for item, told in zip(refused, sent, strict=True) if told.done]
        await self._acknowledge([item.message for item in stored], _TERM)
        for item in stored:
            self._record_call(item.code, item.message, time.monotonic())
            _log.warning(
                "dead letter", sequence=item.message.lease.sequence, reason=item.letter.headers.get("Shoal-Reason")
            )
        self._metrics.record_dead_letters(len(stored))
        await self._unconfirmed([item.message for item, told in zip(refused, sent, strict=True) if not told.done])

    async def _acknowledge(self, messages: Sequence[Message], word: bytes) -> None:
        """End the leases. One whose end is not confirmed comes again, and its answer is known as a duplicate then."""
        sent = await self._confirmer.send_all([Request(message.reply, word) for message in messages])
        for message, told in zip(messages, sent, strict=True):
            if told.done:
                self._leases.settle(message)
            else:
                await self._leases.give_back(message)

    async def _unconfirmed(self, messages: Sequence[Message]) -> None:
        self._unpublished = f"answers are not stored: {self._confirmer.problem}" if messages else ""
        if messages:
            _log.warning("answers were not stored", messages=len(messages), problem=self._confirmer.problem)
            await self._give_back(messages, _UNCONFIRMED_DELAY)

    async def _give_back(self, messages: Sequence[Message], delay: float | None = None) -> None:
        for message in messages:
            pause = min(_LONGEST_DELAY, 2.0 ** min(message.lease.deliveries, 10)) if delay is None else delay
            await self._leases.give_back(message, pause)
        self._metrics.record_given_back(len(messages))

    def _count_rows(self, labelled: Labelled) -> None:
        for request, answer in labelled.answers:
            self._metrics.record_rows(len(answer.labels), answer.noise, answer.out_of_reach)
            if self._keeper is not None:
                self._keeper.offer(self._model, request, answer)

    def _record_call(self, code: str, message: Message, answered: float) -> None:
        self._metrics.record_call(code, answered - message.received)

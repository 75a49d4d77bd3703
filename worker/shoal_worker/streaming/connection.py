"""The connection to NATS: who we are, what streams there are, the durable consumer; used by `process` and `leases`.

Invariant: every failure is a StreamError that names the setting and the remedy. The consumer never drops a message by
itself: deliveries have no limit there, for the worker decides what is a dead letter.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import AuthorizationError, NoRespondersError
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from shoal_worker.errors import StreamError, StreamMissing, StreamRefused, StreamUnavailable, shorten
from shoal_worker.settings import ConsumeSettings
from shoal_worker.streaming.answers import Origin
from shoal_worker.streaming.pacing import Standing

_RECONNECT_SECONDS = 0.5
_PING_SECONDS = 10
_REQUEST_SECONDS = 5.0
_LEAST_WINDOWS = 2
"""A message may come back after an ack_wait; its first answer must still be remembered then."""
_ANY_NUMBER = -1
_SECRETS_REMEDY = "Correct the Secret that ingestion.nats.secretRef names"
_JETSTREAM_REMEDY = "Enable JetStream on the servers, for this account too"

_log = structlog.get_logger(__name__)


class Connection:
    """One connection that mends itself. Use: open, prepare, close."""

    def __init__(self, settings: ConsumeSettings) -> None:
        self._settings = settings
        self._client = Client()
        self._jetstream: JetStreamContext = self._client.jetstream(timeout=_REQUEST_SECONDS)
        self._last_error: Exception | None = None
        self._refused = asyncio.Event()
        self.ack_wait = settings.ack_wait_seconds
        """Seconds for which a lease lasts; the consumer's own, once it is known."""
        self.closed = asyncio.Event()
        """Set when the connection is over for good."""
        self.on_reconnect: Callable[[], None] = lambda: None
        self.on_disconnect: Callable[[], None] = lambda: None

    @property
    def is_up(self) -> bool:
        """Whether the servers are reached now."""
        return bool(self._client.is_connected)

    async def open(self) -> Self:
        """Connect, or raise StreamUnavailable or StreamRefused."""
        settings = self._settings
        connecting = asyncio.create_task(
            self._client.connect(
                settings.nats_url.split(","),
                name=f"shoal {settings.model_name} {settings.model_version}",
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_closed,
                max_reconnect_attempts=_ANY_NUMBER,
                reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type]  # any number of seconds
                ping_interval=_PING_SECONDS,
                skip_subject_validation=True,
                **read_credentials(settings.nats_secret_dir),
            )
        )
        refused = asyncio.create_task(self._refused.wait())
        try:
            await asyncio.wait(
                {connecting, refused}, timeout=settings.connect_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if connecting.done() and (error := connecting.exception()):
                raise self._explain(error)
            if not connecting.done():
                raise self._explain(self._last_error)
        finally:
            connecting.cancel()
            refused.cancel()
        return self

    async def prepare(self) -> Origin:
        """Find the streams and the consumer, creating the latter where it is missing; StreamError where one is not."""
        settings = self._settings
        source = await self._find_stream(settings.input_stream)
        if settings.output_subject:
            await self._check_target("SHOAL_OUTPUT_SUBJECT", settings.output_subject)
        await self._check_target("SHOAL_DEAD_LETTER_SUBJECT", settings.dead_letter_subject)
        await self._ensure_consumer()
        return Origin(settings.input_stream, _created(source), settings.consumer)

    async def standing(self) -> Standing:
        """Where the consumer stands, or raise StreamError."""
        return _standing(await self._find_consumer())

    async def subscribe(self, subject: str, callback: Callable[[Msg], Any]) -> Subscription:
        """Receive what comes to a subject."""
        subscription: Subscription = await self._client.subscribe(subject, cb=callback)
        return subscription

    async def publish(self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None = None) -> None:
        """Send a message; raises nats.errors.Error."""
        await self._client.publish(subject, payload, reply, headers)

    def new_inbox(self) -> str:
        """A subject of our own."""
        inbox: str = self._client.new_inbox()
        return inbox

    async def close(self) -> None:
        """Send what is still to be sent, and go."""
        if self._client.is_connected:
            try:
                await self._client.flush(1)
            except (NatsError, TimeoutError):
                _log.info("the last acknowledgements may not have been sent")
        await self._client.close()

    async def _find_stream(self, name: str) -> StreamInfo:
        try:
            return await self._jetstream.stream_info(name)
        except NotFoundError:
            raise StreamMissing(
                "there is no such stream",
                field="SHOAL_INPUT_STREAM",
                value=name,
                remedy="Create it, or correct ingestion.stream",
            ) from None
        except (NatsError, TimeoutError) as error:
            raise self._explain(error) from None

    async def _check_target(self, field: str, subject: str) -> None:
        try:
            name = await self._jetstream.find_stream_name_by_subject(subject)
            info = await self._jetstream.stream_info(name)
        except NotFoundError:
            raise StreamMissing(
                "no stream takes this subject, so what is published to it would be lost",
                field=field,
                value=subject,
                remedy="Create a stream with the subject, or correct it",
            ) from None
        except (NatsError, TimeoutError) as error:
            raise self._explain(error) from None
        window, least = float(info.config.duplicate_window or 0), _LEAST_WINDOWS * self._settings.ack_wait_seconds
        if window < least:
            raise StreamMissing(
                f"the stream {name} remembers message ids for {window:g} s only, so a message that is delivered again "
                "might be answered twice",
                reason="DuplicateWindowTooShort",
                field=field,
                value=subject,
                remedy=f"Set its duplicate window to {least:g} s or more",
            )

    async def _find_consumer(self) -> ConsumerInfo:
        settings = self._settings
        try:
            info: ConsumerInfo = await self._jetstream.consumer_info(settings.input_stream, settings.consumer)
            return info
        except NotFoundError:
            raise StreamMissing(
                "the consumer is gone",
                reason="ConsumerMissing",
                field="SHOAL_CONSUMER",
                value=settings.consumer,
                remedy="It is created when the worker starts again",
            ) from None
        except (NatsError, TimeoutError) as error:
            raise self._explain(error) from None

    async def _ensure_consumer(self) -> None:
        settings = self._settings
        try:
            found = (await self._find_consumer()).config
        except StreamMissing:
            found = (await self._create_consumer()).config
        if found.ack_policy != AckPolicy.EXPLICIT or found.deliver_subject or (found.max_deliver or 0) > 0:
            raise StreamMissing(
                "the consumer is not a pull consumer with explicit acks and any number of deliveries, so messages "
                "could be lost",
                reason="ConsumerUnfit",
                field="SHOAL_CONSUMER",
                value=settings.consumer,
                remedy="Delete it, and it is created as it must be, or name another",
            )
        if (found.filter_subject or "") != settings.input_subject:
            raise StreamMissing(
                f"the consumer is of the subject {found.filter_subject or 'any'!r}, not of "
                f"{settings.input_subject or 'any'!r}",
                reason="ConsumerUnfit",
                field="SHOAL_INPUT_SUBJECT",
                value=settings.input_subject,
                remedy="Name another consumer in ingestion.consumer, or the subject that this one is of",
            )
        self.ack_wait = float(found.ack_wait or self.ack_wait)

    async def _create_consumer(self) -> ConsumerInfo:
        settings = self._settings
        config = ConsumerConfig(
            durable_name=settings.consumer,
            description=f"The workers of the ClusteringDeployment {settings.model_name}",
            deliver_policy=DeliverPolicy.ALL if settings.deliver == "All" else DeliverPolicy.NEW,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=settings.ack_wait_seconds,
            max_deliver=_ANY_NUMBER,
            max_ack_pending=_ANY_NUMBER,
            filter_subject=settings.input_subject or None,
        )
        try:
            info: ConsumerInfo = await self._jetstream.add_consumer(settings.input_stream, config)
        except (NatsError, TimeoutError) as error:
            raise self._explain(error) from None
        _log.info("consumer created", stream=settings.input_stream, consumer=settings.consumer)
        return info

    def _explain(self, error: BaseException | None) -> StreamError:
        url = self._settings.nats_url
        if isinstance(error, AuthorizationError) or _is_refusal(error):
            return StreamRefused("the servers refuse the credentials", value=url, remedy=_SECRETS_REMEDY)
        if isinstance(error, ServiceUnavailableError | NoRespondersError):
            return StreamUnavailable("JetStream does not answer", value=url, remedy=_JETSTREAM_REMEDY)
        if isinstance(error, APIError):
            return StreamUnavailable(f"JetStream refuses: {shorten(error, 300)}", value=url, remedy=_JETSTREAM_REMEDY)
        told = f"{type(error).__name__}: {shorten(error, 200)}" if error else "no answer"
        return StreamUnavailable(
            f"the servers cannot be reached ({told})",
            field="SHOAL_NATS_URL",
            value=url,
            remedy="Correct ingestion.nats.url, start the servers, or let the network policy allow it",
        )

    async def _on_error(self, error: Exception) -> None:
        # A server that refuses closes the connection too, and that may be told last.
        if not self._refused.is_set():
            self._last_error = error
        if _is_refusal(error):
            self._refused.set()
        _log.warning("nats", problem=f"{type(error).__name__}: {shorten(error, 300)}")

    async def _on_disconnected(self) -> None:
        self.on_disconnect()

    async def _on_reconnected(self) -> None:
        _log.info("connected again")
        self.on_reconnect()

    async def _on_closed(self) -> None:
        self.closed.set()


def _standing(info: ConsumerInfo) -> Standing:
    delivered = info.delivered.consumer_seq if info.delivered else 0
    return Standing(int(delivered or 0), int(info.num_pending or 0), int(info.num_ack_pending or 0))


def _created(info: StreamInfo) -> str:
    created = info.created
    return str(int(created.timestamp())) if created is not None else "0"


def _is_refusal(error: BaseException | None) -> bool:
    return error is not None and "authorization violation" in str(error).lower()


def read_credentials(directory: Path) -> dict[str, Any]:
    """What the Secret's files make of the connection's options."""

    def text(name: str) -> str | None:
        path = directory / name
        return path.read_text().strip() if path.is_file() else None

    found: dict[str, Any] = {name: text(name) for name in ("user", "password", "token")}
    if (directory / "user.creds").is_file():
        found["user_credentials"] = str(directory / "user.creds")
    if (directory / "nkey.seed").is_file():
        found["nkeys_seed"] = str(directory / "nkey.seed")
    if (directory / "ca.crt").is_file():
        context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        if (directory / "tls.crt").is_file():
            context.load_cert_chain(str(directory / "tls.crt"), str(directory / "tls.key"))
        found["tls"] = context
    return {name: value for name, value in found.items() if value is not None}

"""Deletes the durable consumer of a stream: `shoal-worker forget-consumer`, run when nobody leases from it any more.

Invariant: it ends in bounded time. A consumer or a stream that is gone already is as good.
"""

import asyncio

import nats
import structlog
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from shoal_worker.errors import StreamUnavailable, shorten
from shoal_worker.report import failure_report, write_report
from shoal_worker.settings import ForgetConsumerSettings
from shoal_worker.streaming.connection import read_credentials

_TRY_AGAIN = 2
_log = structlog.get_logger(__name__)


async def forget_consumer(settings: ForgetConsumerSettings) -> int:
    """Delete the consumer. Return the exit code: 0, or 2 where it may be tried again."""
    try:
        async with asyncio.timeout(settings.connect_seconds):
            deleted = await _delete(settings)
    except (NatsError, OSError, TimeoutError) as error:
        told = StreamUnavailable(
            f"the consumer was not deleted ({type(error).__name__}: {shorten(error, 200)})",
            field="SHOAL_NATS_URL",
            value=settings.nats_url,
            remedy=f"Delete it by `nats consumer rm {settings.input_stream} {settings.consumer} --force`",
        )
        write_report(settings.report_path, failure_report(told))
        _log.error("not deleted", message=str(told))
        return _TRY_AGAIN
    _log.info("deleted" if deleted else "there is none", stream=settings.input_stream, consumer=settings.consumer)
    return 0


async def _delete(settings: ForgetConsumerSettings) -> bool:
    client = await nats.connect(
        settings.nats_url.split(","),
        name=f"shoal forgets {settings.consumer}"[:100],
        allow_reconnect=False,
        error_cb=_on_error,
        **read_credentials(settings.nats_secret_dir),
    )
    try:
        return bool(await client.jetstream().delete_consumer(settings.input_stream, settings.consumer))
    except NotFoundError:
        return False
    finally:
        await client.close()


async def _on_error(error: Exception) -> None:
    _log.debug("nats", problem=str(error))

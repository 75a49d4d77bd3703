"""One JSON line per event on standard error, for our own loggers and for the libraries'.

Called once by __main__. Secrets and request bodies are never passed to a logger.
"""

from __future__ import annotations

import logging
import sys

import structlog

_QUIET = {
    # Both say what is normal here: kopf runs in a thread of its own, and the Gateway API may be absent.
    "kopf._core.reactor.running": logging.ERROR,
    "kopf._core.reactor.observation": logging.ERROR,
    "kopf": logging.WARNING,
    "kubernetes": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure(level: str) -> None:
    """Send all logs to standard error as JSON lines, ours from `level` on."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, threshold in _QUIET.items():
        logging.getLogger(name).setLevel(threshold)

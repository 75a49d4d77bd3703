"""Logging: one JSON object per line on stderr, called once by `__main__`.

Never logs a request's values, a credential, or an unbounded text.
"""

import logging
import sys

import structlog


def configure_logging(level: str, **fields: str) -> None:
    """Send structlog to stderr as JSON; `fields` appear on every line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**fields)

"""Tells how many rows this pod has labelled, on /metrics; the operator asks for it, and so may Prometheus.

Invariant: a batch never fails because nobody can ask: a port that is taken costs the progress only.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, disable_created_metrics, start_http_server

_log = structlog.get_logger(__name__)


class Progress:
    """Rows that are labelled."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._rows = Counter("shoal_batch_rows_total", "Rows labelled by this pod.", registry=self.registry)

    def add(self, rows: int) -> None:
        """Count rows."""
        self._rows.inc(rows)


@contextmanager
def told_progress(port: int) -> Iterator[Progress]:
    """Serve the progress while the block runs."""
    progress = Progress()
    try:
        server, thread = start_http_server(port, registry=progress.registry)
    except OSError as error:
        _log.warning("progress is not told", port=port, message=str(error))
        yield progress
        return
    try:
        yield progress
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

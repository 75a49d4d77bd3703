"""The metrics of a worker that consumes a stream, beside those that it has in common with one that serves.

Written by `consumer`, read by the HTTP port. Invariant: the number of time series is fixed.
"""

from collections.abc import Callable
from math import nan

from prometheus_client import Counter, Gauge

from shoal_worker.serving.metrics import Metrics

_OUTCOMES = ("answered", "dead_lettered", "given_back")


class StreamMetrics(Metrics):
    """A message counts as a call too, so that what looks at calls sees the messages of a stream."""

    def __init__(self) -> None:
        super().__init__()
        messages = Counter(
            "shoal_stream_messages_total",
            "Leased messages by what became of them.",
            ["outcome"],
            registry=self.registry,
        )
        self._by_outcome = {outcome: messages.labels(outcome) for outcome in _OUTCOMES}
        self._duplicates = Counter(
            "shoal_stream_duplicates_total", "Answers that the output stream had already.", registry=self.registry
        )
        self._files = Counter(
            "shoal_stream_files_total", "Files of rows written to the result store.", registry=self.registry
        )
        self._file_seconds = Counter(
            "shoal_stream_file_seconds_total",
            "Seconds that they took, attempts that failed included.",
            registry=self.registry,
        )
        self._store_failures = Counter(
            "shoal_stream_store_failures_total", "Attempts to write such a file that failed.", registry=self.registry
        )
        self._unstored = self._gauge(
            "shoal_stream_unstored", "Messages that are labelled and whose rows are not known to be stored."
        )
        self._leased = self._gauge("shoal_stream_leased", "Messages leased since the start.")
        self._redelivered = self._gauge("shoal_stream_redelivered", "Those of them that had been delivered before.")
        self._held = self._gauge("shoal_stream_in_flight", "Messages that this worker holds.")
        self._backlog = self._gauge(
            "shoal_stream_backlog", "Messages that nobody has answered, those that any worker holds included."
        )
        # Not known is not the same as none.
        self._backlog.set(nan)
        self._share = self._gauge(
            "shoal_stream_share_percent", "Most of all leases that this worker takes; -1: not told."
        )

    def watch_stream(
        self,
        *,
        leased: Callable[[], float],
        redelivered: Callable[[], float],
        held: Callable[[], float],
        backlog: Callable[[], float],
        share: Callable[[], float],
    ) -> None:
        """Read the gauges at scrape time."""
        self._leased.set_function(leased)
        self._redelivered.set_function(redelivered)
        self._held.set_function(held)
        self._backlog.set_function(backlog)
        self._share.set_function(share)

    def record_answered(self, messages: int, duplicates: int) -> None:
        """Count messages whose answers are in the output stream."""
        self._by_outcome["answered"].inc(messages)
        self._duplicates.inc(duplicates)

    def record_dead_letters(self, messages: int) -> None:
        """Count messages that are dead letters."""
        self._by_outcome["dead_lettered"].inc(messages)

    def record_given_back(self, messages: int) -> None:
        """Count messages that are to be delivered again."""
        self._by_outcome["given_back"].inc(messages)

    def watch_files(self, unstored: Callable[[], float]) -> None:
        """Read at scrape time how many messages wait to be stored."""
        self._unstored.set_function(unstored)

    def record_file(self, seconds: float) -> None:
        """Count a file of the result store that was written."""
        self._files.inc()
        self._file_seconds.inc(seconds)

    def record_store_failure(self) -> None:
        """Count an attempt that failed."""
        self._store_failures.inc()

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

"""Keeps some of the answered requests, sealed, for a later comparison; called by `servicer` after each answer.

Invariant: whatever goes wrong here, the call that was answered does not notice, and nothing is kept from then on.
What is kept lies in memory only and is gone after the reservoir's age, or with the process.
"""

import asyncio
import time
from random import Random

import structlog

from shoal_proto import inference_pb2 as pb
from shoal_worker.agreement.excerpt import rows_of, take_excerpt
from shoal_worker.agreement.reservoir import Bounds, Kept, Reservoir
from shoal_worker.agreement.sealing import Sealer
from shoal_worker.model import Model
from shoal_worker.serving.answering import Answer

_TIDY_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class Keeper:
    """The reservoir and the key to it. All methods but `open` run on the event loop."""

    def __init__(self, bounds: Bounds) -> None:
        self._reservoir = Reservoir(bounds, Random())  # noqa: S311 - which requests are sampled is no secret
        self._sealer = Sealer()
        self._failed = False

    @property
    def rows(self) -> int:
        """Rows that are kept now."""
        return self._reservoir.rows

    @property
    def size(self) -> int:
        """Bytes that are kept now."""
        return self._reservoir.size

    def offer(self, model: Model, request: pb.ModelInferRequest, answer: Answer) -> None:
        """Keep an excerpt of an answered request, or not; never raise."""
        try:
            if not self._reservoir.wants() or self._failed:
                return
            excerpt = take_excerpt(model, request, answer)
            if excerpt is not None:
                sealed = self._sealer.seal(excerpt.SerializeToString())
                self._reservoir.add(sealed, rows_of(excerpt), time.monotonic())
        except Exception:
            self._failed = True
            self._reservoir.clear()
            _log.exception("requests are kept no longer: there will be nothing to compare")

    def draw(self, rows: int) -> tuple[Kept, ...]:
        """Kept requests with about so many rows; see `Reservoir.draw`."""
        return self._reservoir.draw(rows, time.monotonic())

    def open(self, kept: Kept) -> pb.ModelInferRequest:
        """What was kept."""
        return pb.ModelInferRequest.FromString(self._sealer.open(kept.sealed))

    async def tend(self) -> None:
        """Forget what is too old, until cancelled."""
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            self._reservoir.tidy(time.monotonic())

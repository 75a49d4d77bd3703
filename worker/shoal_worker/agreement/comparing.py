"""One comparison of stable and candidate: requests drawn, answered by both, measured; called by `internal`.

Invariant: at most one at a time, bounded in rows and time, and off the event loop but for its messages. What comes out
are counts, shares and indices; no row, and no address that somebody sent, takes part in anything.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shoal_proto import inference_pb2 as pb
from shoal_worker.agreement.asking import CandidateClient, Identity, Replies
from shoal_worker.agreement.background import Background, Pause
from shoal_worker.agreement.figures import Compared, Figures, measure_figures
from shoal_worker.agreement.keeping import Keeper
from shoal_worker.agreement.reservoir import Kept
from shoal_worker.errors import ComparisonFailed, DeadlinePassed
from shoal_worker.model import Model
from shoal_worker.serving.answering import answer_request

LEAST_REQUESTS = 10
"""An interval from fewer requests would be none."""
_OPENED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Comparison:
    """Who was compared on how many requests and rows, how many the candidate refused, and what came of it."""

    stable: Identity
    candidate: Identity
    requests: int
    rows: int
    refused: int
    oldest_seconds: float
    figures: Figures


class Comparer:
    """Compares this worker's model with the candidate behind one address."""

    def __init__(
        self, keeper: Keeper, client: CandidateClient, background: Background, count_rows: Callable[[int], None]
    ) -> None:
        self._keeper = keeper
        self._client = client
        self._background = background
        self._count_rows = count_rows
        self._busy = False

    async def compare(self, model: Model, candidate: Identity, most_rows: int, seconds: float) -> Comparison:
        """Compare on at most so many rows within so many seconds, or raise ComparisonFailed or DeadlinePassed."""
        if self._busy:
            raise ComparisonFailed(
                "another comparison is under way", reason="Busy", remedy="Ask again when it has ended"
            )
        self._busy = True
        try:
            async with asyncio.timeout(seconds):
                return await self._compare(model, candidate, most_rows)
        except TimeoutError:
            raise DeadlinePassed(
                f"the comparison did not end within {seconds:.3g} s", remedy="Allow more time or compare fewer rows"
            ) from None
        finally:
            self._busy = False

    async def _compare(self, model: Model, candidate: Identity, most_rows: int) -> Comparison:
        drawn = self._keeper.draw(most_rows)
        _check_enough(len(drawn), sum(kept.rows for kept in drawn))
        oldest = time.monotonic() - min(kept.kept_at for kept in drawn)
        excerpts = await self._background.run(lambda pause: _open(self._keeper, drawn, pause))
        try:
            replies = await self._client.ask(excerpts, candidate)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        answered = sum(len(one.batch.members) for one in replies.answered)
        rows = sum(len(one.labels) for one in replies.answered)
        _check_enough(answered, rows, replies.refused)
        figures = await self._background.run(lambda pause: _measure(model, replies, pause))
        self._count_rows(rows)
        return Comparison(
            stable=Identity(model.version, model.digest),
            candidate=candidate,
            requests=answered,
            rows=rows,
            refused=replies.refused,
            oldest_seconds=oldest,
            figures=figures,
        )


def _check_enough(requests: int, rows: int, refused: int = 0) -> None:
    if requests < LEAST_REQUESTS:
        raise ComparisonFailed(
            f"there are {requests} requests to compare, and {LEAST_REQUESTS} are needed"
            + (f"; the candidate refused {refused}" if refused else ""),
            reason="TooFewRows",
            rows=rows,
            refused=refused,
            remedy="Wait for more calls",
        )


def _open(keeper: Keeper, drawn: Sequence[Kept], pause: Pause) -> list[pb.ModelInferRequest]:
    opened = []
    for number, kept in enumerate(drawn):
        opened.append(keeper.open(kept))
        if number % _OPENED_AT_ONCE == 0:
            pause()
    return opened


def _measure(model: Model, replies: Replies, pause: Pause) -> Figures:
    """Answer what the candidate answered, and compare."""
    own, points, outside = [], [], []
    for one in replies.answered:
        pause()
        answer = answer_request(model, one.batch.request, lambda: False)
        own.append(answer.labels)
        points.append(answer.points)
        if model.ranges is not None:
            outside.append(model.ranges.find_outside(answer.points))
    told = [one.outside for one in replies.answered if one.outside is not None]
    places = np.concatenate([one.batch.places for one in replies.answered])
    return measure_figures(
        Compared(
            requests=np.unique(places, return_inverse=True)[1],
            stable=np.concatenate(own),
            candidate=np.concatenate([one.labels for one in replies.answered]),
            points=np.concatenate(points),
            metric=model.metric,
            stable_outside=np.concatenate(outside) if outside else None,
            candidate_outside=np.concatenate(told) if len(told) == len(replies.answered) else None,
        ),
        pause,
    )

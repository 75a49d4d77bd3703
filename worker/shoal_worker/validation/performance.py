"""performance: how long a prediction takes, preprocessing included, in a batch and row by row; called by `run`.

Invariant: the time of the test itself is bounded, however slow the model is.
"""

import numpy as np

from shoal_worker.data.frame import Frame
from shoal_worker.spec.validation import PerformanceTestSettings
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import Served

NAME = "performance"
_SECONDS = 0.5
_CALLS = 500
_LEAST_CALLS = 3


def judge_performance(served: Served, settings: PerformanceTestSettings) -> Judgement:
    """Milliseconds a row in the largest batch that half a second allows, and median and p99 of calls of one row."""
    limit = settings.max_millis_per_sample
    rows, batch = _time_batch(served)
    singles = _time_singles(served)
    median, slow = (float(value) for value in np.percentile(singles, (50, 99)))
    figures = {
        "batchMillisPerSample": batch,
        "batchRows": rows,
        "singleP50Millis": median,
        "singleP99Millis": slow,
        "singleCalls": len(singles),
    }
    measured = f"{batch:.3g} ms a row in a batch of {rows}, {median:.3g} ms (p99 {slow:.3g}) for a single row"
    limits = {"maxMillisPerSample": limit}
    if max(batch, median) > limit:
        return Judgement(NAME, "fail", f"{measured}; wanted <= {limit:.6g}", figures, limits)
    if slow > limit:
        # One slow call in a hundred may be the machine's, not the model's.
        return Judgement(NAME, "warn", f"{measured}; the p99 is above {limit:.6g}", figures, limits)
    return Judgement(NAME, "pass", f"{measured}; wanted <= {limit:.6g}", figures, limits)


def _time_batch(served: Served) -> tuple[int, float]:
    """Double the rows until one batch takes long enough to be timed well; rows and milliseconds a row."""
    sampled = served.rows
    rows = min(64, sampled.rows)
    spent = 0.0
    while True:
        taken = _time(served, sampled.select(slice(rows)))
        spent += taken
        if rows == sampled.rows or 2 * taken > _SECONDS - spent:
            # What ran once is warm; the better of two runs is the model's own time.
            return rows, 1000 * min(taken, _time(served, sampled.select(slice(rows)))) / rows
        rows = min(2 * rows, sampled.rows)


def _time_singles(served: Served) -> list[float]:
    """Milliseconds of calls of one row, each another row."""
    sampled = served.rows
    taken: list[float] = []
    while len(taken) < _CALLS and (sum(taken) < 1000 * _SECONDS or len(taken) < _LEAST_CALLS):
        start = len(taken) % sampled.rows
        taken.append(1000 * _time(served, sampled.select(slice(start, start + 1))))
    return taken


def _time(served: Served, rows: Frame) -> float:
    started = served.clock()
    served.ask(rows)
    return served.clock() - started

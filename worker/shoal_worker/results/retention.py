"""Which runs of a batch may go; called by `store`. Pure: `now` is an argument.

Invariant: the newest complete run stays, and so does what is written to. What a pod left of a stream's run without
completing it are labels like all others: they go by number or age only.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from shoal_worker.results.layout import MANIFEST_NAME
from shoal_worker.results.listing import CUT_AFTER, RunSummary
from shoal_worker.spec.output import Retention


def choose_expired(
    runs: Iterable[RunSummary], retention: Retention, now: datetime, protected: Collection[str] = ()
) -> tuple[RunSummary, ...]:
    """Choose the runs of one batch that go; `protected` ones, by name, stay and are counted all the same."""
    ordered = sorted(runs, key=lambda run: (run.ended, run.key.run), reverse=True)
    ended = [run for run in ordered if MANIFEST_NAME in run.files or (run.is_stream and now - run.written > CUT_AFTER)]
    newest = next((run for run in ended if run.state == "Complete"), None)
    oldest = None if retention.max_age_days is None else now - timedelta(days=retention.max_age_days)
    expired = [
        run
        for place, run in enumerate(ended)
        if (retention.keep_runs is not None and place >= retention.keep_runs)
        or (oldest is not None and run.ended < oldest)
    ]
    remains = [
        run for run in ordered if MANIFEST_NAME not in run.files and not run.is_stream and now - run.written > CUT_AFTER
    ]
    return tuple(
        run for run in (*expired, *remains) if run is not newest and run.is_ours and run.key.run not in protected
    )

"""reproducibility: the same data give the same labels, predictions and bytes; called by `run`.

A second fit with another number of threads runs on all rows where that costs little time and memory, else on a sample
that is fitted twice: the share of the deadline that it may take is fixed.
"""

import numpy as np

from shoal_worker.training.fit import Fitted
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import Subject, draw_rows

NAME = "reproducibility"
_SECONDS, _SHARE = 2.0, 0.05
_LEAST_ROWS = 1000
_PIECES = (1, 7, 1000)
_SINGLE_ROWS = 200


def judge_reproducibility(subject: Subject) -> Judgement:
    """A second fit, repeated predictions in other batches, a rebuilt artifact."""
    threads = other_threads(subject.refit.threads)
    again, fitted, differing = _fit_again(subject, threads)
    pieces_differ = _predictions_differ(subject)
    rebuilt = subject.refit.package(again).digest if may_rebuild(subject) else None
    problems = [
        problem
        for problem, holds in (
            (f"{differing} of {fitted} rows got another label in a fit with {threads} threads", differing > 0),
            ("predictions differ when repeated or asked for in other batches", pieces_differ),
            (
                f"a rebuilt artifact is {rebuilt}, not {subject.files.digest}",
                rebuilt not in (None, subject.files.digest),
            ),
        )
        if holds
    ]
    figures = {
        "refittedRows": fitted,
        "refittedRatio": fitted / len(subject.points),
        "differingRows": differing,
        "threads": subject.refit.threads,
        "otherThreads": threads,
        "rebuiltArtifacts": int(rebuilt is not None),
    }
    if problems:
        return Judgement(NAME, "fail", "; ".join(problems), figures)
    which = "all rows" if fitted == len(subject.points) else f"a sample of {fitted} rows"
    if rebuilt is None:
        message = f"a fit of {which} with {threads} threads and repeated predictions are equal; the artifact was not "
        return Judgement(NAME, "warn", f"{message}rebuilt, since the memory may not hold it twice", figures)
    message = f"a fit of {which} with {threads} threads, repeated predictions and the rebuilt artifact are equal"
    return Judgement(NAME, "pass", message, figures)


def other_threads(threads: int) -> int:
    """Another number of threads, which does not make the fit much slower."""
    return 2 if threads == 1 else threads // 2


def affordable_rows(subject: Subject, threads: int) -> int:
    """Rows that may be fitted again, by time and by memory; never so few that nothing is proven."""
    rows = len(subject.points)
    seconds = _SECONDS if subject.deadline_seconds is None else min(_SECONDS, _SHARE * subject.deadline_seconds)
    # A fit of fewer rows is faster than its share; one by fewer threads slower by at most theirs.
    cost = subject.refit.seconds * max(1.0, subject.refit.threads / threads)
    by_time = rows if cost <= seconds else int(rows * seconds / cost / 2)
    # A fit ends with an index of about the artifact's size; half of what is left is kept free.
    by_memory = (subject.free_bytes() - subject.files.size) // (2 * max(1, subject.refit.bytes_per_row))
    return min(rows, max(_LEAST_ROWS, min(by_time, by_memory)))


def may_rebuild(subject: Subject) -> bool:
    """Whether the memory holds the artifact's arrays and its bytes once more."""
    return subject.free_bytes() >= 2 * subject.files.size


def _fit_again(subject: Subject, threads: int) -> tuple[Fitted, int, int]:
    """A fit of all rows, the first one at worst; rows that were fitted again, and how many got another label."""
    rows = affordable_rows(subject, threads)
    if rows == len(subject.points):
        again = subject.refit.fit(subject.points, threads)
        return again, rows, int(np.count_nonzero(subject.fitted.labels != again.labels))
    some = np.ascontiguousarray(subject.points[draw_rows(len(subject.points), rows)])
    labels = [subject.refit.fit(some, count).labels for count in (subject.refit.threads, threads)]
    return subject.fitted, rows, int(np.count_nonzero(labels[0] != labels[1]))


def _predictions_differ(subject: Subject) -> bool:
    served = subject.served
    rows = served.rows
    whole = subject.predict(subject.sampled_points)
    if not np.array_equal(whole, served.ask(rows)):
        return True
    for size in _PIECES:
        count = min(_SINGLE_ROWS, rows.rows) if size == 1 else rows.rows
        parts = [served.ask(rows.select(slice(start, min(start + size, count)))) for start in range(0, count, size)]
        if not np.array_equal(np.concatenate(parts), whole[:count]):
            return True
    return False

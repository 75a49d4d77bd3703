"""One verb as a Kubernetes Job: report and exit code, whatever happens short of a kill; used by the verbs that end.

Invariant: one report is written, and the exit code says whether a retry can help: 0 done, 1 what was asked must change,
2 worth retrying.
"""

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import structlog

from shoal_worker.errors import TrainingFailed, WorkerError
from shoal_worker.report import failure_report, write_report
from shoal_worker.settings import JobSettings

SUCCESS, PERMANENT, TRANSIENT = 0, 1, 2

_log = structlog.get_logger(__name__)


def run_job(
    work_name: str,
    settings: JobSettings,
    work: Callable[[], Mapping[str, Any]],
    resources: str = "spec.training.resources",
) -> int:
    """Do the work, write its report or that of its failure, and return the exit code.

    resources: the field in which the user gives the pod its memory.
    """
    try:
        report = work()
    except WorkerError as error:
        _log.error(f"{work_name} failed", reason=error.reason, message=str(error), transient=error.transient)
        write_report(settings.report_path, failure_report(error))
        return TRANSIENT if error.transient else PERMANENT
    except MemoryError:
        _log.exception("out of memory")
        exhausted = TrainingFailed("the memory is exhausted", field=resources, remedy="Give more memory, or fewer rows")
        write_report(settings.report_path, failure_report(exhausted))
        return PERMANENT
    except Exception as error:
        _log.exception(f"{work_name} failed unexpectedly")
        unexpected = TrainingFailed(
            f"unexpected {type(error).__name__}: {error}", remedy="See the log of the pod", transient=True
        )
        write_report(settings.report_path, failure_report(unexpected))
        return TRANSIENT
    write_report(settings.report_path, report)
    _log.info(
        f"{work_name} done", **{name: report[name] for name in ("version", "artifact", "metrics") if name in report}
    )
    return SUCCESS


def stop_on_sigterm() -> None:
    """End the work at SIGTERM: without a handler the first process of a container would not even notice it."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TrainingFailed(
            "the work was told to stop (SIGTERM)", remedy="It runs again while tries are left", transient=True
        )

    signal.signal(signal.SIGTERM, stop)

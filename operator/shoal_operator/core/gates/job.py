"""The gate that runs a Job of the user's, once in each window: it completes, which passes, or fails.

Called by core.judgement and core.rollout. Invariant: one window has one Job, so a failure counts once; what keeps a Job
from telling anything is an error, and never a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from shoal_operator.api.analysis import Analysis, JobGate
from shoal_operator.api.deployment import Verdict
from shoal_operator.core import names
from shoal_operator.core.facts import name_of, text_at, timestamp, uid_of
from shoal_operator.core.manifests.task_job import Task
from shoal_operator.core.progress import Progress
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject
from shoal_operator.core.tasks import facts_of, identify, read_outcome

_WORDS: dict[str, Literal["pass", "fail", "inconclusive", "error"]] = {
    "running": "inconclusive",
    "succeeded": "pass",
    "failed": "fail",
    "error": "error",
}


def gate_name(gate: JobGate) -> str:
    """Return the name of the gate's verdicts."""
    return f"job/{gate.name}"


def build_gate_tasks(deployment: RawObject, analysis: Analysis, progress: Progress, now: datetime) -> tuple[Task, ...]:
    """Return the tasks of the open window whose initial delay is over."""
    return tuple(task for gate, task, due in _tasks(deployment, analysis, progress) if now >= due)


def judge_jobs(
    snapshot: DeploymentSnapshot, analysis: Analysis, progress: Progress, now: datetime
) -> tuple[tuple[Verdict, str], ...]:
    """Judge by what became of the window's Jobs; with each verdict goes the look that it counts for.

    A Job that completed or failed counts once. Until then, and while there is an error, a look is an interval of the
    window, so that errors in a row are those of several intervals.
    """
    found = []
    for gate, task, due in _tasks(snapshot.deployment, analysis, progress):
        outcome = read_outcome(snapshot, task, due, now)
        looks = max(0, int((now - due).total_seconds() // analysis.interval_seconds))
        look = timestamp(due + timedelta(seconds=looks * analysis.interval_seconds))
        verdict = Verdict(gate=gate_name(gate), verdict=_WORDS[outcome.state], message=outcome.message)
        found.append((verdict, look if outcome.state == "error" else outcome.ended_at or look))
    return tuple(found)


def _tasks(deployment: RawObject, analysis: Analysis, progress: Progress) -> Iterator[tuple[JobGate, Task, datetime]]:
    """Yield each gate with its task and when that is due; none while no window is open."""
    began, stable, candidate = progress.window_started_at, progress.stable, progress.candidate
    if began is None or stable is None or candidate is None:
        return
    for gate in analysis.jobs:
        identity = identify(uid_of(deployment), candidate.revision, timestamp(began), gate_name(gate))
        told = {
            **facts_of(deployment, text_at(deployment, "spec", "modelRef", "name")),
            "SHOAL_GATE": gate.name,
            "SHOAL_STABLE_VERSION": str(stable.version),
            "SHOAL_STABLE_REVISION": stable.revision,
            "SHOAL_CANDIDATE_VERSION": str(candidate.version),
            "SHOAL_CANDIDATE_REVISION": candidate.revision,
            "SHOAL_WEIGHT": str(progress.weight),
            "SHOAL_STEP": str((progress.step or 0) + 1),
        }
        task = Task(
            job=names.task_job(name_of(deployment), identity),
            cron_job=gate.cron_job,
            path=f"spec.analysis.jobs[{gate.name}].cronJob",
            timeout_seconds=gate.timeout_seconds,
            variables=told,
        )
        yield gate, task, began + timedelta(seconds=gate.initial_delay_seconds)

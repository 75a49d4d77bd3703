"""Decides what a ClusteringBatch needs next: a version, a plan, shards, a finish, or nothing.

`plan_batch` is called by runtime.controller, `required_secrets` by runtime.observer. Invariant: one identity of a batch
labels with one version, which is recorded before any pod starts; and a step starts only after the status holds what the
step before it found, however often a pass is cut off or repeated.

    facts                                    -> plan
    spec cannot be read                      -> InvalidSpec, nothing else
    ended, spec.ttlSecondsAfterFinished over -> the batch goes, with its Jobs
    ended                                    -> nothing
    no version pinned                        -> pin the one that the reference means, or say why there is none
    no plan                                  -> Job `plan`: it finds the run and its shards, or that all is done
    plan read                                -> Job `shard`: a pod for each shard
    a shard failed for good, the others ended-> Failed, with what each said
    all shards done                          -> Job `finish`
    finish read                              -> Complete, with the result
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import ValidationError

from shoal_operator.api.batch import ClusteringBatchSpec, ClusteringBatchStatus, ShardCounts
from shoal_operator.api.meta import Reason
from shoal_operator.core import facts, names
from shoal_operator.core.batch_failure import AGAIN, find_trouble, tell_ailing, tell_ended
from shoal_operator.core.batch_outcome import (
    Outcome,
    tell_at_rest,
    tell_completed,
    tell_failed,
    tell_suspended,
    write_plan,
)
from shoal_operator.core.batch_progress import measure
from shoal_operator.core.batch_report import PlanReport, read_finish, read_plan
from shoal_operator.core.batch_version import find_version
from shoal_operator.core.conditions import Problem
from shoal_operator.core.diagnosis import termination_message
from shoal_operator.core.manifests.batch_job import Step, build_batch_job
from shoal_operator.core.plan import Adjust, Create, Delete, Plan
from shoal_operator.core.snapshot import BatchSnapshot, Defaults, RawObject
from shoal_operator.core.training_job import has_ended, pods_of

_SOON_SECONDS = 0.1
_LOOK_SECONDS = 10.0
_JOB_LOOK_SECONDS = 30.0
_MOST_RERUNS = 3
_SECRETS = (("source",), ("output",), ("output", "postgres"))
"""Parts of the spec that may have a secretRef."""

Report = TypeVar("Report")


def plan_batch(snapshot: BatchSnapshot, now: datetime) -> Plan:
    """Plan one pass over a ClusteringBatch."""
    batch = snapshot.batch
    if facts.is_deleting(batch):
        return Plan()
    previous = _read_status(batch)
    try:
        spec = ClusteringBatchSpec.model_validate(facts.at(batch, "spec"))
    except ValidationError as error:
        problem = Problem(Reason.INVALID_SPEC, facts.refusal(error))
        return write_plan(
            snapshot.batch, previous, Outcome("Failed", problem.reason, problem.message, previous, problem=problem), now
        )
    identity = hash_batch(batch, spec)
    memory = previous if previous.batch_hash == identity else ClusteringBatchStatus(batch_hash=identity)
    ended = facts.instant(memory.completed_at)
    if ended is not None:
        wait = None
        if spec.ttl_seconds_after_finished is not None:
            wait = (ended + timedelta(seconds=spec.ttl_seconds_after_finished) - now).total_seconds()
            if wait <= 0:
                return Plan(actions=(Delete(facts.key_of(batch, "ClusteringBatch"), facts.uid_of(batch)),))
        return write_plan(snapshot.batch, previous, tell_at_rest(memory, wait), now)
    outcome = _Pass(snapshot, spec, memory, now).decide()
    superseded = tuple(
        Delete(facts.key_of(job, "Job"), facts.uid_of(job))
        for job in snapshot.jobs
        if facts.label_of(job, names.BATCH_HASH) != identity and not facts.is_deleting(job)
    )
    plan = write_plan(snapshot.batch, previous, outcome, now)
    return Plan((*superseded, *plan.actions), plan.status, plan.requeue_after, plan.clean_up)


def required_secrets(batch: RawObject, defaults: Defaults) -> frozenset[str]:
    """Return the names of the Secrets that this batch needs."""
    own = (facts.text_at(batch, "spec", *part, "secretRef", "name") for part in _SECRETS)
    return frozenset(name for name in (*own, defaults.store_secret_name) if name)


def hash_batch(batch: RawObject, spec: ClusteringBatchSpec) -> str:
    """Return the identity of a batch: which data, which reference, where to, cut how; not how its pods run.

    Defaults are left out, so that a release that adds a field does not run every batch anew.
    """
    identity = spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        include={
            "model_ref": True,
            "deployment_ref": True,
            "source": True,
            "output": {"uri": True, "columns": True, "postgres": {"uri", "table"}},
            "shards": True,
            "rows_per_shard": True,
        },
    )
    identity["source"].pop("secretRef", None)
    again = facts.annotation_of(batch, names.RERUN)
    canonical = json.dumps({**identity, "rerun": again}, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over a batch that has not ended."""

    snapshot: BatchSnapshot
    spec: ClusteringBatchSpec
    memory: ClusteringBatchStatus
    now: datetime

    def decide(self) -> Outcome:
        """Return where the batch stands."""
        if self.memory.pinned is None:
            return self._pin()
        if self.memory.run is None:
            return self._plan()
        if (finish := self._job("finish")) is not None:
            return self._finish(finish)
        return self._shards()

    def _pin(self) -> Outcome:
        found = find_version(self.spec, self.snapshot)
        if isinstance(found, Problem):
            return Outcome(
                "Pending", found.reason, found.message, self.memory, problem=found, requeue_after=_LOOK_SECONDS
            )  # fmt: skip
        message = f"Version {found.version} of ClusteringModel {found.model} labels the data."
        memory = self.memory.model_copy(update={"pinned": found})
        return Outcome(
            "Pending", Reason.PINNED, message, memory, progressing=True, requeue_after=_SOON_SECONDS
        )  # fmt: skip

    def _plan(self) -> Outcome:
        job = self._job("plan")
        if job is None:
            return self._start("plan", "Planning", Reason.PLANNING, "The source is listed and cut into shards.")
        found = self._await(job, "plan", lambda message: read_plan(message, self.spec.output.uri))
        if isinstance(found, Outcome):
            return found
        memory = _planned(self.memory, found, job)
        if found.result is not None:
            return tell_completed(memory, found.result, self.now)
        message = f"{found.shards} shards are to be labelled."
        return Outcome(
            "Running", Reason.LABELLING, message, memory, progressing=True, requeue_after=_SOON_SECONDS
        )  # fmt: skip

    def _shards(self) -> Outcome:
        job = self._job("shard")
        if job is None:
            return self._start("shard", "Running", Reason.LABELLING, "The shards are starting.")
        pods = pods_of(self.snapshot.job_pods, facts.name_of(job))
        memory = measure(self.memory, job, pods, self.snapshot.rows, self.now)
        if has_ended(job, "Complete"):
            step = _Pass(self.snapshot, self.spec, memory, self.now)
            return step._start("finish", "Finishing", Reason.FINISHING, "The shards' results are collected.")
        if has_ended(job, "Failed") or has_ended(job, "FailureTarget"):
            return tell_failed(memory, tell_ended(job, pods, self.spec), self.now)
        if facts.is_deleting(job):
            return self._wait_for_removal(job)
        return self._running(job, "shard", memory, tell_ailing(job, pods))

    def _finish(self, job: RawObject) -> Outcome:
        found = self._await(job, "finish", lambda message: read_finish(message, self.spec.output.uri))
        return found if isinstance(found, Outcome) else tell_completed(self.memory, found, self.now)

    def _await(self, job: RawObject, step: Step, read: Callable[[str], Report | None]) -> Report | Outcome:
        """Return the report of a Job with one pod, or where it stands without one."""
        if facts.is_deleting(job):
            return self._wait_for_removal(job)
        pods = pods_of(self.snapshot.job_pods, facts.name_of(job))
        if has_ended(job, "Complete"):
            messages = (termination_message(facts.mapping_at(pod, "status")) for pod in pods)
            report = next(filter(None, map(read, messages)), None)
            if report is not None:
                return report
            if any(facts.text_at(pod, "status", "phase") in ("Pending", "Running") for pod in pods):
                # The Job's news came before its pod's; the report is on its way.
                return self._running(job, step, self.memory, None)
            return self._lost(job, step)
        if has_ended(job, "Failed") or has_ended(job, "FailureTarget"):
            return tell_failed(self.memory, tell_ended(job, pods, self.spec), self.now)
        memory = self.memory
        if step == "plan":
            # A source of one shard is labelled by the plan's own pod, which tells its rows as a shard's does.
            rows = max((self.snapshot.rows.get(facts.uid_of(pod), 0) for pod in pods), default=0)
            memory = memory.model_copy(update={"rows": max(memory.rows, rows)})
        return self._running(job, step, memory, find_trouble(pods))

    def _running(self, job: RawObject, step: Step, memory: ClusteringBatchStatus, problem: Problem | None) -> Outcome:
        phase, reason, message = {
            "plan": ("Planning", Reason.PLANNING, "The source is listed and cut into shards."),
            "shard": (
                "Running",
                Reason.LABELLING,
                f"{memory.shards.done} of {memory.shards.total} shards are labelled.",
            ),
            "finish": ("Finishing", Reason.FINISHING, "The shards' results are collected."),
        }[step]
        wanted: dict[str, object] = {"suspend": self.spec.suspend}
        if step == "shard":
            wanted["parallelism"] = min(memory.shards.total, self.spec.parallelism)
        changes = {name: value for name, value in wanted.items() if (facts.at(job, "spec", name) or False) != value}
        adjust = (Adjust(facts.key_of(job, "Job"), facts.uid_of(job), changes),) if changes else ()
        if self.spec.suspend:
            return tell_suspended(memory, adjust)
        return Outcome(
            phase, reason, message, memory, progressing=True, problem=problem, actions=adjust,
            requeue_after=_JOB_LOOK_SECONDS,
        )  # fmt: skip

    def _start(self, step: Step, phase: str, reason: Reason, message: str) -> Outcome:
        if self.spec.suspend:
            return tell_suspended(self.memory, ())
        problem = self._find_missing()
        if problem is not None:
            return Outcome(
                "Pending", problem.reason, problem.message, self.memory, problem=problem, requeue_after=_LOOK_SECONDS
            )  # fmt: skip
        if self.memory.pinned is None or self.memory.batch_hash is None:
            raise AssertionError("the first step starts after the pin was recorded")
        job = build_batch_job(
            self.snapshot.batch,
            self.spec,
            step,
            self.memory.batch_hash,
            self.memory.pinned,
            self.memory,
            self.snapshot.defaults,
        )
        return Outcome(
            phase, reason, message, self.memory, progressing=True, actions=(Create(job),),
            requeue_after=_JOB_LOOK_SECONDS,
        )  # fmt: skip

    def _find_missing(self) -> Problem | None:
        missing = self.snapshot.missing_secrets & required_secrets(self.snapshot.batch, self.snapshot.defaults)
        if not missing:
            return None
        name = min(missing)
        whose = next(
            (
                ".".join(("spec", *part, "secretRef"))
                for part in _SECRETS
                if facts.text_at(self.snapshot.batch, "spec", *part, "secretRef", "name") == name
            ),
            "the operator's store",
        )
        return Problem(
            Reason.SECRET_MISSING,
            f"Secret {name} of {whose} does not exist in namespace {facts.namespace_of(self.snapshot.batch)}. "
            "Create it there; the batch goes on by itself then.",
        )

    def _lost(self, job: RawObject, step: Step) -> Outcome:
        name = facts.name_of(job)
        if self.memory.reruns >= _MOST_RERUNS:
            problem = Problem(
                Reason.BATCH_FAILED,
                f"Job {name} succeeded {self.memory.reruns + 1} times without leaving a report that can be read. Check "
                f"that the worker image belongs to this operator, {AGAIN}.",
            )
            return tell_failed(self.memory, problem, self.now)
        memory = self.memory.model_copy(update={"reruns": self.memory.reruns + 1})
        message = f"Job {name} succeeded but its report was lost with its pod; it runs again."
        reason = Reason.PLANNING if step == "plan" else Reason.FINISHING
        # The count is recorded before the Job goes: else a crash between the two would make the bound none.
        removal = Delete(facts.key_of(job, "Job"), facts.uid_of(job))
        phase = "Planning" if step == "plan" else "Finishing"
        return Outcome(phase, reason, message, memory, progressing=True, clean_up=(removal,))

    def _wait_for_removal(self, job: RawObject) -> Outcome:
        message = f"Job {facts.name_of(job)} is being removed; it runs again after that."
        return Outcome(
            "Pending", Reason.PLANNING, message, self.memory, progressing=True, requeue_after=_LOOK_SECONDS
        )  # fmt: skip

    def _job(self, step: Step) -> RawObject | None:
        name = names.batch_job(facts.name_of(self.snapshot.batch), step, self.memory.batch_hash or "")
        return next((job for job in self.snapshot.jobs if facts.name_of(job) == name), None)


def _planned(memory: ClusteringBatchStatus, report: PlanReport, job: RawObject) -> ClusteringBatchStatus:
    update: dict[str, object] = {
        "run": report.run,
        "shards": ShardCounts(total=report.shards),
        "rows_total": report.rows,
    }
    if report.result is not None:
        update["started_at"] = facts.text_at(job, "status", "startTime") or None
    return memory.model_copy(update=update)


def _read_status(batch: RawObject) -> ClusteringBatchStatus:
    try:
        return ClusteringBatchStatus.model_validate(facts.mapping_at(batch, "status"))
    except ValidationError:
        return ClusteringBatchStatus()

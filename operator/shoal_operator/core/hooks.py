"""Follows the hooks of a rollout: begins them, asks what became of them, remembers it.

Called by core.rollout and core.holds; `hook_window` and `wanted_hook_requests` by runtime.answers. Invariant: a hook is
begun once in a rollout, and is remembered before anybody is told: a service may be told more than once, with the same
key, but is never forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from shoal_operator.api.deployment import Revision
from shoal_operator.api.hook import Hook, HookAt, HookRecord
from shoal_operator.api.meta import Reason
from shoal_operator.core import names
from shoal_operator.core.facts import (
    at,
    instant,
    items_at,
    name_of,
    namespace_of,
    printable,
    text_at,
    timestamp,
    uid_of,
)
from shoal_operator.core.gates.outside import Request, describe_denial
from shoal_operator.core.gates.window import AnalysisWindow
from shoal_operator.core.manifests.task_job import Task
from shoal_operator.core.plan import Emit
from shoal_operator.core.progress import Progress, read_status
from shoal_operator.core.snapshot import Answer, DeploymentSnapshot, RawObject
from shoal_operator.core.tasks import Outcome, facts_of, identify, read_outcome

_MOST_KEPT = 24
_LONGEST_REQUEST_SECONDS = 30
_ASK_AGAIN = (408, 425, 429)
_HOOKS = TypeAdapter(list[Hook])


def begin_hooks(
    hooks: Iterable[Hook], point: HookAt, progress: Progress, candidate: Revision, stable: Revision, now: datetime
) -> Progress:
    """Remember that the hooks of a point have begun; those that have already in this rollout stay as they are."""
    known = {item.name for item in records_of(progress, point, candidate)}
    fresh = [
        HookRecord(
            name=hook.name,
            at=point,
            state="Running",
            version=candidate.version,
            revision=candidate.revision,
            stable_version=stable.version,
            stable_revision=stable.revision,
            started_at=timestamp(now),
        )
        for hook in hooks
        if hook.at == point and hook.name not in known
    ]
    return replace(progress, hooks=(*progress.hooks, *fresh)[-_MOST_KEPT:]) if fresh else progress


def records_of(progress: Progress, point: HookAt, candidate: Revision) -> tuple[HookRecord, ...]:
    """Return what is remembered of a point's hooks in the present rollout."""
    return tuple(item for item in progress.hooks if item.at == point and item.revision == candidate.revision)


def skip_hooks(progress: Progress) -> tuple[Progress, bool]:
    """Go on without the hooks that hold the rollout or have failed it; return whether there were any."""
    waits = [item.at.startswith("Before") and item.state in ("Running", "Failed") for item in progress.hooks]
    skipped = tuple(
        item.model_copy(update={"state": "Skipped"}) if skip else item
        for item, skip in zip(progress.hooks, waits, strict=True)
    )
    return replace(progress, hooks=skipped), any(waits)


def leave_behind(progress: Progress) -> tuple[HookRecord, ...]:
    """Return what stays remembered when another rollout begins: what still has to be told of the last one."""
    return tuple(item for item in progress.hooks if item.state == "Running" and item.at.startswith("After"))


def follow_hooks(
    snapshot: DeploymentSnapshot, hooks: Iterable[Hook], progress: Progress, now: datetime
) -> tuple[Progress, tuple[Emit, ...]]:
    """Take over what became of the hooks that run; a failure is told by an event."""
    known = {hook.name: hook for hook in hooks}
    followed = tuple(
        _follow(snapshot, known.get(item.name), item, now) if item.state == "Running" else item
        for item in progress.hooks
    )
    told = tuple(
        Emit("Warning", Reason.HOOK_FAILED, describe_failure(after))
        for before, after in zip(progress.hooks, followed, strict=True)
        if after.state == "Failed" and before.state != "Failed"
    )
    return replace(progress, hooks=followed), told


def describe_failure(record: HookRecord) -> str:
    """Tell that a hook failed, and why."""
    return f"Hook {record.name} ({record.at}) of version {record.version} failed: {record.message}"


def build_hook_tasks(deployment: RawObject, hooks: Iterable[Hook], records: Iterable[HookRecord]) -> tuple[Task, ...]:
    """Return the tasks of the hooks that run a Job now."""
    known = {hook.name: hook for hook in hooks}
    running = ((known.get(item.name), item) for item in records if item.state == "Running")
    return tuple(_task(deployment, hook, item) for hook, item in running if hook and hook.cron_job)


def wanted_cron_jobs(deployment: RawObject) -> tuple[str, ...]:
    """Return the names of the CronJobs that gates and hooks may start now."""
    gates, hooks = items_at(deployment, "spec", "analysis", "jobs"), items_at(deployment, "spec", "hooks")
    if not gates and not hooks:
        return ()
    status = read_status(deployment)
    running = {item.name for item in status.hooks if item.state == "Running"}
    due = [*(gates if status.window_started_at else ()), *(item for item in hooks if text_at(item, "name") in running)]
    return tuple(sorted({name for item in due if (name := text_at(item, "cronJob"))}))


def hook_window(deployment: RawObject) -> AnalysisWindow | None:
    """Return the window in which services are told: as long as the same hooks run; None while none does."""
    keys = [item.key for item in _requests(deployment)]
    return AnalysisWindow("|".join(keys), "", "") if keys else None


def wanted_hook_requests(deployment: RawObject, allowed: tuple[str, ...]) -> tuple[Request, ...]:
    """Return what services are to be told now; nothing for hosts that are not allowed."""
    return tuple(request for request in _requests(deployment) if not describe_denial(request.url, allowed))


def _requests(deployment: RawObject) -> Iterator[Request]:
    if not (specified := at(deployment, "spec", "hooks")):
        return
    try:
        hooks = {hook.name: hook for hook in _HOOKS.validate_python(specified)}
    except ValidationError:
        return
    for record in read_status(deployment).hooks:
        hook = hooks.get(record.name)
        if record.state == "Running" and hook is not None and hook.url is not None:
            yield _request(deployment, hook.url, hook, record)


def _request(deployment: RawObject, url: str, hook: Hook, record: HookRecord) -> Request:
    body = {
        "hook": record.name,
        "at": record.at,
        "namespace": namespace_of(deployment),
        "deployment": name_of(deployment),
        "model": text_at(deployment, "spec", "modelRef", "name"),
        "stable": {"version": record.stable_version, "revision": record.stable_revision},
        "candidate": {"version": record.version, "revision": record.revision},
        "startedAt": record.started_at,
    }
    key = _identity(deployment, record)
    return Request(
        key=key,
        url=url,
        body=json.dumps(body, sort_keys=True),
        seconds=min(hook.timeout_seconds, _LONGEST_REQUEST_SECONDS),
        idempotency_key=key,
    )


def _follow(snapshot: DeploymentSnapshot, hook: Hook | None, record: HookRecord, now: datetime) -> HookRecord:
    began = instant(record.started_at) or now
    if hook is None:
        return _ended(record, "Failed", "it was taken out of spec.hooks.", now)
    if hook.cron_job is not None:
        outcome = read_outcome(snapshot, _task(snapshot.deployment, hook, record), began, now)
    else:
        denial = describe_denial(hook.url or "", snapshot.defaults.analysis_allowed_hosts)
        key = _identity(snapshot.deployment, record)
        outcome = Outcome("error", denial) if denial else _read(snapshot.hook_answers.get(key))
    match outcome.state:
        case "succeeded":
            return _ended(record, "Succeeded", outcome.message, now)
        case "failed":
            return _ended(record, "Failed", outcome.message, now)
    # An error may be mended until the time is over.
    if outcome.ended_at or now >= began + timedelta(seconds=hook.timeout_seconds):
        late = "" if outcome.ended_at else f"it has not succeeded within {hook.timeout_seconds} s: "
        return _ended(record, "Failed", f"{late}{outcome.message}", now)
    return record.model_copy(update={"message": outcome.message})


def _read(answer: Answer | None) -> Outcome:
    if answer is None:
        return Outcome("running", "the service has not answered yet.")
    if answer.error:
        return Outcome("error", f"no answer: {printable(answer.error, 200)}.")
    if 200 <= answer.status < 300:
        return Outcome("succeeded", f"the service answers {answer.status}.")
    told = printable(answer.body, 200)
    message = f"the service answers {answer.status}{f': {told}' if told else ''}."
    refused = 400 <= answer.status < 500 and answer.status not in _ASK_AGAIN
    return Outcome("failed" if refused else "error", message)


def _ended(record: HookRecord, state: str, message: str, now: datetime) -> HookRecord:
    return record.model_copy(update={"state": state, "message": message, "ended_at": timestamp(now)})


def _task(deployment: RawObject, hook: Hook, record: HookRecord) -> Task:
    identity = _identity(deployment, record)
    return Task(
        job=names.task_job(name_of(deployment), identity),
        cron_job=hook.cron_job or "",
        path=f"spec.hooks[{hook.name}].cronJob",
        timeout_seconds=hook.timeout_seconds,
        variables={
            **facts_of(deployment, text_at(deployment, "spec", "modelRef", "name")),
            "SHOAL_HOOK": record.name,
            "SHOAL_AT": record.at,
            "SHOAL_STABLE_VERSION": str(record.stable_version),
            "SHOAL_STABLE_REVISION": record.stable_revision,
            "SHOAL_CANDIDATE_VERSION": str(record.version),
            "SHOAL_CANDIDATE_REVISION": record.revision,
        },
    )


def _identity(deployment: RawObject, record: HookRecord) -> str:
    return identify(uid_of(deployment), record.at, record.name, record.revision, record.started_at)

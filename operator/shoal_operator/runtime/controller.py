"""The loop: key, observe, plan, execute in order, status, clean up, look again.

Started by app as a few workers over one queue. Invariant: the plan decides and the controller executes; a pass that is
cut off anywhere leaves a state that the next pass carries on from. An object's trouble delays no other object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

import structlog

from shoal_operator.api.meta import ObjectKey, Reason
from shoal_operator.core import names
from shoal_operator.core.farewell import let_go
from shoal_operator.core.group import group_of
from shoal_operator.core.plan import (
    Action,
    Adjust,
    Apply,
    Create,
    Delete,
    Emit,
    Finalize,
    Label,
    Manifest,
    Plan,
    Record,
    StatusWrite,
)
from shoal_operator.core.snapshot import RawObject
from shoal_operator.errors import ApiError, BoundaryViolation, Conflict, LeaseLost, NamespaceGoing
from shoal_operator.runtime import failures
from shoal_operator.runtime.gateway import KubeGateway
from shoal_operator.runtime.metrics import Metrics
from shoal_operator.runtime.observer import Decisions, Observer
from shoal_operator.runtime.queue import WorkQueue
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store, key_of, uid_of

_AFTER_CONFLICT_SECONDS = 0.05
_CONFLICTS_IN_A_ROW = 5
_AFTER_MEMBER_SECONDS = 0.05
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Pass:
    """One pass over one object: which it is, and its resourceVersion after our own writes."""

    key: ObjectKey
    raw: RawObject
    resource_version: str


class Controller:
    """Reconciles keys from the queue."""

    def __init__(
        self,
        queue: WorkQueue[ObjectKey],
        store: Store,
        observer: Observer,
        gateway: KubeGateway,
        decide: Decisions,
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self._queue = queue
        self._store = store
        self._observer = observer
        self._gateway = gateway
        self._decide = decide
        self._metrics = metrics
        self._now = now
        self._anew: set[ObjectKey] = set()
        self._conflicts: dict[ObjectKey, int] = {}
        self._groups: set[tuple[str, str, str]] = set()
        """Groups of which a member is in some worker's hands."""

    async def work(self) -> None:
        """Reconcile keys until cancelled or until the Lease is lost."""
        while True:
            key = await self._queue.get()
            try:
                await self.reconcile(key)
            finally:
                self._queue.done(key)

    def apply_anew(self, key: ObjectKey) -> None:
        """Let the key's next pass send every Apply, whatever was sent before."""
        self._anew.add(key)

    async def reconcile(self, key: ObjectKey) -> None:
        """Make one pass, and see to it that the key comes again when it must. Raises LeaseLost only."""
        started = time.perf_counter()
        try:
            outcome = await self._attempt(key)
        except LeaseLost:
            raise
        except Conflict as error:
            outcome = "conflict"
            self._after_conflict(key, error)
        except NamespaceGoing as error:
            # The object is deleted with its namespace: there is nothing to tell anybody, and no use in another try.
            # The watch brings its end; should the namespace stay, held by a finalizer, the resync brings it again.
            outcome = "deleting"
            _log.debug("the namespace is being deleted", object=_text(key), error=str(error))
            self._queue.succeeded(key)
        except Exception as error:
            # Whatever one object provokes, the worker and the other objects go on.
            outcome = "error"
            await self._after_failure(key, error)
        else:
            if outcome not in ("error", "deferred"):
                self._queue.succeeded(key)
            self._conflicts.pop(key, None)
        self._metrics.reconciled(key.kind, outcome, time.perf_counter() - started)

    async def _attempt(self, key: ObjectKey) -> str:
        raw = self._store.get(key)
        if raw is None:
            self._gateway.forget(key)
            self._queue.forget(key)
            self._anew.discard(key)
            return "gone"
        if "deletionTimestamp" in raw["metadata"]:
            if names.CONSUMER_FINALIZER in (raw["metadata"].get("finalizers") or ()):
                await self._bid_farewell(key, raw)
            return "deleting"
        group = group_of(raw) if key.kind == "ClusteringDeployment" else None
        if group is None:
            return await self._execute_plan(key, raw)
        if group in self._groups:
            # Members decide by what the others have written: two passes at once could decide against each other. No
            # worker waits here, for the others' objects are not to be delayed.
            self._queue.add_after(key, _AFTER_MEMBER_SECONDS)
            return "deferred"
        self._groups.add(group)
        try:
            return await self._execute_plan(key, raw)
        finally:
            self._groups.discard(group)

    async def _bid_farewell(self, key: ObjectKey, raw: RawObject) -> None:
        try:
            await self._execute_plan(key, raw)
        except NamespaceGoing:
            # No Job can run there any more, and the namespace waits for the object.
            await self._gateway.finalize(let_go(raw), str(raw["metadata"].get("resourceVersion", "")))

    async def _execute_plan(self, key: ObjectKey, raw: RawObject) -> str:
        if key in self._anew:
            self._gateway.forget(key)
        plan = await self._plan(key, raw)
        run = _Pass(key, raw, str(raw["metadata"].get("resourceVersion", "")))
        await self._execute(run, plan.actions)
        if plan.status is not None:
            await self._write_status(run, plan.status)
        try:
            await self._execute(run, plan.clean_up)
        except (Conflict, NamespaceGoing):
            raise
        except ApiError as error:
            # The status tells of the object already: telling of this failure there too would provoke the next pass,
            # which would write the status anew, and so on without a pause.
            self._back_off(key, error)
            return "error"
        self._anew.discard(key)
        if plan.requeue_after is not None:
            self._queue.add_after(key, plan.requeue_after)
        return "ok"

    async def _plan(self, key: ObjectKey, raw: RawObject) -> Plan:
        match key.kind:
            case "ClusteringModel":
                return self._decide.model(await self._observer.model(raw), self._now())
            case "ClusteringModelVersion":
                return self._decide.version(raw, self._now())
            case "ClusteringDeployment":
                return self._decide.deployment(await self._observer.deployment(raw), self._now())
            case "ClusteringBatch":
                return self._decide.batch(await self._observer.batch(raw), self._now())
            case _:
                raise BoundaryViolation(f"{key.kind} is no kind that is reconciled")

    async def _execute(self, run: _Pass, actions: Iterable[Action]) -> None:
        for action in actions:
            _check_boundary(run.key, action)
            match action:
                case Apply(manifest):
                    await self._gateway.apply(run.key, manifest)
                case Create(manifest, optional):
                    await self._create(run, manifest, optional=optional)
                case Record(manifest):
                    await self._record(run, manifest)
                case Delete(key, uid):
                    await self._gateway.delete(key, uid)
                case Label():
                    await self._label(run, action)
                case Adjust():
                    await self._gateway.adjust(action)
                case Finalize():
                    written = await self._gateway.finalize(action, run.resource_version)
                    run.resource_version = written or run.resource_version
                case Emit(_, reason, message):
                    _log.info(message, object=_text(run.key), reason=reason)
                    await self._emit(run, action)
                case _:
                    assert_never(action)

    async def _record(self, run: _Pass, manifest: Manifest) -> None:
        """Create a record; status holds it until it is seen, so one that cannot be written now comes again."""
        try:
            await self._gateway.create(manifest)
        except NamespaceGoing:
            raise
        except ApiError as error:
            name = str(manifest["metadata"]["name"])
            _log.warning("record not written yet", object=_text(run.key), record=name, error=str(error))

    async def _create(self, run: _Pass, manifest: Manifest, *, optional: bool) -> None:
        """Create an object; where it is optional, a refusal, as by a quota, is only told."""
        try:
            await self._gateway.create(manifest)
        except NamespaceGoing:
            raise
        except ApiError as error:
            if not optional:
                raise
            message = f"{manifest['kind']} {manifest['metadata']['name']} is refused: {error.message[:800]}"
            await self._emit(run, Emit("Warning", Reason.JOB_REFUSED, message))

    async def _emit(self, run: _Pass, event: Emit) -> None:
        """Record an Event, which people read but nothing depends on: the pass goes on without it."""
        try:
            await self._gateway.emit(run.raw, event)
        except NamespaceGoing:
            raise
        except ApiError as error:
            _log.warning("event not recorded", object=_text(run.key), reason=event.reason, error=str(error))

    async def _label(self, run: _Pass, action: Label) -> None:
        if action.key != run.key:
            await self._gateway.label(action)
            return
        # On the object itself the resourceVersion guards too: a command given meanwhile must not be removed unseen.
        written = await self._gateway.label(action, run.resource_version)
        run.resource_version = written or run.resource_version

    async def _write_status(self, run: _Pass, write: StatusWrite) -> None:
        if write.key == run.key:
            if run.raw.get("status") != write.status:
                run.resource_version = await self._gateway.write_status(
                    write.key, write.status, uid_of(run.raw), run.resource_version
                )
            return
        other = self._store.get(write.key)
        if other is not None and other.get("status") != write.status:
            version = str(other["metadata"].get("resourceVersion", ""))
            await self._gateway.write_status(write.key, write.status, uid_of(other), version)

    def _after_conflict(self, key: ObjectKey, error: Conflict) -> None:
        count = self._conflicts.get(key, 0) + 1
        self._conflicts[key] = count
        _log.debug("stale view, observing again", object=_text(key), error=str(error))
        if count <= _CONFLICTS_IN_A_ROW:
            self._queue.add_after(key, _AFTER_CONFLICT_SECONDS)
        else:
            self._queue.add_failed(key)

    async def _after_failure(self, key: ObjectKey, error: Exception) -> None:
        self._back_off(key, error)
        raw = self._store.get(key)
        if raw is None or not failures.worth_telling(error, self._queue.failures(key)):
            return
        status = failures.status_with_failure(raw, error, self._now())
        if status == raw.get("status"):
            return
        try:
            await self._gateway.write_status(key, status, uid_of(raw), str(raw["metadata"]["resourceVersion"]))
        except ApiError as second:
            _log.debug("could not record the failure", object=_text(key), error=str(second))

    def _back_off(self, key: ObjectKey, error: Exception) -> None:
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        delay = self._queue.add_failed(key, at_least=retry_after or 0.0)
        _log.warning(
            "reconcile failed",
            object=_text(key),
            error=str(error),
            in_a_row=self._queue.failures(key),
            retry_in=round(delay, 2),
            # An API error says all in its text; anything else is a defect of ours and needs its origin.
            exc_info=None if isinstance(error, ApiError) else error,
        )


def _check_boundary(key: ObjectKey, action: Action) -> None:
    """A plan acts in its object's namespace only, so that who may edit one namespace gains nothing in another."""
    match action:
        case Apply(manifest) | Create(manifest) | Record(manifest):
            target = key_of(manifest)
        case Delete(target, _):
            pass
        case Label() | Adjust() | Finalize():
            target = action.key
        case _:
            return
    if target.namespace != key.namespace or target.kind not in BY_KIND:
        raise BoundaryViolation(f"the plan of {_text(key)} names {_text(target)}, outside its namespace or kinds")


def _text(key: ObjectKey) -> str:
    return f"{key.kind} {key.namespace}/{key.name}"

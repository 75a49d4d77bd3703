"""What a reconcile pass intends: an ordered tuple of actions, a status, and when to look again.

Built by core.training, core.rollout and core.batch, executed in order by runtime.controller, which may be cut off
after any action: the next pass observes what came of it and plans the rest. Invariant: an action is idempotent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from shoal_operator.api.meta import ObjectKey

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of a whole object under Shoal's one field manager."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object that is never changed afterwards; one that exists already is left alone."""

    manifest: Manifest
    optional: bool = False
    """A refusal is told by an event, and the pass goes on."""


@dataclass(frozen=True, slots=True)
class Record:
    """Create what status holds until it is seen: a failure delays nothing, for the next pass tries again."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object if it still has this uid, its dependants in the background."""

    key: ObjectKey
    uid: str


@dataclass(frozen=True, slots=True)
class Label:
    """Merge labels or annotations of an existing object; a value of None removes. Fails softly if it is gone."""

    key: ObjectKey
    uid: str
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adjust:
    """Merge fields into the spec of an object that otherwise stays as it was created. Fails softly if it is gone."""

    key: ObjectKey
    uid: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finalize:
    """Set the finalizers of the reconciled object itself; without any, one that is being deleted is gone."""

    key: ObjectKey
    uid: str
    finalizers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Emit:
    """A Kubernetes Event on the reconciled object."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    record: str = ""
    """Name of the ClusteringDecision that has all of it; empty for none."""


Action = Apply | Create | Record | Delete | Label | Adjust | Finalize | Emit


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """A status for an object; skipped when the object already has it.

    Written after the actions, with the observed resourceVersion as a precondition, so that a stale view never
    moves a rollout twice.
    """

    key: ObjectKey
    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions in their order, then the status, then sleep until an event or `requeue_after` seconds."""

    actions: tuple[Action, ...] = ()
    status: StatusWrite | None = None
    requeue_after: float | None = None
    clean_up: tuple[Action, ...] = ()
    """Actions that may only follow a successful status write, such as removing a handled command."""

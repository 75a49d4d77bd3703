"""Tells who asked for something, as far as the object itself says.

Called by core.decided. Invariant: nothing here is proof. Whoever may write an object may write these words too; only
the API server's audit log knows who it was.
"""

from __future__ import annotations

from shoal_operator.api.decision import DecisionActor
from shoal_operator.core import names
from shoal_operator.core.commands import asked_by
from shoal_operator.core.facts import at, items_at, printable, text_at
from shoal_operator.core.snapshot import RawObject

_LONGEST_NAME = 256
_LONGEST_MANAGER = 128


def commander(deployment: RawObject, command: str) -> DecisionActor:
    """Return who gave a command: by its value, and by the field manager of its annotation."""
    return DecisionActor(
        kind="Command",
        command=command,
        name=printable(asked_by(deployment, command), _LONGEST_NAME),
        manager=manager_of(deployment, "metadata", "annotations", names.command_annotation(command)),
    )


def author(deployment: RawObject, *path: str) -> DecisionActor:
    """Return who wrote a field of the spec."""
    return DecisionActor(kind="Spec", manager=manager_of(deployment, "spec", *path))


def manager_of(raw: RawObject, *path: str) -> str:
    """Return the field manager that last wrote a field or anything below it; empty where none is told.

    >>> fields = {"f:spec": {"f:paused": {}}}
    >>> manager_of({"metadata": {"managedFields": [{"manager": "kubectl", "fieldsV1": fields}]}}, "spec", "paused")
    'kubectl'
    """
    fields = [f"f:{part}" for part in path]
    writers = [
        (text_at(entry, "time"), text_at(entry, "manager"))
        for entry in items_at(raw, "metadata", "managedFields")
        if at(entry, "fieldsV1", *fields) is not None
    ]
    return printable(max(writers, default=("", ""))[1], _LONGEST_MANAGER)

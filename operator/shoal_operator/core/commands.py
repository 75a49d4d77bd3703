"""Reads the user's commands, which are annotations that the operator removes once their effect is recorded.

Called by core.rollout. Invariant: a command takes effect once, although its annotation is seen in several passes:
its effect and its name enter status in one write, and the annotation goes only after that.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.core import names
from shoal_operator.core.facts import annotation_of, key_of, uid_of
from shoal_operator.core.plan import Label
from shoal_operator.core.snapshot import RawObject

_LONGEST_VALUE = 64
_BY = ";by="


@dataclass(frozen=True, slots=True)
class Commands:
    """The commands that wait for their effect, and those that only wait to be removed."""

    new: frozenset[str] = frozenset()
    handled: tuple[str, ...] = ()
    """All present ones with their values, the new included: what status records after this pass."""

    def value(self, command: str) -> str:
        """Return the value that a command was given with, without who gave it; empty where it was not given."""
        values = dict(entry.split("=", 1) for entry in self.handled)
        return values.get(command, "").partition(_BY)[0]

    def __contains__(self, command: str) -> bool:
        return command in self.new


def read_commands(deployment: RawObject, recorded: tuple[str, ...]) -> Commands:
    """Return the commands on the object; those with the recorded value have had their effect.

    The value is part of the record, so that a command given again with another value before the first was cleared
    away is not lost.
    """
    present = {
        command: f"{command}={value[:_LONGEST_VALUE]}"
        for command in names.COMMANDS
        if (value := annotation_of(deployment, names.command_annotation(command)))
    }
    new = frozenset(command for command, entry in present.items() if entry not in recorded)
    return Commands(new, tuple(present.values()))


def asked_by(deployment: RawObject, command: str) -> str:
    """Return who gave a command, as its value says: shoal.dev/promote=yes;by=alice. Empty where it does not."""
    return annotation_of(deployment, names.command_annotation(command)).partition(_BY)[2]


def clear_commands(deployment: RawObject, commands: Commands) -> tuple[Label, ...]:
    """Return the removal of all commands on the object; only to follow a recorded status."""
    if not commands.handled:
        return ()
    gone = {names.command_annotation(entry.partition("=")[0]): None for entry in commands.handled}
    return (Label(key_of(deployment, "ClusteringDeployment"), uid_of(deployment), annotations=gone),)

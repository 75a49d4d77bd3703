"""What the members of a group mean for each other: whom one waits for, when all go, when all go back.

Asked by core.holds, core.transitions and core.rollout. Invariant: nothing here moves traffic, and every wait names
who is waited for and what keeps it. Members that are promoted together follow one rule: the promotion is decided when
the last one has passed its last step; until one has been promoted each may still go back, and then all go back; after
that none does. Passes of one group's members never overlap (runtime.controller), so that this holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from shoal_operator.api.deployment import ClusteringDeploymentSpec, ClusteringDeploymentStatus, Revision
from shoal_operator.api.group import Group
from shoal_operator.api.meta import Reason
from shoal_operator.core.conditions import Problem
from shoal_operator.core.facts import at, is_deleting, name_of, namespace_of, printable, text_at
from shoal_operator.core.progress import Progress, read_status
from shoal_operator.core.snapshot import DeploymentSnapshot, RawObject


@dataclass(frozen=True, slots=True)
class Member:
    """Another deployment of the group."""

    name: str
    group: Group
    status: ClusteringDeploymentStatus
    paused: bool
    pinned: str
    """The version that its spec asks for."""

    def serves(self, version: int) -> bool:
        """Tell whether a version is its stable one."""
        return self.status.stable is not None and self.status.stable.version == version

    def tries(self, version: int) -> bool:
        """Tell whether a version is on trial in it."""
        return self.status.candidate is not None and self.status.candidate.version == version

    def passed(self, version: int) -> bool:
        """Tell whether it would promote a version now, but for its group, or has."""
        ready = self.status.stage in ("Passed", "Decided", "Alone") and not self.paused
        return self.serves(version) or (self.tries(version) and ready)

    def decided(self, version: int) -> bool:
        """Tell whether the group's promotion of a version is decided, as it knows."""
        # The stage stays until the next rollout, so it may be that of the stable version.
        concerned = self.status.candidate or self.status.stable
        return self.status.stage == "Decided" and concerned is not None and concerned.version == version

    def refused(self, version: int) -> str:
        """Tell why it rolled a version back of its own accord; empty where it has not."""
        found = (item for item in self.status.blocked_versions if item.version == version)
        return next((item.reason for item in found if item.reason != Reason.GROUP_FAILED), "")

    def describe(self, version: int) -> str:
        """Tell what keeps it from having passed a version."""
        if why := self.refused(version):
            return f"{self.name} rolled it back ({why}); set shoal.dev/retry on it to try again"
        if self.paused:
            return f"{self.name} is paused"
        status = self.status
        if self.tries(version):
            step, count = status.step or 0, status.step_count or 0
            return f"{self.name} is at step {min(step + 1, count)} of {count}"
        if status.pending_version == version:
            return f"{self.name} waits for approval of it"
        if self.pinned not in ("", "latest", str(version)):
            return f"{self.name} is pinned to {printable(self.pinned, 24)}"
        return f"{self.name} has not begun it" if status.stable else f"{self.name} serves nothing yet"


def group_of(deployment: RawObject) -> tuple[str, str, str] | None:
    """Return namespace, model and name of the group that a deployment says it is in."""
    group, model = text_at(deployment, "spec", "group", "name"), text_at(deployment, "spec", "modelRef", "name")
    return (namespace_of(deployment), model, group) if group and model else None


def members(snapshot: DeploymentSnapshot) -> tuple[Member, ...]:
    """Return the other members, by name; one whose spec.group cannot be read is none."""
    mine = group_of(snapshot.deployment)
    found = (_read(peer) for peer in snapshot.peers if mine and group_of(peer) == mine and not is_deleting(peer))
    return tuple(sorted((member for member in found if member), key=lambda member: member.name))


def find_problem(spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot) -> Problem | None:
    """Tell what is wrong with whom the spec waits for: no such member, another's, itself, or a circle."""
    if spec.group is None:
        return None
    own, known = name_of(snapshot.deployment), {member.name: member for member in members(snapshot)}
    peers = {name_of(peer): peer for peer in snapshot.peers if not is_deleting(peer)}
    for name in spec.group.promote_after:
        if name == own:
            return _invalid(f"{name} is this deployment itself. Leave it out.")
        if name not in peers:
            return _invalid(f"ClusteringDeployment {name} does not exist. Create it, or leave it out.")
        model = text_at(peers[name], "spec", "modelRef", "name")
        if model != spec.model_ref.name:
            told = printable(model, 100)
            return _invalid(f"{name} serves model {told}, not {spec.model_ref.name}. Leave it out.")
        if name not in known:
            return _invalid(f"{name} is not in group {spec.group.name}. Set its spec.group.name, or leave it out.")
    after = {own: spec.group.promote_after} | {name: member.group.promote_after for name, member in known.items()}
    circle = _find_circle(own, after)
    if circle:
        return _invalid(f"these wait for each other: {' after '.join(circle)}. Break the circle.")
    return None


def describe_predecessors(spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot, version: int) -> str:
    """Tell which members must serve a version first, and what keeps each; empty where all do."""
    if spec.group is None:
        return ""
    known = {member.name: member for member in members(snapshot)}
    lacking = [known[name] for name in spec.group.promote_after if name in known and not known[name].serves(version)]
    return "; ".join(member.describe(version) for member in lacking)


@dataclass(frozen=True, slots=True)
class Union:
    """The members that are promoted together with this one, and the version in question."""

    members: tuple[Member, ...]
    version: int

    @property
    def decided(self) -> bool:
        """Whether a member knows that the promotion is decided."""
        return any(member.decided(self.version) for member in self.members)

    @property
    def promoted(self) -> str:
        """Name of a member that was promoted by the group's decision; from then on none goes back. Empty before."""
        found = (item.name for item in self.members if item.decided(self.version) and item.serves(self.version))
        return next(found, "")

    @property
    def lacking(self) -> str:
        """Who has not passed its last step, and what keeps each; empty where all have."""
        return "; ".join(item.describe(self.version) for item in self.members if not item.passed(self.version))

    @property
    def following(self) -> str:
        """Names of those that go back too when this one does."""
        return ", ".join(item.name for item in self.members if item.tries(self.version))

    @property
    def failure(self) -> Problem | None:
        """Who rolled the version back of its own accord."""
        found = ((item.name, item.refused(self.version)) for item in self.members)
        name, why = next(((name, why) for name, why in found if why), ("", ""))
        return Problem(Reason.GROUP_FAILED, f"deployment {name} of its group rolled it back ({why})") if name else None


def find_union(
    spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot, stable: Revision, candidate: Revision
) -> Union | None:
    """Return with whom a candidate is promoted; None where with nobody: pods that change alone concern nobody else.

    A member that serves nothing yet does not count: its first version has nothing to be at one with.
    """
    if spec.group is None or not spec.group.together or stable.version == candidate.version:
        return None
    found = tuple(item for item in members(snapshot) if item.group.together and item.status.stable is not None)
    return Union(found, candidate.version)


def forgive(spec: ClusteringDeploymentSpec, snapshot: DeploymentSnapshot, progress: Progress) -> Progress:
    """Forget what was rolled back for the group's sake only, once nobody in it refuses that version any more."""
    if not any(item.reason == Reason.GROUP_FAILED for item in progress.blocked):
        return progress
    others = [item for item in members(snapshot) if item.group.together] if spec.group and spec.group.together else []

    def holds(version: int) -> bool:
        return any(member.refused(version) for member in others)

    blocked = tuple(item for item in progress.blocked if item.reason != Reason.GROUP_FAILED or holds(item.version))
    return replace(progress, blocked=blocked)


def _find_circle(own: str, after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the names along a way of promoteAfter from a member back to itself, both ends included."""

    def walk(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name in after.get(path[-1], ()):
            if name == own:
                yield (*path, own)
            elif name not in seen:
                seen.add(name)
                yield from walk((*path, name))

    seen: set[str] = set()
    return next(walk((own,)), ())


def _invalid(message: str) -> Problem:
    return Problem(Reason.GROUP_INVALID, f"spec.group.promoteAfter: {message}")


def _read(peer: RawObject) -> Member | None:
    try:
        group = Group.model_validate(at(peer, "spec", "group"))
    except ValidationError:
        return None
    status = read_status(peer)
    return Member(
        name=name_of(peer),
        group=group,
        status=status,
        paused=at(peer, "spec", "paused") is True or status.user_paused or status.failure_paused is not None,
        pinned=text_at(peer, "spec", "modelRef", "version"),
    )

"""What became of a deployment's versions: the records of its decisions, its status, and the events still there.

Used by `history`; pure but for printing. Kubernetes forgets events after an hour unless its administrator chose
otherwise; records stay. Invariant: nothing is guessed: what none of them tells is not shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pydantic.alias_generators import to_camel
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shoal_cli.deployments import rules
from shoal_cli.deployments.decisions import (
    DecisionView,
    of_version,
    print_decision,
    print_decisions,
    read_decisions,
)
from shoal_cli.deployments.figures import show_time
from shoal_cli.kube import Object


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of one revision."""

    version: int
    revision: str
    standing: str
    since: datetime | None
    why: str
    digest: str


@dataclass(frozen=True, slots=True)
class Happening:
    """One event; count is how often it happened."""

    time: datetime | None
    type: str
    reason: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class History:
    """Revisions, newest version first, the versions that could be served, decisions and events, oldest first."""

    revisions: tuple[Served, ...]
    servable: tuple[int, ...]
    decisions: tuple[DecisionView, ...]
    events: tuple[Happening, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "revisions": [_plain(asdict(each)) for each in self.revisions],
            "servableVersions": list(self.servable),
            "decisions": [each.to_json() for each in self.decisions],
            "events": [_plain(asdict(each)) for each in self.events],
        }


def read_history(
    deployment: Object,
    events: Iterable[Object],
    versions: Sequence[Object],
    decisions: Iterable[Object] = (),
    version: int | None = None,
) -> History:
    """Gather what is told of a deployment's past; of one version only where it is named."""
    known = read_decisions(decisions, (deployment.get("metadata") or {}).get("uid", ""))
    status = rules.status_of(deployment)
    model = ((deployment.get("spec") or {}).get("modelRef") or {}).get("name")
    mine = [each for each in versions if ((each.get("spec") or {}).get("modelRef") or {}).get("name") == model]
    revisions: list[Served] = []
    if status.candidate is not None:
        revisions.append(
            Served(status.candidate.version, status.candidate.revision, "candidate", None, "", status.candidate.digest)
        )
    if status.stable is not None:
        revisions.append(
            Served(status.stable.version, status.stable.revision, "stable", None, "", status.stable.digest)
        )
    revisions += [
        Served(
            each.version,
            each.revision,
            "standing by",
            rules.instant(each.since),
            f"until {each.until}" if each.until else "kept as a standby",
            each.digest,
        )
        for each in status.retiring
    ]
    standing = {each.revision for each in status.retiring}
    revisions += [
        Served(each.version, each.revision, "before", None, "was stable; shoal rollback leads back", each.digest)
        for each in status.previous
        if each.revision not in standing
    ]
    revisions += [
        Served(
            each.version,
            each.revision,
            "blocked",
            rules.instant(each.since),
            f"{each.reason}: {each.message}",
            each.digest,
        )
        for each in status.blocked_versions
    ]
    happenings = [_happening(each) for each in events]
    return History(
        tuple(each for each in sorted(revisions, key=lambda each: -each.version) if version in (None, each.version)),
        tuple(each.number for each in rules.known_versions(mine) if each.servable),
        known if version is None else of_version(known, version),
        tuple(sorted(happenings, key=lambda each: str(each.time or ""))),
    )


def print_history(console: Console, history: History, *, wide: bool = False) -> None:
    """Print revisions and decisions; in the wide form each decision in full, and the events."""
    table = Table("Version", "Revision", "Standing", "Since", "Why", "Digest", box=SIMPLE, pad_edge=False)
    for each in history.revisions:
        style = {"stable": "green", "candidate": "cyan", "blocked": "red"}.get(each.standing, "dim")
        digest = each.digest.removeprefix("sha256:")[:12]
        row = (f"v{each.version}", each.revision, Text(each.standing, style=style), show_time(each.since))
        table.add_row(*row, Text(each.why), digest)
    console.print(table)
    if history.servable:
        console.print(f"Can be served: {', '.join(f'v{each}' for each in history.servable)}")
    if wide:
        for decision in history.decisions:
            print_decision(console, decision)
    else:
        print_decisions(console, history.decisions)
    if history.decisions and not wide:
        return
    if not history.events:
        console.print("No events are left; the cluster forgets them after an hour unless it was told otherwise.")
        return
    table = Table("Time", "Reason", "Message", box=SIMPLE, pad_edge=False)
    for event in history.events:
        times = f" (×{event.count})" if event.count > 1 else ""
        style = "red" if event.type == "Warning" else ""
        table.add_row(show_time(event.time), Text(event.reason, style=style), Text(event.message + times))
    console.print(table)


def _happening(event: Object) -> Happening:
    time = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    return Happening(
        rules.instant(time),
        event.get("type", ""),
        event.get("reason", ""),
        event.get("message", ""),
        int(event.get("count") or 1),
    )


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        to_camel(name): value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in fields.items()
    }

"""What both versions make of the same recent rows, pooled over the stable pods that were asked: values only.

Built by core.pod_comparison, part of the snapshot, read by core.gates.
"""

from __future__ import annotations

from dataclasses import dataclass

from shoal_operator.api.agreement import ClusterMatch


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure pooled over pods, with the variance of the pooled estimate."""

    value: float
    variance: float


@dataclass(frozen=True, slots=True)
class Silhouettes:
    """Both versions' silhouettes on the same rows."""

    stable: float
    candidate: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """What both versions make of the same recent rows."""

    asked_at: str
    """When the stable pods were asked, RFC 3339."""
    looks: int = 1
    """Comparisons in this window so far, this one included."""
    rows: int = 0
    """Rows that both labelled."""
    requests: int = 0
    refused: int = 0
    """Requests beside them that stable had answered and the candidate did not."""
    ari: Estimate | None = None
    ami: Estimate | None = None
    noise_agreement: Estimate | None = None
    label_agreement: Estimate | None = None
    silhouettes: Silhouettes | None = None
    clusters: tuple[int, int] | None = None
    """Stable's and the candidate's clusters among the rows of the pod that compared most."""
    matches: tuple[ClusterMatch, ...] = ()
    lack: str = ""
    """What stable pods lack for a comparison; empty where there is one."""
    problem: str = ""
    """What kept stable pods from comparing; empty where there is a comparison, and where only rows lack."""

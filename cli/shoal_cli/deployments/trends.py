"""Figures of gates over the time of a watch, and their sparklines; pure. Used by `watching` and `picture`.

The operator tells the newest figures only, so a trend begins with the watch. Invariant: one look of the operator is
one point, however often it is read; a new candidate begins anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from shoal_cli.deployments.view import Gate, View

LONGEST = 18
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Trend:
    """The figures of one gate, oldest first."""

    stable: tuple[float | None, ...] = ()
    candidate: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Trends:
    """The figures of all gates of one candidate."""

    candidate: int | None = None
    by_gate: dict[str, Trend] = field(default_factory=dict)
    last: dict[str, Gate] = field(default_factory=dict)

    def add(self, view: View) -> "Trends":
        """Return the trends with what a view tells anew."""
        own = self if view.candidate_version == self.candidate else Trends(view.candidate_version)
        by_gate, last = dict(own.by_gate), dict(own.last)
        for gate in view.gates:
            if last.get(gate.name) == gate:
                continue
            last[gate.name] = gate
            if gate.candidate is None and gate.stable is None:
                continue
            trend = by_gate.get(gate.name, Trend())
            by_gate[gate.name] = Trend(
                (*trend.stable, gate.stable)[-LONGEST:], (*trend.candidate, gate.candidate)[-LONGEST:]
            )
        return replace(own, by_gate=by_gate, last=last)


def sparkline(values: Sequence[float | None], top: float) -> str:
    """Draw values from 0 to `top` as bars, a blank for an unknown one.

    >>> sparkline([0, 1, None, 4], 4)
    '▁▃ █'
    """
    if top <= 0:
        return "".join(" " if value is None else _BARS[0] for value in values)
    steps = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[int(min(1.0, max(0.0, value / top)) * steps + 0.5)] for value in values
    )


def top_of(trend: Trend) -> float:
    """Return the largest value of both sides, so that both are drawn to one scale."""
    return max((value for value in (*trend.stable, *trend.candidate) if value is not None), default=0.0)

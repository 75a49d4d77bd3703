"""What the gates on the same rows have in common: when there is a comparison to judge.

Used by the gates beside it. Invariant: no rows are inconclusive, no answer is an error; neither passes or fails.
"""

from __future__ import annotations

from shoal_operator.api.deployment import Verdict
from shoal_operator.core.comparison import Comparison


def find_basis(gate: str, least: int, comparison: Comparison | None) -> Comparison | Verdict:
    """Return a comparison of at least so many rows, else the verdict on that."""
    if comparison is None:
        return Verdict(gate=gate, verdict="inconclusive", message="no rows have been compared yet.")
    if comparison.problem:
        return Verdict(gate=gate, verdict="error", message=f"no comparison: {comparison.problem.rstrip('.')}.")
    if comparison.lack:
        message = f"too few rows yet: {comparison.lack.rstrip('.')}."
        return Verdict(gate=gate, verdict="inconclusive", message=message)
    if comparison.rows < least:
        message = f"too few rows yet: {comparison.rows} of {least} were labelled by both."
        return Verdict(gate=gate, verdict="inconclusive", message=message)
    return comparison

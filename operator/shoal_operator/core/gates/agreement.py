"""The gate on agreement: do both versions put the same rows together, whatever numbers their clusters have?

Asked by core.gates; `remember_promotion` by core.stepping. Invariant: figures of one look decide alone, so that nothing
is failed that is not surely below a limit, and nothing passes whose estimate is below one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shoal_operator.api.agreement import AgreementFigures
from shoal_operator.api.analysis import AgreementGate
from shoal_operator.api.deployment import Interval, PoolFigures, Revision, Verdict
from shoal_operator.core.comparison import Comparison, Estimate
from shoal_operator.core.gates.live import find_basis
from shoal_operator.core.progress import Progress
from shoal_operator.core.statistics.repeated import half_width, spend

AGREEMENT = "agreement"
DEFAULT_LIMIT = 0.9
MOST_REMEMBERED = 10
_LEAST_PROMOTIONS = 3
_LEAST_LEARNT = 0.5
"""Below this no limit is learnt: versions that agree no better are for a person to declare by `min`."""
_LEAST_SPREAD = 0.01
_NORMAL_FROM_MAD = 1.4826
_MOST_TOLD = 3
_TOO_FEW_REQUESTS = 9
"""The most for which a stable pod says that they are too few."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The least adjusted Rand index, and where it comes from."""

    value: float
    origin: str


def find_limit(gate: AgreementGate, history: Sequence[AgreementFigures]) -> Limit:
    """Return the declared limit, else the learnt one, else the default.

    Learnt: median - 3 x 1.4826 x the median absolute deviation of the versions that were promoted before, which is
    3 standard deviations for normal figures (P. J. Rousseeuw and C. Croux, JASA 88 (1993) 1273-1283), but is not moved
    by the one version that was meant to differ.
    """
    if gate.min is not None:
        return Limit(gate.min, "analysis.agreement.min")
    figures = [item.ari for item in history]
    if len(figures) < _LEAST_PROMOTIONS:
        return Limit(DEFAULT_LIMIT, f"the default until {_LEAST_PROMOTIONS} versions were promoted")
    middle = statistics.median(figures)
    spread = _NORMAL_FROM_MAD * statistics.median([abs(item - middle) for item in figures])
    learnt = middle - 3 * max(spread, _LEAST_SPREAD)
    return Limit(max(_LEAST_LEARNT, round(learnt, 4)), f"learnt from {len(figures)} promoted versions")


def judge_agreement(
    gate: AgreementGate, comparison: Comparison | None, history: Sequence[AgreementFigures], alpha: float
) -> Verdict:
    """Fail what is surely below a limit, pass what reaches all of them; `alpha` bounds failing one that is within.

    In between nothing is sure yet: the next looks decide, whose rows are others, as stable pods keep recent ones only.
    A request that only the candidate refuses counts as rows that agree in nothing.
    """
    limit = find_limit(gate, history)
    basis = find_basis(AGREEMENT, gate.min_samples, comparison)
    if isinstance(basis, Verdict):
        return _judge_refusals(comparison, limit, alpha) or basis
    asked = [("ARI", basis.ari, limit.value, f" ({limit.origin})")]
    asked += [
        (name, estimate, least, "")
        for name, estimate, least in (
            ("noise agreement", basis.noise_agreement, gate.min_noise_agreement),
            ("label agreement", basis.label_agreement, gate.min_label_agreement),
        )
        if least is not None
    ]
    told, below, surely_below = [], [], []
    interval: Interval | None = None
    for name, estimate, least, origin in asked:
        if estimate is None:
            return Verdict(gate=AGREEMENT, verdict="error", message=f"the stable pods tell no {name}.")
        value = round(_count_refusals(basis, estimate).value, 9)
        low, high = _bound(basis, estimate, alpha / len(asked))
        # The first is the ARI, which the verdict's own figure is.
        interval = interval or Interval(low=round(low, 6), high=round(high, 6))
        told.append(f"{name} {value:.3f}, surely {low:.3f} to {high:.3f}, limit {least:g}{origin}")
        below += [name] if value < least else []
        surely_below += [name] if high < least else []
    outcome = "fail" if surely_below else "inconclusive" if below else "pass"
    ending = {
        "fail": f"{' and '.join(surely_below)} too low, beyond chance",
        "inconclusive": f"{' and '.join(below)} low, but that may yet be chance; the next rows decide",
        "pass": "within",
    }[outcome]
    message = f"{'; '.join(told)}; {_describe(basis)}: {ending}.{_describe_worst(basis) if below else ''}"
    return Verdict.model_validate(
        {
            "gate": AGREEMENT,
            "verdict": outcome,
            "message": message,
            "candidate": PoolFigures(calls=basis.requests, value=round(basis.ari.value, 6) if basis.ari else None),
            "interval": interval,
            "limit": limit.value,
        }
    )


def _judge_refusals(comparison: Comparison | None, limit: Limit, alpha: float) -> Verdict | None:
    """Fail where rows lack because the candidate refuses them: even if all that it does not refuse agreed."""
    if comparison is None or not comparison.refused:
        return None
    if comparison.lack:
        # How many requests both answered is not told then, only that they are too few; assume as many as can be.
        comparison = replace(comparison, requests=min(comparison.rows, _TOO_FEW_REQUESTS))
    if _bound(comparison, Estimate(1.0, 0.0), alpha)[1] >= limit.value:
        return None
    message = f"{_describe_refusals(comparison)}, limit {limit.value:g} ({limit.origin}): too many, beyond chance."
    return Verdict(gate=AGREEMENT, verdict="fail", message=message)


def tell_agreement(comparison: Comparison, stable: Revision, candidate: Revision) -> AgreementFigures | None:
    """Return a comparison's figures for the status; None where it has none."""
    ari, noise, labels = comparison.ari, comparison.noise_agreement, comparison.label_agreement
    if ari is None or noise is None or labels is None:
        return None
    worst = sorted(comparison.matches, key=lambda match: (match.jaccard, -match.rows))
    return AgreementFigures(
        version=candidate.version,
        against=stable.version,
        at=comparison.asked_at,
        ari=round(ari.value, 6),
        ami=None if comparison.ami is None else round(comparison.ami.value, 6),
        noise_agreement=round(noise.value, 6),
        label_agreement=round(labels.value, 6),
        rows=comparison.rows,
        requests=comparison.requests,
        refused=comparison.refused,
        worst=worst[:_MOST_TOLD],
    )


def remember_promotion(progress: Progress, stable: Revision, candidate: Revision) -> Progress:
    """Keep how far a promoted candidate agreed with stable; other settings of the same artifact teach nothing."""
    figures = progress.agreement
    if figures is None or figures.version != candidate.version or candidate.digest == stable.digest:
        return progress
    return replace(progress, agreement_history=(*progress.agreement_history, figures)[-MOST_REMEMBERED:])


def _count_refusals(comparison: Comparison, estimate: Estimate) -> Estimate:
    """Multiply a figure by the share of requests that the candidate did not refuse.

    Variance by the delta method; that of the share from (k + 1) / (n + 2), so that a few requests that were all refused
    are not sure of anything (A. Agresti and B. A. Coull, The American Statistician 52 (1998) 119-126).
    """
    refused, whole = comparison.refused, comparison.refused + comparison.requests
    if not refused:
        return estimate
    answered, near = 1 - refused / whole, (refused + 1) / (whole + 2)
    spread = near * (1 - near) / whole
    return Estimate(
        estimate.value * answered, answered * answered * estimate.variance + estimate.value * estimate.value * spread
    )


def _bound(comparison: Comparison, estimate: Estimate, alpha: float) -> tuple[float, float]:
    """Return the bounds that hold at all looks, each with probability 1 - alpha."""
    found = _count_refusals(comparison, estimate)
    clusters = comparison.requests + comparison.refused
    width = half_width(found.variance, clusters, spend(alpha, max(1, comparison.looks)))
    if math.isinf(width):
        return -1.0, 1.0
    return max(-1.0, found.value - width), min(1.0, found.value + width)


def _describe(comparison: Comparison) -> str:
    told = f"{comparison.rows} rows of {comparison.requests} requests"
    return f"{told}, {_describe_refusals(comparison)}" if comparison.refused else told


def _describe_refusals(comparison: Comparison) -> str:
    whole = comparison.refused + comparison.requests
    return f"the candidate refuses {comparison.refused} of {whole} requests that stable answered"


def _describe_worst(comparison: Comparison) -> str:
    worst = sorted(comparison.matches, key=lambda match: (match.jaccard, -match.rows))[:_MOST_TOLD]
    if not worst:
        return ""
    told = (f"{match.stable} with {match.candidate} ({match.jaccard:.0%} of the rows in either)" for match in worst)
    return f" Clusters that match worst: {', '.join(told)}."

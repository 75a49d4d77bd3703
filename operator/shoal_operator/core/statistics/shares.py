"""Compares two shares of events, such as failed calls, by a test that may be read after every call.

Called by core.gates. Invariant: the evidence is an e-process: where the candidate's share is at most `ratio` times the
base share, the probability that it ever reaches 1 / alpha is at most alpha, for any shares and any traffic.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LEAST_LOOKS = 3
_ALTERNATIVES = {1.25: 0.1, 2.0: 0.2, 4.0: 0.4, 10.0: 0.2, 30.0: 0.1}
"""How many times the limit the candidate's share might be -> the weight of that beforehand.

Most is bet on the middle: what is far above it shows soon anyway, and what is far below takes long in any case.
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Events among trials on both sides, between one look and the next."""

    events: float
    trials: float
    base_events: float
    base_trials: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """How strongly the looks speak against "at most `ratio` times the base share"."""

    log: float
    """ln of the e-value, no single look giving more than the cap."""
    uncapped_log: float
    """The same with every look's full weight."""
    looks: int
    """Looks in which anything was tried on both sides."""


def share_evidence(looks: Iterable[Counts], ratio: float, cap: float = math.inf) -> Evidence:
    """Return the evidence that the share of events is above `ratio` times the base share.

    With n and m trials on the two sides, a look with k events and j base events multiplies the wealth that is bet on
    "f times the limit" by

        f^k * ((r n + m) / (f r n + m))^(k + j)

    the likelihood ratio of k given k + j events that arrive as Poisson processes (J. Przyborowski and H. Wilenski,
    Biometrika 31 (1940) 313-323). For independent calls its mean is at most 1 whenever p <= r q: by 1 + x <= e^x it is
    at most exp(n p (a - 1) + m q (b - 1)), where a and b are the factors of one event on each side, and the exponent is
    not above 0. The mixture over f is thus a non-negative supermartingale, to which Ville's inequality applies (A.
    Ramdas et al., Statistical Science 38 (2023) 576-601, "Game-theoretic statistics and safe anytime-valid inference").
    As sides are compared within each look, neither what befalls both at once nor a shift of traffic counts against one.

    `cap` bounds the growth of ln(wealth) in one look, which only lowers it: a burst in a single look decides nothing.

    >>> round(share_evidence([Counts(0, 100, 0, 900)], 1.05).log, 3)
    0.0
    >>> round(share_evidence([Counts(4, 100, 0, 900)], 1.05).log, 1)
    6.2
    >>> round(share_evidence([Counts(4, 100, 36, 900)], 1.05).log, 1)
    -1.9
    >>> round(share_evidence([Counts(100, 100, 0, 900)] * 3, 1.05, cap=2.0).log, 1)
    6.0
    """
    bets = [math.log(weight) for weight in _ALTERNATIVES.values()]
    capped = before = 0.0
    count = 0
    for look in looks:
        if look.trials <= 0 or look.base_trials <= 0:
            continue
        count += 1
        events = look.events + look.base_events
        for index, factor in enumerate(_ALTERNATIVES):
            exposed = ratio * look.trials
            shrink = math.log((factor * exposed + look.base_trials) / (exposed + look.base_trials))
            bets[index] += look.events * math.log(factor) - events * shrink
        after = _log_sum(bets)
        capped += min(after - before, cap)
        before = after
    return Evidence(log=capped, uncapped_log=before, looks=count)


def _log_sum(logs: list[float]) -> float:
    """Return ln of the sum of exponentials."""
    highest = max(logs)
    return highest + math.log(sum(math.exp(item - highest) for item in logs))

"""The router of a stream: each pod is told the most of all leases that it takes.

Asked through core.rollout. All pods of all versions lease from one durable consumer, so no message is lost or doubled
whatever they are told. The pods of the larger part lease what they can and those of the smaller part are paced, so that
nobody waits for a pod that is slow or gone. Invariants: shares fall before others rise; a pod without a part gets none.
"""

from __future__ import annotations

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.facts import namespace_of
from shoal_operator.core.plan import Label
from shoal_operator.core.routing import Arrangement, Question, live_pods, ready_pods
from shoal_operator.core.snapshot import PodFacts

ALL, NONE = "100", "0"


def arrange(question: Question) -> Arrangement:
    """Answer with the annotations that share the leases so."""
    wanted = _choose(question)
    pods = {pod.name: pod for pod in question.snapshot.pods if not pod.deleting}
    changes = [(pods[name], share) for name, share in wanted.items() if pods[name].share != share]
    falling = [item for item in changes if _percent(item[1]) < _percent(item[0].share)]
    rising = [item for item in changes if item not in falling]
    return Arrangement(
        actions=tuple(_tell(question, pod, share) for pod, share in (*falling, *rising)),
        settled=not changes,
        actual_weight=_actual_weight(question),
        routed=frozenset(pod.revision for pod in pods.values() if pod.revision and _percent(pod.share)),
        measured_weight=_measured_weight(question),
    )


def share_of(part: int, pods: int) -> str:
    """Return what each of some pods is told, so that together they take a part of the leases.

    >>> share_of(10, 3), share_of(50, 1), share_of(0, 2)
    ('3.333', '50', '0')
    """
    return f"{part / max(1, pods):.4g}"


def _choose(question: Question) -> dict[str, str]:
    """Return the share of every pod, by its name."""
    stable, candidate = live_pods(question.snapshot, question.stable), live_pods(question.snapshot, question.candidate)
    shares = {pod.name: NONE for pod in question.snapshot.pods if not pod.deleting}
    weight = question.weight if ready_pods(question.snapshot, question.candidate) else 0
    if weight <= 50:
        shares |= dict.fromkeys((pod.name for pod in stable), ALL)
        return shares | _pace(candidate, weight)
    shares |= dict.fromkeys((pod.name for pod in candidate), ALL)
    return shares | _pace(stable, 100 - weight)


def _pace(pods: tuple[PodFacts, ...], part: int) -> dict[str, str]:
    """Share a part out among the ready pods; one that turns ready is told in the next pass."""
    ready = [pod for pod in pods if pod.ready]
    return {pod.name: share_of(part, len(ready)) if pod.ready else NONE for pod in pods}


def _tell(question: Question, pod: PodFacts, share: str) -> Label:
    key = ObjectKey("Pod", namespace_of(question.snapshot.deployment), pod.name)
    return Label(key, pod.uid, annotations={names.SHARE: share})


def _actual_weight(question: Question) -> int:
    """Return the candidate's part by what the pods have been told."""
    candidate = [_percent(pod.share) for pod in live_pods(question.snapshot, question.candidate)]
    stable = [_percent(pod.share) for pod in live_pods(question.snapshot, question.stable)]
    mine, theirs = sum(candidate), sum(stable)
    if not mine or not theirs:
        return 100 if mine else 0
    if 100 in candidate and 100 in stable:
        # Between two arrangements: whoever asks gets.
        return round(100 * candidate.count(100) / (candidate.count(100) + stable.count(100)))
    return round(100 - theirs) if 100 in candidate else round(min(mine, 100))


def _measured_weight(question: Question) -> float | None:
    """Return the candidate's part of the leases that the pods counted; None before there are any."""
    if question.candidate is None:
        return None
    windows = question.snapshot.windows
    mine, theirs = (windows.get(item.revision) for item in (question.candidate, question.stable))
    if mine is None or theirs is None or not mine.leased + theirs.leased:
        return None
    return round(100 * mine.leased / (mine.leased + theirs.leased), 1)


def _percent(share: str) -> float:
    """Read a share, which anybody may have written."""
    try:
        value = float(share)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 100 else 0.0

"""The router that needs nothing installed: one Service, and the share is the share of routed pods.

Asked through core.rollout. Invariants: the Service never selects nothing while stable has pods, so pods are labelled
first and seen to be labelled before the selector moves to the label, and the selector leaves the label before the
labels go; together the routed pods are as many as the replicas, if so many are ready.
"""

from __future__ import annotations

from fractions import Fraction

from shoal_operator.api.meta import ObjectKey
from shoal_operator.core import names
from shoal_operator.core.facts import mapping_at, name_of, namespace_of
from shoal_operator.core.manifests.service import build_service
from shoal_operator.core.manifests.workload import pool_selector
from shoal_operator.core.plan import Action, Apply, Label
from shoal_operator.core.routing import Arrangement, Question, live_pods, ready_pods
from shoal_operator.core.snapshot import PodFacts

_ON = "true"


def split(weight: int, replicas: int, stable: int, candidate: int) -> tuple[int, int]:
    """Choose how many of the ready pods of each side to route, to come nearest to a weight between 0 and 100.

    At least one of each, at least as many together as the replicas (or all there are), fewer candidate pods on ties,
    then fewer stable ones.

    >>> split(10, 3, 3, 1)   # 3 pods cannot give 10 %: a quarter is the nearest
    (3, 1)
    >>> split(50, 2, 2, 1)   # one each is exact, the second stable pod steps back
    (1, 1)
    >>> split(10, 10, 10, 1)
    (9, 1)
    >>> split(60, 3, 3, 2)
    (1, 2)
    >>> split(99, 10, 10, 10)
    (1, 10)
    >>> split(20, 4, 1, 1)   # stable lost pods: all there are
    (1, 1)
    """
    least = min(replicas, stable + candidate)
    choices = []
    for c in range(1, candidate + 1):
        lowest = max(1, least - c)
        if lowest > stable:
            continue
        # The share falls as s grows, so the nearest lie beside the s that would be exact.
        exact = c * (100 - weight) // weight
        for s in {min(max(near, lowest), stable) for near in (exact, exact + 1)}:
            choices.append((Fraction(abs(100 * c - weight * (s + c)), s + c), c, s))
    if not choices:
        return stable, candidate
    _, chosen_candidate, chosen_stable = min(choices)
    return chosen_stable, chosen_candidate


def arrange(question: Question) -> Arrangement:
    """Answer with the labels and the selector that come nearest to the weight."""
    snapshot = question.snapshot
    deployment = snapshot.deployment
    name = names.router(name_of(deployment))
    service = next((item for item in snapshot.services if name_of(item) == name), None)
    observed = dict(mapping_at(service, "spec", "selector"))
    label = {names.DEPLOYMENT: names.label_value(name_of(deployment)), names.ROUTED: _ON}
    by_label = observed.get(names.ROUTED) == _ON
    marked = tuple(pod for pod in snapshot.pods if pod.routed and not pod.deleting)
    chosen = _chosen(question)
    if not chosen:
        served = question.candidate if question.candidate and question.weight >= 100 else question.stable
        selector = pool_selector(deployment, served.revision)
        # While the Service still goes by the label, the labels stay.
        unmark = () if by_label else marked
        actions: tuple[Action, ...] = (
            Apply(build_service(deployment, name, selector)),
            *_label(question, unmark, None),
        )
        settled = observed == selector
    else:
        wanted = {pod.name for pod in chosen}
        missing = tuple(pod for pod in chosen if not pod.routed)
        surplus = tuple(pod for pod in marked if pod.name not in wanted)
        selector = label if by_label or not missing else observed
        if not selector:
            selector = pool_selector(deployment, question.stable.revision)
        # Labels go only once the new ones are seen, so that there is no moment without a routed pod.
        unmark = () if missing else surplus
        actions = (
            *_label(question, missing, _ON),
            Apply(build_service(deployment, name, selector)),
            *_label(question, unmark, None),
        )
        settled = by_label and not missing and not surplus
    return Arrangement(
        actions=actions,
        settled=settled,
        actual_weight=_actual_weight(question, observed, marked),
        routed=_routed(observed, marked),
        candidate_pods=_candidate_pods(question, observed, marked),
    )


def _chosen(question: Question) -> tuple[PodFacts, ...]:
    """Return the pods to route; none where one revision gets all calls."""
    candidate = ready_pods(question.snapshot, question.candidate)
    if not 0 < question.weight < 100 or not candidate:
        return ()
    # With no stable pod ready, its pods are routed nevertheless: they take their part again once they are ready.
    stable = ready_pods(question.snapshot, question.stable) or live_pods(question.snapshot, question.stable)
    counts = split(question.weight, question.spec.worker.replicas, len(stable), len(candidate))
    return tuple(
        pod
        for pods, count in zip((stable, candidate), counts, strict=True)
        # Pods that are routed already come first, so that connections move as little as possible.
        for pod in sorted(pods, key=lambda pod: (not pod.routed, pod.created, pod.name))[:count]
    )


def _label(question: Question, pods: tuple[PodFacts, ...], value: str | None) -> tuple[Label, ...]:
    """Mark pods as routed, or no longer so; a pool that shrinks gives up those that are not routed first."""
    namespace = namespace_of(question.snapshot.deployment)
    labels, annotations = {names.ROUTED: value}, {names.DELETION_COST: "100" if value else None}
    return tuple(Label(ObjectKey("Pod", namespace, pod.name), pod.uid, labels, annotations) for pod in pods)


def _actual_weight(question: Question, observed: dict[str, str], marked: tuple[PodFacts, ...]) -> int:
    if question.candidate is None:
        return 0
    if observed.get(names.ROUTED) != _ON:
        return 100 if observed.get(names.REVISION) == question.candidate.revision else 0
    ready = [pod for pod in marked if pod.ready]
    candidates = sum(pod.revision == question.candidate.revision for pod in ready)
    return round(100 * candidates / len(ready)) if ready else 0


def _candidate_pods(question: Question, observed: dict[str, str], marked: tuple[PodFacts, ...]) -> int:
    if question.candidate is None:
        return 0
    if observed.get(names.ROUTED) == _ON:
        return sum(pod.revision == question.candidate.revision for pod in marked)
    return question.spec.worker.replicas if observed.get(names.REVISION) == question.candidate.revision else 0


def _routed(observed: dict[str, str], marked: tuple[PodFacts, ...]) -> frozenset[str]:
    if observed.get(names.ROUTED) == _ON:
        return frozenset(pod.revision for pod in marked if pod.revision)
    revision = observed.get(names.REVISION)
    return frozenset({revision} if revision else ())

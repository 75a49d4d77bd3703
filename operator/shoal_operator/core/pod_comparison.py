"""Reads what stable pods tell of the rows that the candidate labelled too, and pools it over the pods.

Called by runtime.comparison. Invariant: an answer is untrusted; what comes out is bounded, finite and about the two
versions on trial, or it is a problem in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from shoal_operator.api.agreement import ClusterMatch
from shoal_operator.api.deployment import Revision
from shoal_operator.api.meta import StatusModel
from shoal_operator.core.comparison import Comparison, Estimate, Silhouettes
from shoal_operator.core.facts import printable

MOST_MATCHES = 16
_Count = Annotated[int, Field(ge=0, le=10**9)]
_Score = Annotated[
    float,
    Field(ge=-1 - 1e-6, le=1 + 1e-6, allow_inf_nan=False),
    AfterValidator(lambda score: min(1.0, max(-1.0, score))),
]
"""From -1 to 1, but for rounding."""
_Variance = Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]


class Figure(StatusModel):
    """An estimate from a pod's rows; the variance comes from resampling its requests."""

    value: _Score
    variance: _Variance


class Difference(StatusModel):
    """Candidate - stable."""

    value: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
    variance: _Variance


class Paired(StatusModel):
    """A figure of both versions on the same rows."""

    stable: _Score
    candidate: _Score
    difference: Difference


class Clusters(StatusModel):
    """How many clusters the rows lie in."""

    stable: _Count
    candidate: _Count


class Compared(StatusModel):
    """A version and its artifact."""

    version: str = Field(max_length=32)
    digest: str = Field(max_length=128)


class PodComparison(Compared):
    """A stable pod's answer: aggregates only."""

    candidate: Compared
    requests: _Count
    """Requests that both answered."""
    rows: _Count
    refused: _Count = 0
    """Requests beside them that only stable answered."""
    ari: Figure | None = None
    ami: Figure | None = None
    noise_agreement: Figure | None = None
    label_agreement: Figure | None = None
    silhouette: Paired | None = None
    clusters: Clusters | None = None
    matches: list[ClusterMatch] = Field(default_factory=list, max_length=MOST_MATCHES)


class Refusal(StatusModel):
    """Why a stable pod compares nothing."""

    reason: str = Field(default="", max_length=64)
    message: str = Field(default="", max_length=1024)
    rows: _Count = 0
    """Rows that both labelled, though too few."""
    refused: _Count = 0


def read_answer(status: int, body: str, stable: Revision, candidate: Revision) -> PodComparison | Refusal:
    """Read a stable pod's answer to POST /compare; one that is not about these versions is a refusal."""
    try:
        if status != 200:
            refusal = Refusal.model_validate_json(body)
            return refusal if refusal.reason else _unknown(status)
        answer = PodComparison.model_validate_json(body)
    except ValidationError as error:
        if status != 200:
            return _unknown(status)
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Refusal(reason="AnswerInvalid", message=printable(f"{where}: {first['msg']}", 200))
    told = ((answer, stable), (answer.candidate, candidate))
    if any((found.version, found.digest) != (str(wanted.version), wanted.digest) for found, wanted in told):
        return Refusal(reason="AnswerInvalid", message="it is about other versions than those on trial")
    return answer


def pool(answers: Sequence[PodComparison | Refusal], asked_at: str, looks: int) -> Comparison:
    """Pool what the pods compared, each by its rows; `looks` counts the comparisons of the window before this one.

    Pods that compared nothing leave the others' figures as they are; where none did, the first one's reason is told.
    """
    found = [item for item in answers if isinstance(item, PodComparison)]
    if not found:
        refusals = [item for item in answers if isinstance(item, Refusal)]
        lacking = [item for item in refusals if item.reason == "TooFewRows"]
        if lacking:
            refused = sum(item.refused for item in lacking)
            told = printable(lacking[0].message, 300) or "few requests are kept"
            rows = sum(item.rows for item in lacking)
            return Comparison(asked_at, looks + bool(refused), rows=rows, refused=refused, lack=told)
        first = refusals[0] if refusals else Refusal(reason="NoStablePod", message="no stable pod is ready")
        return Comparison(asked_at, looks, problem=printable(f"{first.reason}: {first.message}".rstrip(": "), 300))
    paired = [(item.rows, item.silhouette) for item in found if item.silhouette is not None]
    largest = max(found, key=lambda item: item.rows)
    return Comparison(
        asked_at=asked_at,
        looks=looks + 1,
        rows=sum(item.rows for item in found),
        requests=sum(item.requests for item in found),
        refused=sum(item.refused for item in found),
        ari=_pool((item.rows, item.ari) for item in found),
        ami=_pool((item.rows, item.ami) for item in found),
        noise_agreement=_pool((item.rows, item.noise_agreement) for item in found),
        label_agreement=_pool((item.rows, item.label_agreement) for item in found),
        silhouettes=_pool_silhouettes(paired),
        clusters=(largest.clusters.stable, largest.clusters.candidate) if largest.clusters else None,
        matches=tuple(largest.matches),
    )


def _pool(parts: Iterable[tuple[int, Figure | Difference | None]]) -> Estimate | None:
    """Average figures by rows; with weights w the variance is sum w^2 v / (sum w)^2."""
    known = [(rows, figure) for rows, figure in parts if figure is not None and rows > 0]
    whole = sum(rows for rows, _ in known)
    if not whole:
        return None
    return Estimate(
        sum(rows * figure.value for rows, figure in known) / whole,
        sum((rows / whole) ** 2 * figure.variance for rows, figure in known),
    )


def _pool_silhouettes(paired: Sequence[tuple[int, Paired]]) -> Silhouettes | None:
    difference = _pool((rows, item.difference) for rows, item in paired)
    whole = sum(rows for rows, _ in paired)
    if difference is None:
        return None
    stable, candidate = (
        sum(rows * score for rows, score in scores) / whole
        for scores in (
            [(rows, item.stable) for rows, item in paired],
            [(rows, item.candidate) for rows, item in paired],
        )
    )
    return Silhouettes(stable, candidate, difference)


def _unknown(status: int) -> Refusal:
    hint = "; its image may be older than the operator" if status == 404 else ""
    return Refusal(reason="AnswerInvalid", message=f"a stable pod answers with status {status}{hint}")

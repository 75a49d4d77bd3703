"""How far two versions agree about the same rows, as a deployment's status tells it.

Read by core.gates.agreement and the CRD generator. No decision lives here.
"""

from __future__ import annotations

from pydantic import Field

from shoal_operator.api.meta import StatusModel


class ClusterMatch(StatusModel):
    """A cluster of stable's and the candidate's that is most like it."""

    stable: int = Field(description="Label of the cluster in the stable version.")
    candidate: int = Field(description="Label of its match in the candidate.")
    rows: int = Field(ge=0, description="Rows that are in both.")
    jaccard: float = Field(ge=0, le=1, description="Rows in both / rows in either.")


class AgreementFigures(StatusModel):
    """How far a candidate agreed with the stable version about the same rows."""

    version: int = Field(ge=1, description="The candidate's version.")
    against: int = Field(default=0, ge=0, description="The stable version that it was compared with.")
    at: str = Field(default="", description="When they were compared, RFC 3339.")
    ari: float = Field(ge=-1, le=1, description="Adjusted Rand index; 1 for the same clusters, 0 for chance.")
    ami: float | None = Field(default=None, ge=-1, le=1, description="Adjusted mutual information, on the same scale.")
    noise_agreement: float = Field(ge=0, le=1, description="Share of rows that both or neither call noise.")
    label_agreement: float = Field(ge=0, le=1, description="Share of rows whose clusters are each other's match.")
    rows: int = Field(ge=0, description="Rows that were compared.")
    requests: int = Field(ge=0, description="Requests that they came in.")
    refused: int = Field(default=0, ge=0, description="Requests that stable had answered and the candidate did not.")
    worst: list[ClusterMatch] = Field(
        default_factory=list, description="The clusters that match worst, among the largest; at most 3."
    )

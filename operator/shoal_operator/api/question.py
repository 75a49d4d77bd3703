"""What questions to somebody outside have in common: a name, a URL, and PromQL where that is asked.

Part of gates, hooks and scaling metrics in a ClusteringDeployment's spec. Whether a URL may be asked is decided in
core.gates.outside.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from shoal_operator.api.meta import ApiModel

URL = r"^https?://[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[^\s#@]*)?$"
"""No user, no password, no fragment."""

QuestionName = Annotated[str, Field(max_length=32, pattern=r"^[a-z][a-zA-Z0-9]{0,31}$")]
Promql = Annotated[str, Field(min_length=1, max_length=4096)]


class PromqlQuestion(ApiModel):
    """What is asked of a Prometheus server, by a gate or for scaling; each says itself what its query may name."""

    name: QuestionName = Field(description="Name, unique in its list.")
    address: str = Field(
        pattern=URL,
        max_length=512,
        description="URL of the server; its host must be among the operator's allowed hosts (analysis.allowedHosts of "
        "the chart).",
    )
    query: Promql

"""The shadow step, which both strategies have: the candidate is judged before any user sees it.

Read by api.bluegreen and api.canary. No decision lives here.
"""

from __future__ import annotations

from pydantic import Field

from shoal_operator.api.meta import ApiModel


class Shadow(ApiModel):
    """Hold the weight at 0: the gates that need no calls judge the candidate before any user sees it."""

    duration_seconds: int = Field(
        ge=1, le=31_536_000, description="Seconds to hold, once the candidate's pods are ready."
    )

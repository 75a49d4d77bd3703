"""spec.card of a ClusteringModel: what a version's model card may show; the worker draws it.

No decision lives here.
"""

from __future__ import annotations

from pydantic import Field

from shoal_operator.api.meta import ApiModel


class Card(ApiModel):
    """The model card that is stored beside each version's artifact."""

    points: bool = Field(
        default=True,
        description="Show up to 5,000 rows of the training data, as dots in the plot of the clusters, and the extremes "
        "of its columns. false, for sensitive data: the density of at least 5 rows a square, and quantiles.",
    )

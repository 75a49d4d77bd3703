"""The limits of a version, as the user wrote them in spec.validation."""

from pydantic import Field

from shoal_worker.spec.part import Part


class ValidationSpec(Part):
    """Limits that the fit must keep."""

    min_clusters: int = Field(default=1, ge=0)
    max_clusters: int | None = Field(default=None, ge=1)
    max_noise_ratio: float | None = Field(default=None, ge=0, le=1)
    min_silhouette: float | None = Field(default=None, ge=-1, le=1)

"""The tests and limits of a version, as the user wrote them in spec.validation."""

from pydantic import Field

from shoal_worker.spec.part import Part


class ValidationTestSettings(Part):
    """What can be said of every test."""

    dry_run: bool = False


class PerformanceTestSettings(ValidationTestSettings):
    """Time that predictions may take."""

    max_millis_per_sample: float = Field(default=10, gt=0, le=1e9)


class MemoryTestSettings(ValidationTestSettings):
    """Memory that the model may take."""

    max_bytes: int | None = Field(default=None, ge=1, le=1 << 50)


class ValidationTests(Part):
    """The tests that every version takes; `limits` are those of ValidationSpec itself."""

    basic_functionality: ValidationTestSettings = ValidationTestSettings()
    parameter_validation: ValidationTestSettings = ValidationTestSettings()
    edge_cases: ValidationTestSettings = ValidationTestSettings()
    performance: PerformanceTestSettings = PerformanceTestSettings()
    memory: MemoryTestSettings = MemoryTestSettings()
    reproducibility: ValidationTestSettings = ValidationTestSettings()
    limits: ValidationTestSettings = ValidationTestSettings()


class RelativeLimits(Part):
    """Limits relative to the last good version."""

    min_silhouette_ratio: float | None = Field(default=None, ge=0, le=10)
    min_dbcv_ratio: float | None = Field(default=None, ge=0, le=10)
    min_agreement: float | None = Field(default=None, ge=0, le=1)
    dry_run: bool = False

    @property
    def wanted(self) -> bool:
        """Whether any of them is set."""
        return any(limit is not None for limit in (self.min_silhouette_ratio, self.min_dbcv_ratio, self.min_agreement))


class ValidationSpec(Part):
    """Limits that the fit must keep."""

    min_clusters: int = Field(default=1, ge=0)
    max_clusters: int | None = Field(default=None, ge=1)
    max_noise_ratio: float | None = Field(default=None, ge=0, le=1)
    min_silhouette: float | None = Field(default=None, ge=-1, le=1)
    min_dbcv: float | None = Field(default=None, ge=-1, le=1)
    tests: ValidationTests = ValidationTests()
    relative: RelativeLimits = RelativeLimits()

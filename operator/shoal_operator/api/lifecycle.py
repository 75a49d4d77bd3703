"""spec.retention and spec.retrain of a ClusteringModel: how many versions stay, and when a new one is trained.

No decision lives here: core.retention and core.schedule read it.
"""

from __future__ import annotations

from pydantic import Field

from shoal_operator.api.meta import ApiModel

_FIELD = r"[0-9A-Za-z*/,#-]+"


class Retention(ApiModel):
    """How many versions stay, and what becomes of the others; what a deployment or a batch uses always stays."""

    keep: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Newest versions that stay Active; as many Rejected ones stay. Older ones are Retired.",
    )
    archive_retired: bool = Field(
        default=True, description="Move the artifacts of Retired versions to the store's archive."
    )
    delete_after_days: int | None = Field(
        default=None,
        ge=0,
        le=36_500,
        description="Days after which a Retired or Archived version is deleted for good; never when absent.",
    )


class Retrain(ApiModel):
    """When to train anew although nothing changed in the spec."""

    schedule: str = Field(
        pattern=rf"^(@(hourly|daily|weekly|monthly|yearly|annually)|{_FIELD}( +{_FIELD}){{4}})$",
        max_length=128,
        description="Cron expression of five fields (minute, hour, day of month, month, day of week), or @hourly, "
        "@daily, @weekly, @monthly, @yearly.",
    )
    time_zone: str = Field(
        default="UTC",
        pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*$",
        max_length=64,
        description="Time zone of the schedule by its IANA name, such as Europe/Berlin.",
    )
    suspend: bool = Field(default=False, description="true: the schedule rests; its times pass without a training.")


class RetrainStatus(ApiModel):
    """Where the schedule stands."""

    last_scheduled: str | None = Field(default=None, description="Time of the schedule's last training, RFC 3339.")
    next_scheduled: str | None = Field(default=None, description="Time of the schedule's next training, RFC 3339.")

"""spec.artifact of a ClusteringModel: a model that was fitted elsewhere, to import. No decision lives here."""

from __future__ import annotations

from pydantic import Field

from shoal_operator.api.meta import ApiModel, SecretReference


class ImportedArtifact(ApiModel):
    """A model that was fitted elsewhere: it is fetched, checked, validated and recorded as a version."""

    uri: str = Field(
        pattern=r"^(s3|gs|az|file|https|oci)://.+",
        max_length=2048,
        description="Where the artifact lies: a folder of a store (s3://, gs://, az://, file://), or https:// and "
        "oci:// on a host that the operator allows (import.allowedHosts of the chart).",
    )
    digest: str = Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        max_length=71,
        description="sha256 of the artifact's manifest; anything else that lies at the uri is refused.",
    )
    secret_ref: SecretReference | None = Field(
        default=None,
        description="Secret with the credentials of the uri: AWS_ACCESS_KEY_ID and others for a store; username and "
        "password, or token, and ca.crt for https:// and oci://.",
    )

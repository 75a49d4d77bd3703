"""How calls reach a deployment's pods: the router and its Gateway.

Part of a ClusteringDeployment's spec; read by the routers of core. No decision lives here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from shoal_operator.api.meta import ApiModel, CelRule

Hostname = Annotated[str, Field(min_length=1, max_length=253)]


class GatewayReference(ApiModel):
    """The Gateway that the GRPCRoute attaches to."""

    name: str = Field(min_length=1, max_length=253, description="Name of a Gateway in the same namespace.")
    section_name: str | None = Field(default=None, max_length=253, description="One listener of the Gateway.")


class Traffic(ApiModel):
    """How calls reach the pods."""

    cel_rules: ClassVar[tuple[CelRule, ...]] = (
        CelRule(
            rule="!has(self.router) || self.router != 'Gateway' || has(self.gateway)",
            message="traffic.router Gateway needs traffic.gateway; name a Gateway, or use router Service",
        ),
        CelRule(
            rule="!has(self.gateway) || (has(self.router) && self.router == 'Gateway')",
            message="traffic.gateway has no effect with traffic.router Service; remove it, or use router Gateway",
            message_expression="'traffic.gateway %s has no effect with traffic.router Service; remove it, or use "
            "router Gateway'.format([self.gateway.name])",
        ),
        CelRule(
            rule="!has(self.hostnames) || self.hostnames.size() == 0 || (has(self.router) && self.router == 'Gateway')",
            message="traffic.hostnames have no effect with traffic.router Service; remove them, or use router Gateway",
        ),
    )

    router: Literal["Service", "Gateway"] = Field(
        default="Service",
        description="Service: one Service, the share is that of the routed pods. Gateway: exact weights per call.",
    )
    gateway: GatewayReference | None = Field(default=None, description="The Gateway; required by router Gateway.")
    hostnames: list[Hostname] = Field(
        default_factory=list, max_length=16, description="Host names that the route answers to; all when empty."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        broken = (
            self.router == "Gateway" and self.gateway is None,
            self.router == "Service" and self.gateway is not None,
            self.router == "Service" and bool(self.hostnames),
        )
        for rule, fails in zip(self.cel_rules, broken, strict=True):
            if fails:
                raise ValueError(rule.message)
        return self

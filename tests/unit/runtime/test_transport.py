"""Refusals as the API server words them, over a real HTTP connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from shoal_operator.errors import ApiError, Conflict, NamespaceGoing, NotFound
from shoal_operator.runtime.resources import EVENT
from shoal_operator.runtime.transport import ApiTransport


def refusal(code: int, reason: str, message: str, **details: Any) -> tuple[int, dict[str, Any]]:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return code, {**status, "reason": reason, "details": details, "code": code}


TERMINATING = refusal(
    403,
    "Forbidden",
    'events "cities.1f" is forbidden: unable to create new content in namespace shop because it is being terminated',
    name="cities.1f",
    kind="events",
    causes=[
        {
            "reason": "NamespaceTerminating",
            "message": "namespace shop is being terminated",
            "field": "metadata.namespace",
        }
    ],
)
GONE = refusal(404, "NotFound", 'namespaces "shop" not found', name="shop", kind="namespaces")
FORBIDDEN = refusal(
    403,
    "Forbidden",
    'events is forbidden: User "system:serviceaccount:shoal:shoal" cannot create resource "events" in API group "" in '
    'the namespace "shop"',
    kind="events",
)
QUOTA = refusal(
    403, "Forbidden", 'jobs.batch "fit" is forbidden: exceeded quota: jobs', name="fit", group="batch", kind="jobs"
)
MISSING = refusal(404, "NotFound", 'events "cities.1f" not found', name="cities.1f", kind="events")
TAKEN = refusal(409, "AlreadyExists", 'events "cities.1f" already exists', name="cities.1f", kind="events")


@asynccontextmanager
async def answering(code: int, body: dict[str, Any]) -> AsyncIterator[ApiTransport]:
    """Run a server that gives every request this answer, and a transport to it."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=code)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(application) as server:
        transport = ApiTransport(client.Configuration(host=str(server.make_url("")).rstrip("/")), lambda *_: None)
        try:
            yield transport
        finally:
            await transport.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (TERMINATING, NamespaceGoing),
        (GONE, NamespaceGoing),
        (FORBIDDEN, ApiError),
        (QUOTA, ApiError),
        (MISSING, NotFound),
        (TAKEN, Conflict),
    ],
    ids=["namespace terminating", "namespace gone", "no permission", "quota", "object missing", "object exists"],
)
async def test_a_refusal_is_told_by_its_kind(answer: tuple[int, dict[str, Any]], kind: type[ApiError]) -> None:
    async with answering(*answer) as transport:
        with pytest.raises(ApiError) as caught:
            await transport.request("POST", EVENT.path("shop"), body={})
    assert type(caught.value) is kind
    assert caught.value.message == answer[1]["message"]

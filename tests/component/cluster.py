"""A small API server over HTTP for kopf: discovery, lists and watches; it records every request."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from typing import Any

from aiohttp import web

from shoal_operator.runtime.resources import BY_KIND, GATEWAY_GROUP, WATCHED, Resource

NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")


class Cluster:
    """Objects in memory behind the parts of the API that an informer uses."""

    def __init__(self, gateway_api: bool = True) -> None:
        self.gateway_api = gateway_api
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.connected: Counter[str] = Counter()
        """How many watches of a kind have been connected so far."""
        self.url = ""
        self._watches: dict[str, set[asyncio.Queue[str | None]]] = defaultdict(set)
        self._version = 1000
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close all connections."""
        self.cut_watches()
        if self._runner is not None:
            await self._runner.cleanup()

    def put(self, raw: dict[str, Any]) -> None:
        """Create or change an object, and tell the watches."""
        key = (raw["kind"], raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        self._tell("MODIFIED" if key in self.objects else "ADDED", raw)
        self.objects[key] = raw

    def remove(self, raw: dict[str, Any], silently: bool = False) -> None:
        """Delete an object; silently: as if no watch was connected at that moment."""
        del self.objects[raw["kind"], raw["metadata"].get("namespace", ""), raw["metadata"]["name"]]
        if not silently:
            self._tell("DELETED", raw)

    def cut_watches(self) -> None:
        """End all watch connections."""
        for queues in self._watches.values():
            for queue in queues:
                queue.put_nowait(None)

    def paths(self, method: str = "GET", watch: bool | None = None) -> set[str]:
        """Return the paths that were asked for."""
        return {
            path
            for verb, path, query in self.requests
            if verb == method and (watch is None or ("watch" in query) == watch)
        }

    def writes(self) -> list[tuple[str, str]]:
        """Return all requests that are no reads."""
        return [(verb, path) for verb, path, _ in self.requests if verb != "GET"]

    def _tell(self, event: str, raw: dict[str, Any]) -> None:
        self._version += 1
        raw["metadata"]["resourceVersion"] = str(self._version)
        for queue in self._watches[raw["kind"]]:
            queue.put_nowait(json.dumps({"type": event, "object": raw}))

    def _resources(self) -> list[Resource]:
        found = [*WATCHED, NAMESPACES, CRDS]
        return found if self.gateway_api else [item for item in found if item.group != GATEWAY_GROUP]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests.append((request.method, path, dict(request.query)))
        groups = {item.group for item in self._resources() if item.group}
        if path == "/api":
            return web.json_response({"versions": ["v1"]})
        if path == "/apis":
            return web.json_response({"groups": [_group(group, self._resources()) for group in sorted(groups)]})
        for resource in self._resources():
            prefix = f"/apis/{resource.api_version}" if resource.group else "/api/v1"
            if path == prefix:
                listed = [item for item in self._resources() if item.api_version == resource.api_version]
                return web.json_response({"resources": [_resource(item) for item in listed]})
            if path.startswith(prefix) and path.endswith(f"/{resource.plural}"):
                parts = path.split("/")
                namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else None
                if "watch" in request.query:
                    return await self._watch(request, resource)
                return self._list(resource, namespace)
        return web.json_response({"kind": "Status", "code": 404, "message": path}, status=404)

    def _list(self, resource: Resource, namespace: str | None) -> web.Response:
        items = [
            raw for (kind, home, _), raw in self.objects.items() if kind == resource.kind and namespace in (None, home)
        ]
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"kind": f"{resource.kind}List", "items": items, "metadata": metadata})

    async def _watch(self, request: web.Request, resource: Resource) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._watches[resource.kind].add(queue)
        self.connected[resource.kind] += 1
        try:
            while (line := await queue.get()) is not None:
                await response.write(line.encode() + b"\n")
        except ConnectionError:
            pass  # The client went away, as clients do.
        finally:
            self._watches[resource.kind].discard(queue)
        return response

    def watched(self, kind: str) -> bool:
        """Return whether a watch of this kind is connected."""
        return bool(self._watches[BY_KIND[kind].kind])


def _group(name: str, resources: list[Resource]) -> dict[str, Any]:
    version = {"version": next(item.version for item in resources if item.group == name)}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resource(resource: Resource) -> dict[str, Any]:
    return {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "kind": resource.kind,
        "namespaced": resource not in (NAMESPACES, CRDS),
        "verbs": ["get", "list", "watch", "patch"],
    }

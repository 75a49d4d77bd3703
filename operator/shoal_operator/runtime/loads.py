"""Reads what the pods of scaled deployments do: their counters, CPU and memory, and what Prometheus servers say.

Started by app as one task. Invariant: a source that fails is no figure, never zero; figures between two readings are
of one process, so a pod that restarted has none until the next look. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import aiohttp
import structlog

from shoal_operator.api.meta import ObjectKey
from shoal_operator.api.quantity import read_quantity
from shoal_operator.core import names
from shoal_operator.core.facts import instant, items_at, mapping_at, name_of, namespace_of, text_at, timestamp
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.snapshot import Answer, Load, LoadSample, PodFacts, RawObject
from shoal_operator.errors import ApiError
from shoal_operator.runtime.answers import Send, ask
from shoal_operator.runtime.figures import Counters, parse
from shoal_operator.runtime.observer import serving_pods
from shoal_operator.runtime.rounds import Pace, Rounds
from shoal_operator.runtime.store import Link, Store, key_of, uid_of
from shoal_operator.runtime.transport import Transport

METRICS_API = "/apis/metrics.k8s.io/v1beta1"
_AUTOSCALERS = "/apis/autoscaling/v2"
_AT_ONCE = 16
_DEFAULT_INTERVAL = 15.0
_MILLI = 1000
_log = structlog.get_logger(__name__)

Scrape = Callable[[str], Awaitable[str]]
Queries = Callable[[RawObject], tuple[tuple[Request, ...], Mapping[str, str]]]
"""Returns what servers outside are asked at a look, and metric -> why it must not be asked."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A pod's counters at a moment of the monotonic clock."""

    moment: float
    counters: Counters


@dataclass(slots=True)
class _Seen:
    """What was seen of one deployment."""

    readings: dict[str, _Reading] = field(default_factory=dict)
    load: Load | None = None


class Loads(Rounds[_Seen]):
    """Keeps the last look at every deployment that has spec.scaling."""

    def __init__(
        self,
        store: Store,
        scrape: Scrape,
        transport: Transport,
        queries: Queries,
        send: Send,
        looked: Callable[[ObjectKey], None],
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`looked` is told the key of a deployment that has new figures."""
        super().__init__(store, clock)
        self._scrape = scrape
        self._transport = transport
        self._queries = queries
        self._send = send
        self._looked = looked
        self._now = now
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._outside = asyncio.Semaphore(_AT_ONCE)

    def of(self, deployment: RawObject) -> Load | None:
        """Return the last look at a deployment; None before the first."""
        seen = self._kept_of(deployment)
        return seen.load if seen is not None else None

    def _pace(self, raw: RawObject) -> Pace | None:
        scaling = mapping_at(raw, "spec", "scaling")
        return Pace(uid_of(raw), float(scaling.get("intervalSeconds", _DEFAULT_INTERVAL))) if scaling else None

    def _begin(self) -> _Seen:
        return _Seen()

    async def _look(self, key: ObjectKey, raw: RawObject, kept: _Seen) -> None:
        wanted = mapping_at(raw, "spec", "scaling", "metrics")
        pods = [pod for pod in serving_pods(self._store, raw) if pod.ip and not pod.deleting]
        requests, denials = self._queries(raw)
        # Together, so that what is slow makes the figures of nobody else older than it must.
        (samples, problems), answers, rival = await asyncio.gather(
            self._read_pods(raw, pods, wanted, kept), self._ask(requests), self._find_rival(raw)
        )
        kept.load = Load(timestamp(self._now()), samples, {**problems, **denials}, rival=rival, answers=answers)
        self._looked(key)

    async def _read_pods(
        self, raw: RawObject, pods: list[PodFacts], wanted: RawObject, kept: _Seen
    ) -> tuple[dict[str, Mapping[str, LoadSample]], dict[str, str]]:
        samples: dict[str, Mapping[str, LoadSample]] = {}
        problems: dict[str, str] = {}
        if "queue" in wanted or "requestsPerSecond" in wanted:
            samples |= await self._count(pods, kept)
        if "cpu" in wanted or "memory" in wanted:
            try:
                samples |= await self._measure(raw, pods)
            except ApiError as error:
                told = f"the metrics API gives no figures: {error}"
                problems |= {"cpu": told, "memory": told}
        return samples, problems

    async def _ask(self, requests: tuple[Request, ...]) -> dict[str, Answer]:
        at = timestamp(self._now())
        answers = await asyncio.gather(*(self._ask_one(request, at) for request in requests))
        return {request.key: answer for request, answer in zip(requests, answers, strict=True)}

    async def _ask_one(self, request: Request, at: str) -> Answer:
        async with self._outside:
            return await ask(self._send, request, at)

    async def _count(self, pods: list[PodFacts], kept: _Seen) -> dict[str, Mapping[str, LoadSample]]:
        """Compare the pods' counters with those of the look before.

        By Little's law the seconds that calls took, over the seconds that passed, are the calls in a pod on average.
        """
        readings = await asyncio.gather(*(self._read(pod) for pod in pods))
        found = {pod.uid: reading for pod, reading in zip(pods, readings, strict=True) if reading is not None}
        queue: dict[str, LoadSample] = {}
        rate: dict[str, LoadSample] = {}
        for uid, reading in found.items():
            before = kept.readings.get(uid)
            seconds = reading.moment - before.moment if before else 0.0
            served = reading.counters - before.counters if before else Counters()
            if seconds <= 0 or served.calls < 0 or served.seconds < 0:
                continue
            window = timedelta(seconds=seconds)
            queue[uid] = LoadSample(round(_MILLI * served.seconds / seconds), self._now(), window)
            rate[uid] = LoadSample(round(_MILLI * served.calls / seconds), self._now(), window)
        kept.readings = found
        return {"queue": queue, "requestsPerSecond": rate}

    async def _read(self, pod: PodFacts) -> _Reading | None:
        async with self._limit:
            try:
                text = await self._scrape(str(pod.ip))
                return _Reading(self._clock(), parse(text))
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                _log.info("no metrics from a worker", pod=pod.name, error=str(error) or type(error).__name__)
                return None

    async def _measure(self, raw: RawObject, pods: list[PodFacts]) -> dict[str, Mapping[str, LoadSample]]:
        answer = await self._transport.request(
            "GET",
            f"{METRICS_API}/namespaces/{namespace_of(raw)}/pods",
            query={"labelSelector": f"{names.DEPLOYMENT}={names.label_value(name_of(raw))}"},
        )
        uids = {pod.name: pod.uid for pod in pods}
        found: dict[str, dict[str, LoadSample]] = {"cpu": {}, "memory": {}}
        for item in items_at(answer, "items"):
            uid, at = uids.get(name_of(item)), instant(text_at(item, "timestamp"))
            if uid is None or at is None:
                continue
            window = timedelta(seconds=float(read_quantity(text_at(item, "window").removesuffix("s"))))
            for metric, samples in found.items():
                used = [text_at(part, "usage", metric) for part in items_at(item, "containers")]
                # What is not told is not known: it does not count as nothing.
                if used and all(used):
                    total = sum(map(read_quantity, used), Decimal(0))
                    samples[uid] = LoadSample(int(total * _MILLI), at, window)
        return dict(found)

    async def _find_rival(self, raw: RawObject) -> str:
        """Return another autoscaler of the deployment or of one of its pools; KEDA has one for each ScaledObject."""
        path = f"{_AUTOSCALERS}/namespaces/{namespace_of(raw)}/horizontalpodautoscalers"
        try:
            answer = await self._transport.request("GET", path)
        except ApiError as error:
            _log.info("the autoscalers cannot be listed", object=str(key_of(raw)), error=str(error))
            return ""
        owned = Link("owned-by-deployment", namespace_of(raw), names.label_value(name_of(raw)))
        pools = {("Deployment", name_of(pool)) for pool in self._store.linked("Deployment", owned)}
        for item in items_at(answer, "items"):
            target = mapping_at(item, "spec", "scaleTargetRef")
            if (target.get("kind"), target.get("name")) in {("ClusteringDeployment", name_of(raw)), *pools}:
                return _describe_rival(item)
        return ""


def _describe_rival(autoscaler: RawObject) -> str:
    """Name what is to be deleted: an autoscaler that is owned would come back."""
    told = f"HorizontalPodAutoscaler {name_of(autoscaler)}"
    owners = items_at(autoscaler, "metadata", "ownerReferences")
    return f"{text_at(owners[0], 'kind')} {text_at(owners[0], 'name')} (by {told})" if owners else told

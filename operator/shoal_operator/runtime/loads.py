"""Reads what the pods of scaled deployments do: their counters, CPU and memory, and what Prometheus servers say.

Started by app as one task. Invariant: a source that fails is no figure, never zero; figures are of one process and
of the time since the look before, so a pod that restarted has none until the next look. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

import aiohttp
import structlog

from shoal_operator.api.ingestion import Ingestion
from shoal_operator.api.meta import ObjectKey
from shoal_operator.api.quantity import read_quantity
from shoal_operator.core import names
from shoal_operator.core.facts import instant, items_at, mapping_at, name_of, namespace_of, text_at, timestamp
from shoal_operator.core.gates.outside import Request
from shoal_operator.core.manifests.consumer import consumer_of
from shoal_operator.core.snapshot import Answer, Load, LoadSample, PodFacts, RawObject
from shoal_operator.errors import ApiError
from shoal_operator.runtime.answers import Send, ask
from shoal_operator.runtime.figures import Counters, parse, read_gauge
from shoal_operator.runtime.monitoring import AskBacklog
from shoal_operator.runtime.observer import serving_pods
from shoal_operator.runtime.rounds import Pace, Rounds
from shoal_operator.runtime.store import Link, Store, key_of, uid_of
from shoal_operator.runtime.transport import Transport

METRICS_API = "/apis/metrics.k8s.io/v1beta1"
_AUTOSCALERS = "/apis/autoscaling/v2"
_AT_ONCE = 16
_DEFAULT_INTERVAL = 15.0
_MILLI = 1000
_BACKLOG, _SERVING = "shoal_stream_backlog", "shoal_serving_seconds"
_log = structlog.get_logger(__name__)

Scrape = Callable[[str], Awaitable[str]]
Queries = Callable[[RawObject], tuple[tuple[Request, ...], Mapping[str, str]]]
"""Returns what servers outside are asked at a look, and metric -> why it must not be asked."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A pod's counters at a moment of the monotonic clock."""

    moment: float
    counters: Counters
    backlog: int | None = None
    """What a pod that consumes a stream tells of it."""
    began: float | None = None
    """When it began to serve, by the same clock; None where it does not tell."""


@dataclass(slots=True)
class _Seen:
    """What was seen of one deployment."""

    readings: dict[str, _Reading] = field(default_factory=dict)
    counted: float = math.inf
    """When the pods' counters were read last, by the monotonic clock."""
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
        ask_backlog: AskBacklog,
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
        self._ask_backlog = ask_backlog
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
        load, answers, rival = await asyncio.gather(
            self._read_pods(raw, pods, wanted, kept), self._ask(requests), self._find_rival(raw)
        )
        kept.load = replace(load, problems={**load.problems, **denials}, rival=rival, answers=answers)
        self._looked(key)

    async def _read_pods(self, raw: RawObject, pods: list[PodFacts], wanted: RawObject, kept: _Seen) -> Load:
        samples: dict[str, Mapping[str, LoadSample]] = {}
        problems: dict[str, str] = {}
        backlog: int | None = None
        if "queue" in wanted or "requestsPerSecond" in wanted:
            samples |= await self._count(pods, kept)
        if "queue" in wanted and mapping_at(raw, "spec", "ingestion"):
            try:
                backlog, samples["queue"] = await self._weigh(raw, kept)
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                problems["queue"] = f"the backlog is not known: {error or type(error).__name__}"
        if "cpu" in wanted or "memory" in wanted:
            try:
                samples |= await self._measure(raw, pods)
            except ApiError as error:
                told = f"the metrics API gives no figures: {error}"
                problems |= {"cpu": told, "memory": told}
        return Load(timestamp(self._now()), samples, problems, backlog)

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
        moment = self._clock()
        readings = await asyncio.gather(*(self._read(pod) for pod in pods))
        found = {pod.uid: reading for pod, reading in zip(pods, readings, strict=True) if reading is not None}
        queue: dict[str, LoadSample] = {}
        rate: dict[str, LoadSample] = {}
        for uid, reading in found.items():
            begin = _beginning(reading, kept.readings.get(uid), kept.counted)
            if begin is None:
                continue
            seconds = reading.moment - begin.moment
            served = reading.counters - begin.counters
            window = timedelta(seconds=seconds)
            queue[uid] = LoadSample(round(_MILLI * served.seconds / seconds), self._now(), window)
            rate[uid] = LoadSample(round(_MILLI * served.calls / seconds), self._now(), window)
        kept.readings, kept.counted = found, moment
        return {"queue": queue, "requestsPerSecond": rate}

    async def _weigh(self, raw: RawObject, kept: _Seen) -> tuple[int, Mapping[str, LoadSample]]:
        """Return the stream's backlog, and each pod's part of it: all lease from one consumer, so an equal one.

        The pods tell it; a server is asked where there is none. Raises where nobody tells it.
        """
        told = {uid: reading.backlog for uid, reading in kept.readings.items() if reading.backlog is not None}
        if told:
            backlog = max(told.values())
            part = round(_MILLI * backlog / len(told))
            return backlog, {uid: LoadSample(part, self._now()) for uid in told}
        url = text_at(raw, "spec", "ingestion", "nats", "monitoringUrl")
        if not url:
            raise ValueError("no pod tells it, and ingestion.nats.monitoringUrl is not set")
        ingestion = Ingestion.model_validate(mapping_at(raw, "spec", "ingestion"))
        return await self._ask_backlog(url, ingestion.stream, consumer_of(raw, ingestion)), {}

    async def _read(self, pod: PodFacts) -> _Reading | None:
        async with self._limit:
            try:
                text = await self._scrape(str(pod.ip))
                moment, backlog, serving = self._clock(), read_gauge(text, _BACKLOG), read_gauge(text, _SERVING)
                return _Reading(
                    moment,
                    parse(text),
                    None if backlog is None else round(backlog),
                    moment - serving if serving else None,
                )
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


def _beginning(reading: _Reading, before: _Reading | None, counted: float) -> _Reading | None:
    """Return what a pod's reading is compared with: the one before, or nothing where it began to serve since the look.

    Both are told over the time since the look before, so that all pods' figures add up to the load of that time.
    """
    if before is None:
        return _Reading(counted, Counters()) if reading.began is not None and reading.began >= counted else None
    served = reading.counters - before.counters
    return before if reading.moment > before.moment and served.calls >= 0 and served.seconds >= 0 else None


def _describe_rival(autoscaler: RawObject) -> str:
    """Name what is to be deleted: an autoscaler that is owned would come back."""
    told = f"HorizontalPodAutoscaler {name_of(autoscaler)}"
    owners = items_at(autoscaler, "metadata", "ownerReferences")
    return f"{text_at(owners[0], 'kind')} {text_at(owners[0], 'name')} (by {told})" if owners else told

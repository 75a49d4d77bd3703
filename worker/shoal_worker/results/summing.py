"""The manifest of a run, made of its plan and the records of all its parts; called by `run`. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from shoal_worker.errors import ResultInvalid
from shoal_worker.results.record import (
    MOST_CLUSTERS,
    ManifestPart,
    PartRecord,
    Range,
    RunManifest,
    RunMetrics,
    RunPlan,
    told,
)


def sum_up(plan: RunPlan, records: Sequence[PartRecord], now: datetime) -> RunManifest:
    """Sum up all parts, which are in their order."""
    counts: Counter[int] = Counter()
    ranges: dict[str, Range] = {}
    for record in records:
        counts.update(record.counts)
        for name, found in record.ranges.items():
            known = ranges.get(name, found)
            ranges[name] = Range(min=min(known.min, found.min), max=max(known.max, found.max))
    if len(counts) > MOST_CLUSTERS:
        raise ResultInvalid(
            f"the rows are of more than {MOST_CLUSTERS:,} clusters",
            field="spec.model",
            remedy="Use a model with fewer clusters: a greater eps, or more minSamples",
        )
    rows, noise = sum(each.rows for each in records), sum(each.noise for each in records)
    seconds = (now - datetime.fromisoformat(plan.created)).total_seconds()
    return RunManifest(
        namespace=plan.namespace,
        batch=plan.batch,
        run=plan.run,
        model=plan.model,
        input=plan.input,
        columns=plan.columns,
        parts=tuple(
            ManifestPart(
                part=each.part,
                file=each.file,
                rows=each.rows,
                bytes=each.bytes,
                sha256=each.sha256,
                seconds=each.seconds,
            )
            for each in records
        ),
        rows=rows,
        noise=noise,
        counts=dict(sorted(counts.items())),
        ranges=ranges,
        metrics=RunMetrics(
            processing_time=round(max(seconds, 0.0), 3),
            data_size=rows,
            n_clusters=len(counts),
            noise_ratio=noise / rows if rows else 0.0,
        ),
        created=plan.created,
        finished=told(now),
    )

"""What a listing tells of a run, made of the names in its folder, its plan and its manifest; called by `store`.

Invariant: a run is Complete only if every file that its manifest names is there in its size. Pure, `now` is given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

from shoal_worker.results.layout import MANIFEST_NAME, PLAN_NAME, RECORD_NAME, ROWS_NAME, RunKey
from shoal_worker.results.record import RunManifest, RunModel, RunPlan

RunState = Literal["Complete", "Running", "Broken"]
"""Complete has its manifest and all parts; Running is written to; Broken is damaged, or was cut off."""
STATES: tuple[RunState, ...] = get_args(RunState)
CUT_AFTER = timedelta(hours=24)
"""A run without a manifest that nothing was written of for that long was cut off."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of a run as the store's listing tells of it."""

    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run."""

    key: RunKey
    state: RunState
    files: tuple[str, ...]
    """Names of the files that belong to the layout."""
    bytes: int
    written: datetime
    """When something was written last."""
    parts_done: int
    parts: int | None = None
    created: str = ""
    finished: str = ""
    model: RunModel | None = None
    input_uri: str = ""
    rows: int | None = None
    clusters: int | None = None
    noise_ratio: float | None = None
    processing_time: float | None = None
    message: str = ""
    """Why it is Broken."""
    is_stream: bool = False
    """Whether it grows by the labels of a stream's messages, and can be read while it does."""
    is_ours: bool = True
    """Whether the folder has anything that no other program writes."""

    @property
    def ended(self) -> datetime:
        """When it was finished, or written to last; runs of a batch follow each other by it."""
        return datetime.fromisoformat(self.finished) if self.finished else self.written


def is_of_layout(name: str) -> bool:
    """Tell whether a file in a run's folder is the store's own."""
    return name in (PLAN_NAME, MANIFEST_NAME) or bool(RECORD_NAME.fullmatch(name) or ROWS_NAME.fullmatch(name))


def summarize(
    key: RunKey,
    files: Mapping[str, FileFacts],
    plan: RunPlan | Exception | None,
    manifest: RunManifest | Exception | None,
    now: datetime,
) -> RunSummary:
    """Sum up a run; plan and manifest are None where they are not there, an exception where they are not readable."""
    own = {name: facts for name, facts in files.items() if is_of_layout(name)}
    records = sum(1 for name in own if RECORD_NAME.fullmatch(name))
    about = manifest if isinstance(manifest, RunManifest) else plan if isinstance(plan, RunPlan) else None
    written = max(facts.modified for facts in own.values())
    is_stream = about is not None and about.input.is_stream
    state, message = _judge(own, plan, manifest, now - written)
    whole = manifest if isinstance(manifest, RunManifest) else None
    return RunSummary(
        key=key,
        state=state,
        files=tuple(sorted(own)),
        bytes=sum(facts.size for facts in own.values()),
        written=written,
        parts_done=records,
        parts=len(about.parts) if isinstance(about, RunManifest) else about.parts if about and not is_stream else None,
        created=about.created if about else "",
        finished=whole.finished if whole else "",
        model=about.model if about else None,
        input_uri=about.input.uri if about else "",
        rows=whole.rows if whole else None,
        clusters=whole.metrics.n_clusters if whole else None,
        noise_ratio=whole.metrics.noise_ratio if whole else None,
        processing_time=whole.metrics.processing_time if whole else None,
        message=message,
        is_stream=is_stream,
        is_ours=about is not None or any(name not in (PLAN_NAME, MANIFEST_NAME) for name in own),
    )


def _judge(
    files: Mapping[str, FileFacts],
    plan: RunPlan | Exception | None,
    manifest: RunManifest | Exception | None,
    silent: timedelta,
) -> tuple[RunState, str]:
    match manifest:
        case Exception():
            return "Broken", f"manifest: {manifest}"
        case RunManifest():
            for part in manifest.parts:
                facts = files.get(part.file)
                if facts is None or facts.size != part.bytes:
                    return "Broken", f"{part.file} {'is gone' if facts is None else 'has another size'}"
            return "Complete", ""
    match plan:
        case Exception():
            return "Broken", f"plan: {plan}"
        case None:
            return "Broken", "there is no plan"
        case RunPlan() if plan.input.is_stream:
            # Every part is there with its record, and whoever reads a stream reads by the records.
            return "Running", ""
    if silent > CUT_AFTER:
        return "Broken", f"cut off: nothing was written for {int(silent / timedelta(hours=1))} hours"
    return "Running", ""

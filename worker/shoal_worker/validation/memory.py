"""memory: what the loaded model takes, and whether predicting makes it grow; called by `run`."""

from shoal_worker.resources import resident_bytes
from shoal_worker.spec.validation import MemoryTestSettings
from shoal_worker.validation.judgement import Judgement
from shoal_worker.validation.subject import Served

NAME = "memory"
_ROUNDS = 5
_TOLERANCE, _SLACK_BYTES = 2, 4 << 20
"""An estimate knows neither the index's map of cells, of up to half its size, nor what an allocator keeps."""


def judge_memory(served: Served, settings: MemoryTestSettings) -> Judgement:
    """Bytes of the model's arrays, and of the process's growth over some rounds of predictions after a first."""
    tensors = served.artifact.tensors
    arrays = [*tensors.index.values(), tensors.probes.numbers, tensors.probe_labels]
    arrays += list(tensors.densities.named().values()) if tensors.densities is not None else []
    held = sum(array.nbytes for array in arrays)
    rows = served.rows
    served.ask(rows)
    before = resident_bytes()
    for _ in range(_ROUNDS):
        served.ask(rows)
    growth = max(0, resident_bytes() - before)
    figures = {"modelBytes": held, "growthBytes": growth, "estimatedIndexBytes": served.estimated_bytes}
    measured = f"{held:,} bytes of model, {growth:,} of growth over {_ROUNDS} rounds of {rows.rows} rows"
    if settings.max_bytes is not None:
        verdict = "pass" if held + growth <= settings.max_bytes else "fail"
        message = f"{measured}; wanted <= {settings.max_bytes:,}"
        return Judgement(NAME, verdict, message, figures, {"maxBytes": settings.max_bytes})  # type: ignore[arg-type]
    if held + growth > _TOLERANCE * served.estimated_bytes + _SLACK_BYTES:
        message = f"{measured}; the training estimated {served.estimated_bytes:,}. Set validation.tests.memory.maxBytes"
        return Judgement(NAME, "warn", message, figures)
    return Judgement(NAME, "pass", f"{measured}, within the training's estimate", figures)

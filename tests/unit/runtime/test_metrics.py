"""The figures of objects are what their status says at the scrape, and leave with the object."""

from __future__ import annotations

from shoal_operator.runtime.metrics import Metrics
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store, key_of, uid_of
from tests.unit.runtime.fakes import raw

OWNER = {"namespace": "ns", "name": "nightly"}
RESULT = {"clusters": 3, "noiseRatio": 0.25, "processingSeconds": 4.5}


def test_a_batch_tells_its_result_and_how_long_it_took() -> None:
    store, metrics = Store(), Metrics()
    metrics.watch(store, {})
    batch = raw("ClusteringBatch", "nightly", status={"phase": "Complete", "rows": 900, "result": RESULT})
    store.put(batch, BY_KIND["ClusteringBatch"])
    told = {
        name: metrics.registry.get_sample_value(f"shoal_batch_{name}", OWNER)
        for name in ("rows", "clusters", "noise_ratio", "processing_seconds", "eta_seconds")
    }
    assert told == {"rows": 900, "clusters": 3, "noise_ratio": 0.25, "processing_seconds": 4.5, "eta_seconds": None}
    store.remove(key_of(batch), uid_of(batch))
    assert metrics.registry.get_sample_value("shoal_batch_rows", OWNER) is None

"""Draws the picture of docs/model-card.md: the card of the demo's cities; run by `make card-picture`.

What it shows is what a training draws: the same data, steps and parameters as the demo's second version.
"""

import io
from pathlib import Path

import pyarrow.parquet as pq

from hack.lab.install import build_cities
from shoal_worker.artifact.manifest import Column
from shoal_worker.card.facts import read_facts
from shoal_worker.card.making import draw_card
from shoal_worker.card.sketch import sketch_training
from shoal_worker.data.frame import Frame
from shoal_worker.models.reporting import report_of
from shoal_worker.resources import this_machine
from shoal_worker.spec.training import TrainingSpec
from shoal_worker.training.outcome import train_model

PLACE = Path("docs/images/model-card.png")
NAMES = ["lat", "lon"]


def main() -> None:
    """Train the cities and draw their card."""
    table = pq.read_table(io.BytesIO(build_cities()), columns=NAMES)
    frame = Frame(tuple(Column(name=name, dtype="float64") for name in NAMES), table.to_pandas().to_numpy(), {})
    spec = TrainingSpec.model_validate(
        {
            "name": "cities",
            "source": {"uri": "s3://shoal-data/demo/cities.parquet"},
            "preprocessing": [{"toRadians": {}}],
            "algorithm": {"dbscan": {"eps": 40 / 6371, "minSamples": 8, "metric": "haversine"}},
            "storeUri": "s3://shoal-store/models",
        }
    )
    trained = train_model(frame, spec, this_machine(), None, lambda _stage, _fraction: None)
    report = report_of(trained.files, trained.artifact.manifest, trained.validation, spec.store_uri)
    facts = read_facts("demo/cities", report, number=2, passed=trained.validation.verdict == "pass", lineage=[])
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    PLACE.write_bytes(draw_card(facts, sketch)["card.png"])


if __name__ == "__main__":
    main()

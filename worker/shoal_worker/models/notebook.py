"""From a notebook into the store: a fitted estimator becomes an artifact, tested as a training's is; called by people.

Invariant: what is stored are the labels that the estimator has; nothing is fitted anew but by the test that does so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal_worker.card.sketch import Sketch
    from shoal_worker.data.frame import Frame
    from shoal_worker.models.record import VersionRecord
    from shoal_worker.training.outcome import Trained


def push(
    estimator: Any,
    X: Any,  # noqa: N803
    *,
    name: str,
    store: str,
    namespace: str = "default",
    columns: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    validation: Mapping[str, Any] | None = None,
    credentials_dir: str | Path | None = None,
    card_points: bool = True,
) -> VersionRecord:
    """Store a fitted DBSCAN or AdaptiveDBSCAN as a version of the model `name`, and return its record.

    estimator: of shoal_engine, or scikit-learn's DBSCAN; X: the rows that it was fitted on. columns: their names; a
    DataFrame has its own. validation: limits as in spec.validation of a ClusteringModel. store: s3://bucket/path and
    the like, or file:///path; credentials come from AWS_* variables or from files of those names in credentials_dir.
    card_points: whether rows of X may be on the version's card.
    Pushing the same model again gives the same version.
    """
    from shoal_worker.card.making import keep_card
    from shoal_worker.models.opening import open_models
    from shoal_worker.models.record import Draft, model_key
    from shoal_worker.models.reporting import report_of

    key = model_key(namespace, name)
    models = open_models(store, Path(credentials_dir) if credentials_dir is not None else None)
    trained, frame = _package(estimator, X, name, columns, dict(validation or {}))
    files = trained.files
    report = report_of(files, trained.artifact.manifest, trained.validation, models.artifact_uri(files.digest))
    identity = hashlib.sha256(f"{files.digest} {sorted((validation or {}).items())}".encode()).hexdigest()[:8]
    draft = Draft(
        f"push-{identity}",
        files.digest,
        report,
        labels=dict(labels or {}),
        source="pushed from Python",
        card_points=card_points,
    )
    record = models.save(key, draft, files)
    keep_card(models, key, record, lambda: _sketch(trained, frame, card_points))
    return record


def export(
    estimator: Any,
    X: Any,  # noqa: N803
    directory: str | Path,
    *,
    columns: Sequence[str] | None = None,
    card_points: bool = True,
) -> str:
    """Write a fitted estimator's artifact to a directory for `shoal models push`, and return its digest.

    Its card, card.html and card.png, is written beside it; card_points: whether rows of X may be on it.
    """
    from shoal_worker.artifact.manifest import MANIFEST_NAME, MODEL_NAME
    from shoal_worker.card.facts import read_facts
    from shoal_worker.card.making import draw_card
    from shoal_worker.models.reporting import report_of

    trained, frame = _package(estimator, X, "exported", columns, {})
    files, folder = trained.files, Path(directory)
    report = report_of(files, trained.artifact.manifest, trained.validation, str(folder))
    facts = read_facts(
        folder.resolve().name,
        report,
        passed=trained.validation.verdict == "pass",
        lineage=[("Source", "exported from Python"), ("Artifact", files.digest)],
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in draw_card(facts, _sketch(trained, frame, card_points)).items():
        (folder / name).write_bytes(content)
    (folder / MODEL_NAME).write_bytes(files.model)
    (folder / MANIFEST_NAME).write_bytes(files.manifest)
    return files.digest


def _sketch(trained: Trained, frame: Frame, show_points: bool) -> Sketch:
    from shoal_worker.card.sketch import sketch_training

    return sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact, show_points=show_points)


def _package(
    estimator: Any,
    X: Any,  # noqa: N803
    name: str,
    columns: Sequence[str] | None,
    validation: dict[str, Any],
) -> tuple[Trained, Frame]:
    import numpy as np

    from shoal_engine import DBSCAN, AdaptiveDBSCAN, from_sklearn
    from shoal_worker.artifact.manifest import Column
    from shoal_worker.data.frame import Frame
    from shoal_worker.errors import SettingsInvalid
    from shoal_worker.resources import this_machine
    from shoal_worker.spec.training import TrainingSpec
    from shoal_worker.training.fit import fitted_of
    from shoal_worker.training.outcome import train_model

    model = estimator if isinstance(estimator, DBSCAN | AdaptiveDBSCAN) else from_sklearn(estimator, X)
    if isinstance(model, AdaptiveDBSCAN) and not hasattr(model, "tree_"):
        raise TypeError(
            f"A {type(estimator).__name__} cannot be stored: it does not tell how its clusters nest. Fit "
            "shoal_engine.AdaptiveDBSCAN with the same min_samples and min_cluster_size."
        )
    rows = np.ascontiguousarray(X, dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(model.labels_):
        raise SettingsInvalid(
            f"X must be the {len(model.labels_)} rows that the estimator was fitted on",
            field="X",
            value=f"shape {rows.shape}",
            remedy="Pass the same X as to fit",
        )
    found = columns if columns is not None else getattr(X, "columns", None)
    named = [f"x{i}" for i in range(rows.shape[1])] if found is None else [str(each) for each in found]
    if len(named) != rows.shape[1] or len(set(named)) != len(named):
        raise SettingsInvalid(
            f"there must be one name for each of the {rows.shape[1]} columns, and none twice",
            field="columns",
            value=", ".join(named),
            remedy="Name the columns of X in their order",
        )
    frame = Frame(tuple(Column(name=each, dtype="float64") for each in named), rows, {})
    machine = this_machine()
    fitted = fitted_of(model, machine.cpus)
    algorithm = fitted.parameters.model_dump(by_alias=True)
    spec = TrainingSpec.model_validate(
        {
            "name": name,
            "source": {"uri": "notebook"},
            "algorithm": {"dbscan" if isinstance(model, DBSCAN) else "adaptiveDbscan": algorithm},
            "validation": validation,
            "storeUri": "notebook",
        }
    )
    return train_model(frame, spec, machine, None, lambda _stage, _fraction: None, fitted=fitted), frame

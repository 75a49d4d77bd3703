"""Public cluster ids: the same cluster keeps its id over versions, though its label is another one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import tritonclient.grpc as triton
from numpy.typing import NDArray

from hack.lab.install import upload
from tests.e2e.conftest import parquet
from tests.e2e.scene import ANALYSIS, CANARY, NAME, Scene

WEST, EAST, NORTH, SOUTH, FAR = (-6.0, 0.0), (6.0, 0.0), (0.0, 6.0), (0.0, -6.0), (20.0, 20.0)


def write_blobs(scene: Scene, *centres: tuple[float, float]) -> str:
    """Write a blob of 300 rows around each centre, in this order, which is that of the labels; returns its path."""
    random = np.random.default_rng(5)
    rows = np.concatenate([random.normal(centre, 0.4, (300, 2)) for centre in centres])
    path = f"e2e/{scene.namespace}-{len(centres)}-{centres[0][0]:g}.parquet"
    upload(scene.kube, {path: parquet(pa.table({"x": rows[:, 0], "y": rows[:, 1]}))})
    return path


def ask(scene: Scene, *places: tuple[float, float]) -> tuple[list[int], list[int]]:
    """Return labels and public ids of places."""
    points: NDArray[np.float64] = np.array(places)
    tensor = triton.InferInput("points", list(points.shape), "FP64")
    tensor.set_data_from_numpy(points)
    outputs = [triton.InferRequestedOutput(name) for name in ("labels", "cluster_ids")]
    with scene.client() as client:
        answer = client.infer(NAME, [tensor], outputs=outputs)
    return answer.as_numpy("labels").tolist(), answer.as_numpy("cluster_ids").tolist()


def test_a_cluster_keeps_its_id_although_its_label_changes(scene: Scene) -> None:
    """Version 2 sees the rows in another order, without the north and with a place that was never there."""
    scene.apply_model(path=write_blobs(scene, WEST, EAST, NORTH, SOUTH))
    scene.apply_deployment(CANARY, analysis=ANALYSIS | {"onInconclusive": "Proceed"})
    scene.await_stable(1)
    assert ask(scene, WEST, EAST, NORTH, SOUTH) == ([0, 1, 2, 3], [0, 1, 2, 3])

    scene.apply_model(path=write_blobs(scene, FAR, SOUTH, EAST, WEST))
    identity = scene.await_version(2)["spec"]["identity"]
    scene.await_stable(2)
    labels, ids = ask(scene, WEST, EAST, SOUTH, FAR, NORTH)
    assert labels == [3, 2, 1, 0, -1]
    assert ids == [0, 1, 3, 4, -1]
    assert {name: identity[name] for name in ("baseline", "kept", "born", "died", "split", "merged", "nextId")} == {
        "baseline": 1,
        "kept": 3,
        "born": 1,
        "died": 1,
        "split": 0,
        "merged": 0,
        "nextId": 5,
    }
    told = {event["kind"]: event["cluster"] for event in identity["events"]}
    assert told == {"Born": 4, "Died": 2}

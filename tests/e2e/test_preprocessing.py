"""Raw columns in, labels out: the served answers are those of a scikit-learn pipeline in front of the engine."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hack.lab.install import DATA_BUCKET, build_cities, port_forward, upload
from hack.lab.kube import REPOSITORY, wait_for
from hack.lab.objects import build_model
from shoal_engine import DBSCAN, Predictor
from tests.e2e.scene import HELD_CANARY, NAME, Scene

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PATH = "e2e/things.parquet"
COLUMNS = ("size", "weight", "kind")
STEPS: tuple[dict[str, Any], ...] = (
    {"impute": {"columns": ["size"], "strategy": "median"}},
    {"oneHot": {"columns": ["kind"]}},
    {"scale": {}},
    {"pca": {"components": 3}},
)
EPS, MIN_SAMPLES = 0.5, 8
PAGE = REPOSITORY / "docs" / "preprocessing.md"

Rows = Mapping[str, NDArray[Any]]


def draw(rows: int, seed: int, kinds: tuple[str, ...] = ("screw", "nail", "Dübel")) -> Rows:
    """Things of three kinds with sizes of their own, a tenth of the sizes missing, some things unlike all others."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, len(kinds), rows)
    size = 1000.0 * (1 + kind) + random.normal(0, 60, rows)
    weight = 0.01 * (3 - kind) + random.normal(0, 0.001, rows)
    strange = random.random(rows) < 0.05
    size[strange] = random.uniform(-20_000, 20_000, strange.sum())
    size[random.random(rows) < 0.1] = np.nan
    return {"size": size, "weight": weight, "kind": np.array(kinds, dtype=object)[kind]}


def as_parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    holed = pa.array(rows["size"], from_pandas=True)
    pq.write_table(pa.table({**rows, "size": holed, "kind": pa.array(rows["kind"].tolist())}), sink)
    return sink.getvalue()


def as_matrix(rows: Rows) -> NDArray[np.object_]:
    return np.column_stack([rows[name].astype(object) for name in COLUMNS])


def reference_labels(training: Rows, queries: Rows) -> tuple[int, NDArray[np.int32]]:
    """The same steps by scikit-learn alone, and the engine on what they make: clusters, and labels of the queries."""
    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median"), [0]),
            ("weights", "passthrough", [1]),
            ("kinds", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [2]),
        ]
    )
    pipeline = Pipeline([("columns", columns), ("scale", StandardScaler()), ("pca", PCA(3))])
    points = np.ascontiguousarray(pipeline.fit_transform(as_matrix(training)), dtype=np.float64)
    fitted = DBSCAN(EPS, min_samples=MIN_SAMPLES).fit(points)
    labels = fitted.labels_.astype(np.int32)
    predictor = Predictor(fitted.components_, labels[fitted.core_sample_indices_], EPS, "euclidean")
    asked = np.ascontiguousarray(pipeline.transform(as_matrix(queries)), dtype=np.float64)
    return int(labels.max()) + 1, predictor.predict(asked)


def ask(client: triton.InferenceServerClient, rows: Rows, order: tuple[str, ...] = COLUMNS) -> NDArray[np.int32]:
    """Ask for labels by one tensor for each column."""
    tensors = []
    for name in order:
        tensor = triton.InferInput(name, list(rows[name].shape), triton.np_to_triton_dtype(rows[name].dtype))
        tensor.set_data_from_numpy(rows[name])
        tensors.append(tensor)
    labels: NDArray[np.int32] = client.infer(NAME, tensors).as_numpy("labels")
    return labels


def test_served_labels_are_those_of_a_scikit_learn_pipeline(scene: Scene) -> None:
    training, queries = draw(3000, seed=1), draw(2000, seed=2, kinds=("screw", "nail", "Dübel", "hook"))
    clusters, expected = reference_labels(training, queries)
    upload(scene.kube, {PATH: as_parquet(training)})
    scene.apply_model(path=PATH, columns=COLUMNS, preprocessing=STEPS, eps=EPS, minSamples=MIN_SAMPLES)
    spec = scene.await_version(1)["spec"]
    assert [next(iter(step)) for step in spec["preprocessing"]] == ["impute", "oneHot", "scale", "pca"]
    assert [column["name"] for column in spec["schema"]["columns"]] == list(COLUMNS)
    assert spec["schema"]["features"] == ["pca1", "pca2", "pca3"]
    assert spec["metrics"]["clusters"] == clusters
    scene.apply_deployment(HELD_CANARY)
    scene.await_stable(1)

    with scene.client() as client:
        labels = ask(client, queries)
        turned = ask(client, queries, COLUMNS[::-1])
        singles = [ask(client, {name: values[row : row + 1] for name, values in queries.items()}) for row in range(20)]
        inputs = [(tensor.name, tensor.datatype) for tensor in client.get_model_metadata(NAME).inputs]
        told = r"'kind' is missing.*size \(\w+\), weight \(\w+\), kind \(string\)"
        with pytest.raises(triton.InferenceServerException, match=told):
            ask(client, queries, COLUMNS[:2])
        with pytest.raises(triton.InferenceServerException, match="is missing in column 'weight'"):
            ask(client, {**queries, "weight": queries["size"]})

    assert np.isnan(queries["size"]).any()
    assert adjusted_rand_score(expected, labels) == 1.0
    np.testing.assert_array_equal(labels == -1, expected == -1)
    np.testing.assert_array_equal(turned, labels)
    np.testing.assert_array_equal(np.concatenate(singles), labels[:20])
    assert inputs == [("size", "FP64"), ("weight", "FP64"), ("kind", "BYTES")]


def test_a_step_that_cannot_be_fitted_is_told_by_step_and_column(scene: Scene) -> None:
    upload(scene.kube, {PATH: as_parquet(draw(3000, seed=1))})
    steps = [{"select": {"columns": ["size", "kind"]}}, {"log1p": {"columns": ["weight"]}}]
    uri = f"s3://{DATA_BUCKET}/{PATH}"
    scene.kube.apply(scene.namespace, build_model(NAME, uri, columns=list(COLUMNS), preprocessing=steps, eps=EPS))
    told = scene.await_condition("clusteringmodels", NAME, "Degraded", "ColumnMissing", 90)["message"]
    for part in ("spec.preprocessing[1].log1p.columns", "since spec.preprocessing[0].select", "weight", "size, kind"):
        assert part in told


def test_the_page_works_as_it_is_printed(scene: Scene) -> None:
    """Its manifest and its client, verbatim but for the address; the only preparation is the demo's data."""
    upload(scene.kube, {"demo/cities.parquet": build_cities()})
    page = PAGE.read_text()
    [manifest] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    [script] = re.findall(r"<<'EOF'\n(.*?)\nEOF", page, re.DOTALL)
    scene.kube.kubectl("apply", "--namespace", scene.namespace, "-f", "-", stdin=manifest)
    assert wait_for("places to serve", lambda: scene.status("places").get("phase") == "Healthy", 120)
    with port_forward(scene.kube, scene.namespace, "service/places", 8001) as port:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script.replace("127.0.0.1:8001", f"127.0.0.1:{port}")],
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(os.environ),
        )
    assert done.returncode == 0, done.stderr
    labels = [int(label) for label in re.findall(r"-?\d+", done.stdout)]
    assert len(labels) == 3
    assert labels[0] >= 0, "Steyr in Austria lies in a cluster"
    assert labels[1] >= 0, "Tokyo lies in one, though its population is not told"
    assert labels[2] == -1, "nobody lives in the middle of the Pacific"

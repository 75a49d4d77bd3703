"""A sketch is bounded, repeatable, and shows no row where none may be shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shoal_worker.artifact.manifest import Column
from shoal_worker.card.plots import COLOURS, choose_colours
from shoal_worker.card.projecting import project
from shoal_worker.card.sketch import LEAST_IN_CELL, MOST_POINTS, sketch_artifact, sketch_training
from shoal_worker.data.frame import Frame
from shoal_worker.training.outcome import Trained
from tests.unit.card.conftest import as_frame, blobs, draw_case, train_case
from tests.unit.worker.harness import make_spec, train_table


@pytest.mark.parametrize(("rows", "clusters"), [(20_000, 2), (30, 400), (2, 6000)])
def test_no_more_rows_are_shown_than_agreed(rows: int, clusters: int) -> None:
    random = np.random.default_rng(0)
    middles = random.uniform(0, 5e4, (clusters, 2))
    frame = as_frame(np.vstack([middle + random.normal(0, 0.1, (rows, 2)) for middle in middles]))
    trained = train_table(frame, make_spec(algorithm={"dbscan": {"eps": 1.0, "minSamples": 2}}))
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    assert 0.6 * MOST_POINTS < len(sketch.labels) <= MOST_POINTS
    assert len(sketch.positions) == len(sketch.labels)
    assert sketch.sizes.sum() == np.count_nonzero(trained.fitted.labels >= 0)
    seen = len(np.unique(sketch.labels[sketch.labels >= 0]))
    assert seen == len(sketch.sizes) if clusters == 400 else seen > 1, "small clusters are not missed"


def test_density_shows_no_row_and_no_extreme() -> None:
    frame = blobs(2)
    trained = train_table(frame, make_spec())
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact, show_points=False)
    assert not len(sketch.positions)
    assert sketch.cells is not None
    assert sketch.cells.rows.min() >= LEAST_IN_CELL
    assert -40.0 not in sketch.cells.centres, "the stray row is alone in its square"
    assert sketch.columns[0].low is not None
    assert sketch.columns[0].low > -40.0
    _, _, card = draw_case((frame, trained), show_points=False)
    assert b"\xe2\x88\x9240" not in card["card.html"], "nor on the page, but for an axis"


def test_an_artifact_alone_shows_its_core_samples(case: tuple[Frame, Trained]) -> None:
    trained = case[1]
    sketch = sketch_artifact(trained.artifact)
    assert sketch.of == "cores"
    assert sketch.rows == trained.metrics.core_samples or sketch.metric == "cosine"
    whole = sketch_training(case[0], trained.points, trained.fitted.labels, trained.artifact)
    assert sketch.view.kind == whole.view.kind
    assert sketch.curve is None
    assert not len(sketch_artifact(trained.artifact, show_points=False).positions)


def test_columns_are_told_by_their_figures() -> None:
    numbers = np.array([[1.0, 5.0], [2.0, np.nan], [4.0, np.nan]] * 40)
    texts = {"kind": np.array(["a", "b", None] * 40, dtype=object)}
    columns = (
        Column(name="x", dtype="float64"),
        Column(name="kind", dtype="string"),
        Column(name="y", dtype="float64"),
    )
    steps = [{"impute": {"columns": ["y"], "strategy": "mean"}}, {"oneHot": {"columns": ["kind"]}}]
    frame = Frame(columns, numbers, texts)
    trained = train_table(frame, make_spec(preprocessing=steps))
    x, kind, y = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact).columns
    assert (x.low, x.middle, x.high, x.missing) == (1.0, 2.0, 4.0, 0)
    assert (kind.distinct, kind.missing) == (2, 40)
    assert (y.low, y.high, y.missing) == (5.0, 5.0, 80)


def test_the_curve_is_of_the_data_and_eps_is_on_it() -> None:
    frame, trained = train_case("plane")
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    assert sketch.curve is not None
    assert np.all(np.diff(sketch.curve.distances) >= 0)
    assert sketch.curve.neighbour == 4
    assert sketch.eps == 0.8


@settings(deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 6)), elements=st.floats(-1e150, 1e150)))
def test_positions_are_finite(points: np.ndarray) -> None:
    view, positions = project(points, tuple("abcdef"[: points.shape[1]]), "euclidean")
    assert positions.shape == (len(points), 2)
    assert np.isfinite(positions).all()
    assert 0 <= sum(view.shares) <= 1 + 1e-9


def test_a_projection_keeps_what_is_far_apart_apart() -> None:
    frame = blobs(8)
    _, positions = project(frame.numbers, tuple("abcdefgh"), "euclidean")
    middles = [positions[place * 100 : place * 100 + 100].mean(axis=0) for place in range(3)]
    near, far = (float(np.linalg.norm(middles[0] - middles[other])) for other in (1, 2))
    assert far == pytest.approx(2 * near, rel=0.05)


def test_the_map_is_in_degrees_east_and_north() -> None:
    _, positions = project(np.radians([[50.7, 7.1], [-33.9, 200.0]]), ("lat", "lon"), "haversine")
    np.testing.assert_allclose(positions, [[7.1, 50.7], [-160.0, -33.9]])


def test_the_largest_clusters_have_different_colours_and_so_have_neighbours() -> None:
    frame, trained = train_case("many")
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    palette = choose_colours(sketch)
    order = np.argsort(-sketch.sizes, kind="stable")[:COLOURS]
    assert len(set(palette.by_label[order].tolist())) == COLOURS
    # These clusters lie in a row, in the order of their labels.
    assert not np.any(palette.by_label[1:] == palette.by_label[:-1])

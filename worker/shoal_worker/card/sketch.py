"""What of the data a card shows: a bounded sample of rows, sizes, ranges, the k-distance curve; called by `making`.

Invariant: at most MOST_POINTS rows are in it, and none where points are left out: then there are counts of cells with
at least LEAST_IN_CELL rows, and quantiles instead of extremes. Equal data give equal sketches.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoal_engine import core_samples, suggest_eps
from shoal_worker.artifact.densities import Densities
from shoal_worker.artifact.files import Artifact, FloatArray, IdArray, LabelArray
from shoal_worker.artifact.manifest import TEXT, DbscanParameters, Metric, Parameters
from shoal_worker.card.projecting import Positions, View, project
from shoal_worker.data.frame import Frame
from shoal_worker.identity.sampling import draw_by_cluster
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.validation.subject import draw_rows

MOST_POINTS = 5000
LEAST_IN_CELL = 5
MOST_COLUMNS_TOLD = 64
_UNIFORM_POINTS = 3500
_CELL_ROWS = 50_000
_CELLS_ACROSS, _CELLS_UP = 96, 48
_CURVE_ROWS, _CURVE_LIMIT, _CURVE_POINTS = 1000, 1_000_000, 160
_TEXT_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Cells:
    """Squares of the plane with enough rows: their centres, the label that most rows have there, and their rows."""

    centres: Positions
    labels: LabelArray
    rows: np.ndarray
    side: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Of sampled rows, ascending: their share, and the distance to their min_samples-th nearest row."""

    shares: np.ndarray
    distances: np.ndarray
    neighbour: int


@dataclass(frozen=True, slots=True)
class ColumnFigures:
    """What the values of a raw column are: low and high are extremes, or quantiles where points are left out."""

    name: str
    dtype: str
    missing: int = 0
    low: float | None = None
    middle: float | None = None
    high: float | None = None
    distinct: int | None = None


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is drawn.

    of: rows of the training data, or only the core samples that an artifact holds. sizes, ids: by label. radii: the
    smallest, the median and the largest reach of an adaptive model's clusters.
    """

    digest: str
    """Of the artifact that is sketched."""
    of: Literal["rows", "cores"]
    rows: int
    metric: Metric
    view: View
    positions: Positions
    labels: LabelArray
    cells: Cells | None
    sizes: np.ndarray
    ids: IdArray
    columns: tuple[ColumnFigures, ...]
    eps: float | None = None
    radii: tuple[float, float, float] | None = None
    curve: Curve | None = None

    @property
    def shows_points(self) -> bool:
        """Whether rows of the training data are on the card."""
        return self.cells is None


def sketch_training(
    frame: Frame,
    points: FloatArray,
    labels: LabelArray,
    artifact: Artifact,
    *,
    show_points: bool = True,
) -> Sketch:
    """Sketch a training; points and labels are of all rows of the frame, preprocessed and clustered."""
    manifest = artifact.manifest
    sizes = np.bincount(labels[labels >= 0], minlength=manifest.metrics.clusters)
    drawn = _draw(labels) if show_points else draw_rows(len(labels), _CELL_ROWS)
    view, positions = project(
        np.ascontiguousarray(points[drawn]), artifact.preprocessor.features, manifest.parameters.metric
    )
    return _sketch(
        "rows",
        len(labels),
        artifact,
        (view, positions, labels[drawn]),
        sizes,
        _columns(frame, artifact.preprocessor, extremes=show_points),
        show_points=show_points,
        curve=_curve(points, manifest.parameters),
    )


def sketch_artifact(artifact: Artifact, *, show_points: bool = True) -> Sketch:
    """Sketch what an artifact alone tells: its core samples, which lie in it, and nothing of noise and borders."""
    manifest, preprocessor = artifact.manifest, artifact.preprocessor
    points, labels = core_samples(artifact.tensors.index)
    sizes = np.bincount(labels, minlength=manifest.metrics.clusters)
    drawn = _draw(labels) if show_points else draw_rows(len(labels), _CELL_ROWS)
    view, positions = project(points[drawn], preprocessor.features, manifest.parameters.metric)
    columns = tuple(ColumnFigures(column.name, column.dtype) for column in preprocessor.columns[:MOST_COLUMNS_TOLD])
    return _sketch(
        "cores", len(labels), artifact, (view, positions, labels[drawn]), sizes, columns, show_points=show_points
    )


def _sketch(
    of: Literal["rows", "cores"],
    rows: int,
    artifact: Artifact,
    placed: tuple[View, Positions, LabelArray],
    sizes: np.ndarray,
    columns: tuple[ColumnFigures, ...],
    *,
    show_points: bool,
    curve: Curve | None = None,
) -> Sketch:
    view, positions, labels = placed
    parameters = artifact.manifest.parameters
    cells = None if show_points else _count_cells(positions, labels)
    return Sketch(
        digest=artifact.digest,
        of=of,
        rows=rows,
        metric=parameters.metric,
        view=view,
        positions=positions if show_points else np.empty((0, 2)),
        labels=labels if show_points else np.empty(0, dtype=np.int32),
        cells=cells,
        sizes=sizes,
        ids=artifact.tensors.cluster_ids,
        columns=columns,
        eps=parameters.eps if isinstance(parameters, DbscanParameters) else None,
        radii=_spread(artifact.tensors.densities),
        curve=curve,
    )


def _draw(labels: LabelArray) -> np.ndarray:
    """At most MOST_POINTS rows: a uniform draw, and rows of the small clusters, which it would miss."""
    if len(labels) <= MOST_POINTS:
        return np.arange(len(labels))
    uniform = draw_rows(len(labels), _UNIFORM_POINTS)
    some = draw_rows(len(labels), 50 * MOST_POINTS, seed=1)
    by_cluster = some[draw_by_cluster(labels[some], MOST_POINTS - _UNIFORM_POINTS, seed=2).rows]
    # There may be more clusters than may be drawn.
    by_cluster = by_cluster[draw_rows(len(by_cluster), MOST_POINTS - _UNIFORM_POINTS, seed=3)]
    return np.union1d(uniform, by_cluster)


def _count_cells(positions: Positions, labels: LabelArray) -> Cells:
    """Count rows by square and label; a square with few rows is as good as those rows, so it is left out."""
    if not len(positions):
        return Cells(np.empty((0, 2)), np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64), (1.0, 1.0))
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    across = np.array([_CELLS_ACROSS, _CELLS_UP])
    places = np.minimum(((positions - low) / span * across).astype(np.int64), across - 1)
    squares = places[:, 0] * _CELLS_UP + places[:, 1]
    rows = np.bincount(squares, minlength=_CELLS_ACROSS * _CELLS_UP)
    width = int(labels.max(initial=-1)) + 2
    pairs, counts = np.unique(squares * width + labels + 1, return_counts=True)
    # Ascending by count, so that the last one written to each square is the most frequent.
    order = np.argsort(counts, kind="stable")
    most = np.full(len(rows), -1, dtype=np.int32)
    most[pairs[order] // width] = pairs[order] % width - 1
    full = np.flatnonzero(rows >= LEAST_IN_CELL)
    side = span / across
    centres = np.column_stack([full // _CELLS_UP, full % _CELLS_UP]) * side + low + side / 2
    return Cells(centres, most[full], rows[full], (float(side[0]), float(side[1])))


def _columns(frame: Frame, preprocessor: Preprocessor, *, extremes: bool) -> tuple[ColumnFigures, ...]:
    return tuple(
        _text_figures(frame, column.name)
        if column.dtype == TEXT
        else _figures(frame, column.name, column.dtype, extremes)
        for column in preprocessor.columns[:MOST_COLUMNS_TOLD]
    )


def _figures(frame: Frame, name: str, dtype: str, extremes: bool) -> ColumnFigures:
    values = frame.number(name)
    known = values[~np.isnan(values)]
    if not len(known):
        return ColumnFigures(name, dtype, missing=len(values))
    sampled = known[draw_rows(len(known), _TEXT_ROWS)]
    low, middle, high = (float(found) for found in np.quantile(sampled, (0.05, 0.5, 0.95)))
    if extremes:
        low, high = float(known.min()), float(known.max())
    return ColumnFigures(name, dtype, len(values) - len(known), low, middle, high)


def _text_figures(frame: Frame, name: str) -> ColumnFigures:
    values = frame.texts[name]
    missing = sum(value is None for value in values.tolist())
    sampled = values[draw_rows(len(values), _TEXT_ROWS)].tolist()
    return ColumnFigures(name, TEXT, missing, distinct=len({value for value in sampled if value is not None}))


def _curve(points: FloatArray, parameters: Parameters) -> Curve | None:
    """The curve; None for so many rows that it would take seconds, or data that have none."""
    if not parameters.min_samples <= len(points) <= _CURVE_LIMIT:
        return None
    try:
        found = suggest_eps(
            points, min_samples=parameters.min_samples, metric=parameters.metric, sample_size=_CURVE_ROWS
        )
    except ValueError:
        return None
    places = np.unique(np.linspace(0, len(found.ranks) - 1, _CURVE_POINTS).astype(np.int64))
    return Curve(found.ranks[places], found.distances[places], parameters.min_samples)


def _spread(densities: Densities | None) -> tuple[float, float, float] | None:
    if densities is None or not len(densities.radii):
        return None
    low, middle, high = np.quantile(densities.radii, (0.0, 0.5, 1.0))
    return float(low), float(middle), float(high)

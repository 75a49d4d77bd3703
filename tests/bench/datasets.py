"""Names of data sets, their arrays on disk, and eps by the k-distance. Used by the parent and by every child.

Arrays are drawn once and kept in the cache as .npy files, so that all contestants read the same bytes.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench import real, synthetic

MIN_SAMPLES = 10
RADII = {"sparse": (MIN_SAMPLES, 0.5), "typ": (MIN_SAMPLES, 0.95), "heavy": (500, 0.95)}
"""Kind of eps: which neighbour, and the quantile over rows of the distance to it. Heavy: hundreds of neighbours."""

_DRAWN: dict[str, Callable[[int, int], tuple[NDArray[np.float64], NDArray[np.int64] | None]]] = {
    "blobs": synthetic.blobs,
    "varied blobs": lambda n, d: synthetic.blobs(n, d, centres=8, spread=(0.2, 3.0)),
    "spreader": synthetic.spreader,
    "varied spreader": lambda n, d: synthetic.spreader(n, d, varied=True, noise=0.05),
    "varied spreader 2": lambda n, d: synthetic.spreader(n, d, varied=True, noise=0.05, seed=2),
    "noisy blobs": lambda n, d: synthetic.blobs(n, d, centres=8, spread=(0.2, 3.0), noise=0.3, seed=3),
    "noisy spreader": lambda n, d: synthetic.spreader(n, d, varied=True, noise=0.3, seed=3),
}


@dataclass(frozen=True)
class DataSet:
    """A data set by name; n and d are 0 for real data, whose shape is what it is."""

    name: str
    n: int = 0
    d: int = 0

    @property
    def key(self) -> str:
        """File name without its ending."""
        name = self.name.replace(" ", "-").replace("(", "").replace(")", "")
        return f"{name}-{self.n}-{self.d}" if self.n else name

    @property
    def metric(self) -> str:
        """Metric that the data are meant for."""
        return "haversine" if "haversine" in self.name else "euclidean"

    def draw(self) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        """Points and, where it is known, the truth."""
        points, truth = _DRAWN[self.name](self.n, self.d) if self.n else real.SETS[self.name]()
        return np.ascontiguousarray(points), truth

    def stored(self, folder: Path) -> Path:
        """Path of the points; the truth, where known, lies beside them. Drawn on the first call."""
        path = folder / f"{self.key}.npy"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            points, truth = self.draw()
            if truth is not None:
                np.save(self.truth_path(folder), truth)
            # Renamed into place, so that a run that is cut short leaves no half file behind.
            part = path.with_suffix(".part.npy")
            np.save(part, points)
            part.rename(path)
        return path

    def truth_path(self, folder: Path) -> Path:
        """Path of the truth, whether or not there is one."""
        return folder / f"{self.key}.truth.npy"

    def eps(self, kind: str, folder: Path) -> float:
        """Radius of one kind; kept in the cache beside the points."""
        path = folder / f"{self.key}.eps.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        if kind not in known:
            points = np.load(self.stored(folder), mmap_mode="r")
            known[kind] = k_distance(points, *RADII[kind], metric=self.metric)
            path.write_text(json.dumps(known))
        return float(known[kind])


def k_distance(points: NDArray[np.float64], k: int, quantile: float, *, metric: str = "euclidean") -> float:
    """Quantile of the distance from sampled rows to their k-th neighbour, themselves included, to four digits."""
    if metric == "haversine":
        chord = k_distance(_on_sphere(points), k, quantile)
        return 2.0 * float(np.arcsin(min(1.0, chord / 2.0)))
    narrow = points.shape[1] <= 8
    drawn = min(500 if narrow else 200, len(points))
    rows = np.random.default_rng(0).choice(len(points), drawn, replace=False)
    k = min(k, len(points))
    if narrow:
        from scipy.spatial import KDTree

        tree = KDTree(points, balanced_tree=False, compact_nodes=False)
        far = tree.query(points[rows], k=[k], workers=-1)[0][:, 0]
    else:
        # A tree would visit nearly every row; a matrix product does so faster, and cancellation leaves four digits.
        squares = np.einsum("ij,ij->i", points, points)
        squared = (squares + squares[row] - 2.0 * (points @ points[row]) for row in rows)
        far = np.sqrt([max(0.0, np.partition(each, k - 1)[k - 1]) for each in squared])
    return float(f"{np.quantile(far, quantile):.4g}")


def _on_sphere(points: NDArray[np.float64]) -> NDArray[np.float64]:
    latitude, longitude = points[:, 0], points[:, 1]
    flat = np.cos(latitude)
    return np.column_stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)])

"""Draws the pictures of docs/engine.md; run by `make engine-pictures`, in the environment of the bench.

What they show is what the engine answers: the same data, models and calls as in the guide's text.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from shoal_engine import DBSCAN, AdaptiveDBSCAN, suggest_eps

FOLDER = Path("docs/images")
# Colours that stay apart for the colour-blind (Okabe and Ito), noise in grey.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
NOISE = "#BBBBBB"


def towns() -> NDArray[np.float64]:
    """Dense, loose and very loose blobs side by side, and strays around them; the data of the guide."""
    rng = np.random.default_rng(7)
    spreads = (0.05, 0.05, 0.25, 0.9)
    middles = ((0.0, 0.0), (0.5, 0.0), (2.0, 1.5), (6.0, 0.0))
    blobs = [rng.normal(middle, spread, (400, 2)) for middle, spread in zip(middles, spreads, strict=True)]
    return np.vstack([*blobs, rng.uniform((-2.0, -4.0), (10.0, 4.0), (120, 2))])


def scatter(axes: Axes, points: NDArray[np.float64], labels: NDArray[np.int64], title: str) -> None:
    """Rows in the colours of their clusters, noise small and grey below them."""
    noise = labels < 0
    axes.scatter(*points[noise].T, s=4, c=NOISE, linewidths=0)
    axes.scatter(*points[~noise].T, s=5, c=[COLOURS[label % len(COLOURS)] for label in labels[~noise]], linewidths=0)
    clusters = labels.max() + 1
    axes.set_title(
        f"{title}\n{clusters} {'cluster' if clusters == 1 else 'clusters'}, {noise.mean():.0%} noise", fontsize=9
    )
    axes.set_xticks([])
    axes.set_yticks([])


def draw_eps(points: NDArray[np.float64]) -> None:
    """Too small, in between, and too large an eps."""
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
    for axes, eps in zip(panels, (0.06, 0.4, 1.0), strict=True):
        scatter(axes, points, DBSCAN(eps, min_samples=10).fit_predict(points), f"DBSCAN(eps={eps})")
    save(figure, "eps")


def draw_density(points: NDArray[np.float64]) -> None:
    """One eps for all, small and medium, against a radius for each cluster."""
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
    for axes, eps in zip(panels[:2], (0.06, 0.4), strict=True):
        scatter(axes, points, DBSCAN(eps, min_samples=10).fit_predict(points), f"DBSCAN(eps={eps})")
    scatter(panels[2], points, AdaptiveDBSCAN().fit_predict(points), "AdaptiveDBSCAN()")
    save(figure, "density")


def draw_knee(points: NDArray[np.float64]) -> None:
    """The sorted distances to the k-th neighbour, with the knee and its interval."""
    found = suggest_eps(points, min_samples=10)
    figure, axes = plt.subplots(figsize=(5, 2.9), layout="constrained")
    axes.plot(found.ranks, found.distances, color=COLOURS[0])
    axes.axhspan(found.low, found.high, color=COLOURS[1], alpha=0.25, linewidth=0, label="low to high")
    axes.axhline(found.eps, color=COLOURS[4], linewidth=1, label=f"eps = {found.eps:.3g}")
    axes.set_yscale("log")
    axes.set_xlabel("rows, densest first")
    axes.set_ylabel("distance to the 10th neighbour")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, "k-distance")


def draw_strengths(points: NDArray[np.float64]) -> None:
    """Label by colour and strength by depth of colour, for every place of the map."""
    model = AdaptiveDBSCAN().fit(points)
    x, y = np.meshgrid(np.linspace(-2.0, 10.0, 480), np.linspace(-4.0, 4.0, 320))
    labels, strengths = model.predict_with_strength(np.column_stack([x.ravel(), y.ravel()]))
    colours = ListedColormap(COLOURS)(labels % len(COLOURS))
    colours[:, 3] = np.where(labels < 0, 0.0, 0.15 + 0.85 * strengths)
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    axes.imshow(colours.reshape(*x.shape, 4), extent=(-2.0, 10.0, -4.0, 4.0), origin="lower", aspect="auto")
    axes.scatter(*points.T, s=1, c="#000000", alpha=0.4, linewidths=0)
    axes.set_title("predict_with_strength: colour is the label, depth the strength", fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    save(figure, "strengths")


def save(figure: plt.Figure, name: str) -> None:
    """Write a picture without the date and version that would change it with every run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"engine-{name}.png", dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Draw them all."""
    points = towns()
    draw_eps(points)
    draw_density(points)
    draw_knee(points)
    draw_strengths(points)


if __name__ == "__main__":
    main()

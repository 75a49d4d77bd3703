"""How far two partitions agree, from their contingency table: adjusted Rand index and adjusted mutual information.

Used by `figures` and by `validation`, for each resample. Invariant: names of labels do not matter, and equal partitions
have the index 1. Counts are whole numbers in floats. Pure.
"""

from typing import NamedTuple

import numpy as np

Counts = np.ndarray[tuple[int], np.dtype[np.float64]]


class Cells(NamedTuple):
    """The cells of a contingency table: for each row of data its cell, for each cell its row and its column."""

    of_data: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


class Table(NamedTuple):
    """Counts that are above 0: by cell with the cell's row and column among the margins, and the two margins."""

    counts: Counts
    of_row: Counts
    of_column: Counts
    rows: Counts
    columns: Counts

    @property
    def total(self) -> float:
        """Number of rows of data."""
        return float(self.counts.sum())


def find_cells(left: np.ndarray, right: np.ndarray) -> Cells:
    """The cells of two labellings of the same data, any whole numbers as labels."""
    columns = np.unique(right, return_inverse=True)[1].astype(np.int64)
    rows = np.unique(left, return_inverse=True)[1].astype(np.int64)
    width = int(columns.max(initial=0)) + 1
    names, of_data = np.unique(rows * width + columns, return_inverse=True)
    return Cells(of_data, names // width, names % width)


def count_table(cells: Cells, chosen: np.ndarray | slice) -> Table:
    """The table of the chosen rows of data."""
    return build_table(cells, np.bincount(cells.of_data[chosen], minlength=len(cells.rows)))


def build_table(cells: Cells, of_cells: np.ndarray) -> Table:
    """The table of rows of data that are counted by cell already."""
    counts = of_cells.astype(np.float64)
    rows, columns = (np.bincount(side, counts).astype(np.float64) for side in (cells.rows, cells.columns))
    there = counts > 0
    return Table(
        counts[there],
        rows[cells.rows[there]],
        columns[cells.columns[there]],
        rows[rows > 0],
        columns[columns > 0],
    )


def adjusted_rand(table: Table) -> float:
    """L. Hubert and P. Arabie, "Comparing partitions", Journal of Classification 2, 1985: 1 if equal, 0 by chance."""
    together, of_rows, of_columns = _pairs(table.counts), _pairs(table.rows), _pairs(table.columns)
    everything = table.total * (table.total - 1) / 2
    expected = of_rows * of_columns / everything if everything else 0.0
    largest = (of_rows + of_columns) / 2
    # Both put each row alone, or all in one: they are equal.
    return 1.0 if largest == expected else float((together - expected) / (largest - expected))


def adjusted_mutual_information(table: Table) -> float:
    """(I - E) / (mean of both entropies - E), where I is the mutual information and E what chance makes of it.

    N. X. Vinh, J. Epps and J. Bailey, "Information theoretic measures for clusterings comparison", Journal of Machine
    Learning Research 11, 2010, with the arithmetic mean, as scikit-learn has it by default.
    """
    total = table.total
    if len(table.counts) == len(table.rows) == len(table.columns):
        return 1.0
    logs = np.log(table.counts * total / (table.of_row * table.of_column))
    information = float((table.counts / total * logs).sum())
    expected = expected_mutual_information(table.rows, table.columns)
    mean = (_entropy(table.rows) + _entropy(table.columns)) / 2
    return (information - expected) / max(mean - expected, float(np.finfo(np.float64).eps))


def expected_mutual_information(rows: Counts, columns: Counts) -> float:
    """Mean mutual information of all tables with these margins (Vinh et al. 2010, equation 24a), in nats.

    Equal margins are looked at once, which leaves at most sqrt(2 n) of them on each side, however many clusters.
    """
    total = int(rows.sum())
    sizes, often = (np.unique(rows, return_counts=True), np.unique(columns, return_counts=True))
    pairs = [side.ravel() for side in np.meshgrid(sizes[0], often[0], indexing="ij")]
    a, b = (side.astype(np.int64) for side in pairs)
    times = np.outer(sizes[1], often[1]).ravel()
    least, most = np.maximum(1, a + b - total), np.minimum(a, b)
    terms = most - least + 1
    # One element for each pair and each count that a cell of it can have.
    pair = np.repeat(np.arange(len(terms)), terms)
    count = np.arange(len(pair)) - np.repeat(np.cumsum(terms) - terms - least, terms)
    logs = _log_factorials(total)
    of_pair = logs[a] + logs[b] + logs[total - a] + logs[total - b] - logs[total]
    a_, b_ = a[pair], b[pair]
    chance = np.exp(of_pair[pair] - logs[count] - logs[a_ - count] - logs[b_ - count] - logs[total - a_ - b_ + count])
    shares = count / total * (np.log(count * float(total)) - np.log(a * b.astype(np.float64))[pair])
    return float((shares * chance * times[pair]).sum())


def _log_factorials(most: int) -> Counts:
    logs: Counts = np.zeros(most + 1)
    np.cumsum(np.log(np.arange(1, most + 1)), out=logs[1:])
    return logs


def _entropy(counts: Counts) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _pairs(counts: Counts) -> float:
    return float((counts * (counts - 1) / 2).sum())

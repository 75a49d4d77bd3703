"""What is known of a clustering before it runs, whoever told it; gathered by `explain`.

Invariant: only what a source really tells is set. Of two sources the one asked first wins: options, then the model,
then the data.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Literal

from shoal_cli.errors import UsageError
from shoal_operator.api.algorithm import Metric
from shoal_operator.api.preprocessing import PreprocessingStep

Dtype = Literal["float64", "float32"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Size and kind of the data, and the machine: memory in bytes; None where unknown.

    names: the columns' names, where the algorithm is told to read some only. adaptive: whether it is adaptiveDbscan.
    steps: the preprocessing of these columns.
    """

    rows: int | None = None
    columns: int | None = None
    names: tuple[str, ...] | None = None
    metric: Metric | None = None
    dtype: Dtype | None = None
    memory: int | None = None
    cpus: int | None = None
    adaptive: bool | None = None
    steps: tuple[PreprocessingStep, ...] | None = None

    def or_else(self, other: "Facts") -> "Facts":
        """These facts, completed by the other's."""
        pairs = ((field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Facts(**{name: other_value if own is None else own for name, own, other_value in pairs})


def merge(sources: Iterable[Facts]) -> Facts:
    """Take each fact from the first source that tells it."""
    merged = Facts()
    for source in sources:
        merged = merged.or_else(source)
    return merged


def preprocess(facts: Facts) -> Facts:
    """Turn the facts of the raw columns into those of the features, which are as many as the steps leave."""
    if not facts.steps:
        return facts
    columns = facts.columns
    for step in facts.steps:
        if step.select is not None:
            columns = len(step.select.columns)
        elif step.pca is not None:
            columns = step.pca.components
        elif step.one_hot is not None:
            # How many values there are, only the data tells.
            columns = None
    return replace(facts, columns=2 if facts.metric == "haversine" else columns, dtype="float64")


def require_size(facts: Facts) -> tuple[int, int]:
    """Return rows and columns, or say how to tell them."""
    if facts.rows is None:
        raise UsageError(
            "the number of rows is not known", field="--rows", remedy="Add --rows, or name the data's Parquet file"
        )
    if facts.columns is None:
        raise UsageError(
            "the number of columns is not known",
            field="--columns",
            remedy="Add --columns (after one-hot coding: the columns made), name the data's Parquet file, or a model "
            "with spec.source.columns",
        )
    return facts.rows, facts.columns

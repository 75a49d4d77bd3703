"""Fit the preprocessing of a training with scikit-learn, step by step on what the steps before left; called by `train`.

Invariant: what a user can get wrong is told by step and column, in the user's words. The numbers are scikit-learn's;
what is made of them is `steps`' alone, in training as in serving.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from shoal_worker.data.frame import Frame
from shoal_worker.errors import SettingsInvalid, SourceInvalid, WorkerError
from shoal_worker.preprocessing import estimators, records
from shoal_worker.preprocessing.compiling import Layout, Numbers, compile_step
from shoal_worker.preprocessing.preprocessor import Preprocessor
from shoal_worker.preprocessing.records import LONGEST_TEXT, StepRecord
from shoal_worker.preprocessing.steps import Floats, Rows
from shoal_worker.spec import preprocessing as spec

_MOST_TEXT = 256 << 10
"""Characters of all categories together: they are part of the manifest, which has a limit of its own."""
_SHOWN = 16


def fit_preprocessor(frame: Frame, steps: Sequence[spec.StepSpec]) -> Preprocessor:
    """Fit the steps in order; without steps the numeric columns are the features as they are."""
    _check_finite(frame)
    state = _State(Rows(frame.numbers.copy() if steps else frame.numbers, dict(frame.texts)), _layout_of(frame))
    for index, step in enumerate(steps):
        # What leaves the range of numbers is refused when the preprocessor is applied.
        with np.errstate(all="ignore"):
            _Fit(index, step, state).run()
    if state.layout.texts:
        raise _left_over(state.layout.texts[0], bool(steps))
    columns = tuple(column for column in frame.columns if column.name not in state.unused)
    values = np.concatenate([*state.values, np.empty(0)])
    preprocessor = Preprocessor.build(columns, tuple(state.records), values)
    _check_missing(frame, preprocessor)
    return preprocessor


@dataclass(slots=True)
class _State:
    """How far the fit is: the training data, its columns, the steps so far, and raw columns dropped untouched."""

    rows: Rows
    layout: Layout
    records: list[StepRecord] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    unused: set[str] = field(default_factory=set)
    dropped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One step being fitted."""

    index: int
    step: spec.StepSpec
    state: _State

    @property
    def place(self) -> str:
        return f"spec.preprocessing[{self.index}].{self.step.name}"

    def run(self) -> None:
        """Fit the step, and take the training data through it."""
        state = self.state
        record, values = self._fit()
        made = np.concatenate([*(np.ravel(each) for each in values), np.empty(0)])
        try:
            step, after = compile_step(self.index, record, state.layout, Numbers(made))
        except ValueError as error:
            raise self._refusal(
                SourceInvalid, str(error), remedy="Change the step, or clip its columns before"
            ) from None
        before = {*state.layout.numbers, *state.layout.texts}
        gone = before - {*after.numbers, *after.texts}
        if isinstance(record, records.SelectRecord):
            state.unused |= gone - state.touched
        else:
            state.touched |= before
        state.dropped |= dict.fromkeys(gone, self.place)
        state.rows, state.layout = step.apply(state.rows), after
        self._check_range(after.numbers, np.isinf(state.rows.numbers))
        state.records.append(record)
        state.values.append(made)

    def _fit(self) -> tuple[StepRecord, list[Floats]]:
        match self.step.chosen:
            case spec.SelectSpec(columns=columns):
                self._check_names(columns)
                return records.SelectRecord(columns=columns), []
            case spec.ImputeSpec() as impute:
                return self._fit_impute(impute)
            case spec.Log1pSpec(columns=columns):
                return records.Log1pRecord(columns=self._numeric(columns)), []
            case spec.ClipSpec() as clip:
                return self._fit_clip(clip)
            case spec.OneHotSpec() as one_hot:
                return self._fit_one_hot(one_hot)
            case spec.ScaleSpec() as scale:
                return self._fit_scale(scale)
            case spec.PcaSpec() as pca:
                return self._fit_pca(pca)
            case spec.UnitNormSpec():
                self._check_complete(self._numeric(None))
                return records.UnitNormRecord(), []
            case spec.ToRadiansSpec(columns=columns):
                return records.ToRadiansRecord(columns=self._numeric(columns)), []
            case _ as step:
                assert_never(step)

    def _fit_impute(self, step: spec.ImputeSpec) -> tuple[StepRecord, list[Floats]]:
        columns = self._numeric(step.columns)
        record = records.ImputeRecord(columns=columns)
        if step.value is not None:
            return record, [np.full(len(columns), step.value)]
        self._check_not_empty(columns)
        fills = estimators.fit_fills(self._part(columns), step.strategy)
        self._check_range(columns, ~np.isfinite([fills]))
        return record, [fills]

    def _fit_clip(self, step: spec.ClipSpec) -> tuple[StepRecord, list[Floats]]:
        columns = self._numeric(step.columns)
        bounds = []
        for number, share, absent in (
            (step.min, step.min_quantile, -np.inf),
            (step.max, step.max_quantile, np.inf),
        ):
            if share is None:
                bounds.append(np.full(len(columns), absent if number is None else number))
            else:
                self._check_not_empty(columns)
                bounds.append(np.nanquantile(self._part(columns), share, axis=0))
        low, high = bounds
        if (low > high).any():
            name = columns[int(np.flatnonzero(low > high)[0])]
            raise self._refusal(
                SourceInvalid, f"the lower bound is above the upper one in column {name!r}", remedy="Correct the bounds"
            )
        return records.ClipRecord(columns=columns), bounds

    def _fit_one_hot(self, step: spec.OneHotSpec) -> tuple[StepRecord, list[Floats]]:
        self._check_names(step.columns)
        found, values = [], []
        for name in step.columns:
            categories = self._categories(name, step.max_categories)
            if name in self.state.layout.texts:
                found.append(records.Categories(column=name, texts=tuple(categories.tolist())))
            else:
                found.append(records.Categories(column=name, numbers=len(categories)))
                values.append(categories.astype(np.float64))
        if sum(len(text) for each in found for text in each.texts or ()) > _MOST_TEXT:
            raise self._refusal(
                SourceInvalid,
                f"the categories have more than {_MOST_TEXT} characters together",
                remedy="Leave columns out, or shorten their texts",
            )
        return records.OneHotRecord(columns=tuple(found), unknown=step.unknown), values

    def _categories(self, name: str, most: int) -> np.ndarray:
        textual = name in self.state.layout.texts
        found = estimators.find_categories(self.state.rows.texts[name] if textual else self._part((name,))[:, 0])
        if not len(found):
            raise self._empty(name)
        if len(found) > most:
            raise SourceInvalid(
                f"column {name!r} has {len(found)} different values, and at most {most} are allowed",
                field=f"{self.place}.maxCategories",
                value=most,
                remedy="Raise it, up to 1024, or leave the column out",
            )
        if textual and (longest := max(map(len, found.tolist()))) > LONGEST_TEXT:
            raise self._refusal(
                SourceInvalid,
                f"column {name!r} has a text of {longest} characters, and at most {LONGEST_TEXT} are possible",
                remedy="Leave the column out, or shorten its texts",
            )
        return found

    def _fit_scale(self, step: spec.ScaleSpec) -> tuple[StepRecord, list[Floats]]:
        columns = self._numeric(step.columns)
        self._check_not_empty(columns)
        *values, constant = estimators.fit_scaling(self._part(columns), step.method)
        self._check_range(columns, ~np.isfinite(values))
        if constant.any():
            name = columns[int(np.flatnonzero(constant)[0])]
            raise SourceInvalid(
                "the column is constant"
                + (" in the middle half of its values" if step.method == "robust" else "")
                + ", so it cannot be scaled",
                field=f"{self.place}.columns",
                value=name,
                remedy="Drop the column by select, or leave it out of the step",
            )
        return records.ScaleRecord(columns=columns, method=step.method), values

    def _fit_pca(self, step: spec.PcaSpec) -> tuple[StepRecord, list[Floats]]:
        columns = self._numeric(None)
        self._check_complete(columns)
        numbers = self.state.rows.numbers
        most = min(numbers.shape)
        if step.components is not None and step.components > most:
            raise SettingsInvalid(
                f"there are {len(columns)} columns and {len(numbers)} rows, so at most {most} components",
                field=f"{self.place}.components",
                value=step.components,
                remedy=f"Lower it to {most} at most",
            )
        wanted = step.components or step.variance_ratio
        assert wanted is not None, "the specification lets no other through"  # noqa: S101, for the type checker
        # Variances are made of squares.
        self._check_range(columns, ~np.isfinite(np.square(numbers).sum(axis=0, keepdims=True)))
        means, components, deviations = estimators.fit_components(numbers, wanted)
        values = [means, components, deviations] if step.whiten else [means, components]
        return records.PcaRecord(components=len(components), whiten=step.whiten), values

    def _numeric(self, names: tuple[str, ...] | None) -> tuple[str, ...]:
        """Resolve the columns of a step on numbers."""
        layout = self.state.layout
        if names is None:
            if not layout.numbers:
                raise self._refusal(SettingsInvalid, "there is no numeric column at this step", remedy="Move the step")
            return layout.numbers
        self._check_names(names)
        if textual := [name for name in names if name in layout.texts]:
            raise SourceInvalid(
                "the column holds texts, and the step takes numbers",
                reason="ColumnNotNumeric",
                field=f"{self.place}.columns",
                value=textual[0],
                remedy=f"Numeric columns are: {_listed(layout.numbers)}",
            )
        return names

    def _check_names(self, names: tuple[str, ...]) -> None:
        layout = self.state.layout
        there = (*layout.numbers, *layout.texts)
        for name in names:
            if name not in there:
                gone = self.state.dropped.get(name)
                raise SettingsInvalid(
                    f"the column is not there any more, since {gone}" if gone else "there is no such column",
                    reason="ColumnMissing",
                    field=f"{self.place}.columns",
                    value=name,
                    remedy=f"At this step there are: {_listed(there)}",
                )
            if names.count(name) > 1:
                raise SettingsInvalid(
                    "the column is named twice", field=f"{self.place}.columns", value=name, remedy="Name it once"
                )

    def _check_not_empty(self, columns: tuple[str, ...]) -> None:
        empty = np.isnan(self._part(columns)).all(axis=0)
        if empty.any():
            raise self._empty(columns[int(np.flatnonzero(empty)[0])])

    def _check_range(self, columns: tuple[str, ...], lost: np.ndarray) -> None:
        """Refuse columns of values so large that what is computed of them is lost, in any of the rows."""
        if lost.any():
            raise SourceInvalid(
                "the column's values are too large to compute with",
                field=f"{self.place}.columns",
                value=columns[int(np.flatnonzero(lost.any(axis=0))[0])],
                remedy="Clip the column before this step, or store it in another unit",
            )

    def _check_complete(self, columns: tuple[str, ...]) -> None:
        missing = np.isnan(self.state.rows.numbers).any(axis=0)
        if missing.any():
            name = columns[int(np.flatnonzero(missing)[0])]
            raise self._refusal(
                SourceInvalid,
                f"the step takes all columns, and values are missing in column {name!r}",
                remedy="Put the step impute before it",
            )

    def _part(self, columns: tuple[str, ...]) -> Floats:
        numbers = self.state.layout.numbers
        if columns == numbers:
            return self.state.rows.numbers
        return np.take(self.state.rows.numbers, [numbers.index(name) for name in columns], axis=1)

    def _empty(self, name: str) -> WorkerError:
        return SourceInvalid(
            "all values of the column are missing",
            field=f"{self.place}.columns",
            value=name,
            remedy="Drop the column by select, or impute it with strategy constant",
        )

    def _refusal(self, kind: type[WorkerError], message: str, *, remedy: str) -> WorkerError:
        return kind(message, field=self.place, remedy=remedy)


def _layout_of(frame: Frame) -> Layout:
    return Layout(frame.numeric_names, tuple(frame.texts))


def _check_finite(frame: Frame) -> None:
    for position, name in enumerate(frame.numeric_names):
        infinite = np.isinf(frame.numbers[:, position])
        if infinite.any():
            row = int(np.flatnonzero(infinite)[0])
            raise SourceInvalid(
                f"row {row} holds {frame.numbers[row, position]}, and {int(infinite.sum())} rows are not finite",
                field="spec.source.columns",
                value=name,
                remedy="Remove or correct rows with infinite values",
            )


def _check_missing(frame: Frame, preprocessor: Preprocessor) -> None:
    for name in preprocessor.numeric:
        missing = np.isnan(frame.number(name))
        if name not in preprocessor.optional and missing.any():
            raise SourceInvalid(
                "all values are missing"
                if missing.all()
                else f"the value in row {int(np.flatnonzero(missing)[0])} is missing",
                field="spec.source.columns",
                value=name,
                remedy="Remove or fill rows with missing values; the preprocessing step impute fills them in",
            )


def _left_over(name: str, processed: bool) -> WorkerError:
    return SourceInvalid(
        "the column holds texts, which cannot be clustered",
        reason="ColumnNotNumeric",
        field="spec.preprocessing" if processed else "spec.source.columns",
        value=name,
        remedy="Turn it into numbers by the preprocessing step oneHot, or drop it by select",
    )


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more

"""An index as arrays: stored, mapped and opened again it is the same; arrays that lie are named or answer nonsense."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal_engine import Predictor
from tests.unit.engine.reference import METRICS, Points, draw_points

Arrays = dict[str, NDArray[Any]]


def build(metric: str, n: int, d: int, by_label: bool = False) -> tuple[Predictor, float | NDArray[np.float64], Points]:
    cores = draw_points(np.random.default_rng(n), "blobs", n, 2 if metric == "haversine" else d)
    if metric == "cosine" and n > 2:
        cores[:2] = 0.0
    labels = np.digitize(cores[:, 0], [3.0, 7.0]).astype(np.int32)
    eps: float | NDArray[np.float64] = np.array([0.1, 0.2, 1.5]) if by_label else 0.2
    rows = np.vstack([cores + 0.03, cores[::-1] + 1.0, np.zeros((1, cores.shape[1]))])
    return Predictor(cores, labels, eps, metric), eps, rows


def assert_same(first: Arrays, second: Arrays) -> None:
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        assert array.tobytes() == second[name].tobytes()


@pytest.mark.parametrize("by_label", [False, True])
@pytest.mark.parametrize("n", [0, 1, 17, 900])
@pytest.mark.parametrize("metric", METRICS)
def test_a_mapped_file_answers_like_the_index_that_wrote_it(
    metric: str, n: int, by_label: bool, tmp_path: Path
) -> None:
    predictor, eps, rows = build(metric, n, 3, by_label)
    arrays = predictor.to_arrays()
    mapped: Arrays = {}
    for name, array in arrays.items():
        assert array.ndim == 1
        assert not array.flags.writeable
        (tmp_path / name).write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
        mapped[name] = np.memmap(tmp_path / name, array.dtype, mode="r") if array.size else array
    opened = Predictor.from_arrays(mapped, eps, metric)
    assert (opened.n_features, opened.n_cores, opened.metric) == (predictor.n_features, n, metric)
    np.testing.assert_array_equal(opened.eps, eps)
    np.testing.assert_array_equal(opened.predict(rows), predictor.predict(rows))
    for found, expected in zip(opened.nearest(rows), predictor.nearest(rows), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert_same(opened.to_arrays(), arrays)


def test_nothing_is_copied() -> None:
    arrays = build("euclidean", 900, 2)[0].to_arrays()
    opened = Predictor.from_arrays(arrays, 0.2).to_arrays()
    assert all(np.shares_memory(opened[name], array) for name, array in arrays.items() if array.size)


def test_the_index_does_not_depend_on_the_number_of_threads() -> None:
    cores = draw_points(np.random.default_rng(5), "blobs", 20_000, 2)
    labels = np.digitize(cores[:, 0], [3.0, 7.0]).astype(np.int32)
    one, many = (Predictor(cores, labels, 0.2, n_jobs=jobs).to_arrays() for jobs in (1, 4))
    assert_same(one, many)


def with_number(arrays: Arrays, name: str, place: int, value: float) -> Arrays:
    changed = arrays[name].copy()
    changed[place] = value
    return {**arrays, name: changed}


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("meta", 0, 9, "'meta' is of format 9, but only"),
        ("meta", 1, 5, "'meta' names an unknown metric: 5"),
        ("meta", 1, 1, "'meta' is of the metric 'manhattan', not 'euclidean'"),
        ("meta", 2, 0, "'meta' has 0 features"),
        ("meta", 2, 2**63, "'meta' has features = 9223372036854775808"),
        ("meta", 2, 2**32 - 1, "'points' must hold"),
        ("meta", 3, 901, "'labels' must hold 901 values"),
        ("meta", 3, 2**32 - 1, "'labels' must hold 4294967295 values"),
        ("meta", 4, 901, "'meta' names slots beyond its 900 cores"),
        ("meta", 4, 5, "'points' must hold"),
        ("meta", 5, 901, "'meta' names slots beyond"),
        ("labels", 7, -1, "'labels' has a label outside"),
        ("alone", 3, -2, "'alone' has a label outside"),
        ("rows", 0, 900, "'rows' names a core beyond the 900"),
        ("frame", 1, np.nan, "'frame' has a value that is not finite"),
    ],
)
def test_the_array_that_lies_is_named(name: str, place: int, value: float, words: str) -> None:
    arrays = build("euclidean", 900, 2)[0].to_arrays()
    with pytest.raises(ValueError, match=words):
        Predictor.from_arrays(with_number(arrays, name, place, value), 0.2)


def test_labels_without_a_radius_are_refused() -> None:
    predictor, eps, _ = build("euclidean", 900, 2, by_label=True)
    assert isinstance(eps, np.ndarray)
    with pytest.raises(ValueError, match="'labels' has a label outside 0 to 2, the labels that have a radius"):
        Predictor.from_arrays(predictor.to_arrays(), eps[:2])


@pytest.mark.parametrize("name", build("euclidean", 40, 2)[0].to_arrays())
def test_missing_and_malformed_arrays_are_named(name: str) -> None:
    arrays = build("euclidean", 40, 2)[0].to_arrays()
    array = arrays[name]
    for wrong in (
        None,
        array.tolist(),
        array.astype(np.complex128),
        np.stack([array, array]),
        np.repeat(array, 2)[::2],
    ):
        if isinstance(wrong, np.ndarray) and wrong.dtype == array.dtype and wrong.ndim == 1 and not array.size:
            continue
        with pytest.raises(ValueError, match=f"The index array '{name}' must be a contiguous one-dimensional"):
            Predictor.from_arrays({**arrays, name: wrong}, 0.2)  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=f"'{name}' .* is missing"):
        Predictor.from_arrays({other: arrays[other] for other in arrays if other != name}, 0.2)
    with pytest.raises(ValueError, match=f"The index array '{name}' must hold"):
        Predictor.from_arrays({**arrays, name: np.append(array, array.dtype.type(0))}, 0.2)


@settings(max_examples=250, deadline=None)
@given(st.data(), st.sampled_from(METRICS), st.sampled_from([0, 1, 40, 900]), st.booleans())
def test_false_contents_never_crash(data: st.DataObject, metric: str, n: int, by_label: bool) -> None:
    predictor, eps, rows = build(metric, n, data.draw(st.sampled_from([1, 2, 3, 9])), by_label)
    arrays = {name: array.copy() for name, array in predictor.to_arrays().items()}
    for _ in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(sorted(arrays)))
        raw = arrays[name].view(np.uint8)
        if raw.size and data.draw(st.booleans()):
            start = data.draw(st.integers(0, raw.size - 1))
            noise = data.draw(st.binary(min_size=1, max_size=64))[: raw.size - start]
            raw[start : start + len(noise)] = np.frombuffer(noise, dtype=np.uint8)
        elif data.draw(st.booleans()):
            raw[:] = data.draw(st.integers(0, 255))
        else:
            arrays[name] = np.resize(arrays[name], data.draw(st.integers(0, 2 * arrays[name].size + 2)))
    try:
        opened = Predictor.from_arrays(arrays, eps, metric)
    except ValueError as error:
        assert "The index array '" in str(error)  # noqa: PT017
        return
    if opened.n_features == rows.shape[1]:
        assert opened.predict(rows).min() >= -1
        assert len(opened.nearest(rows)[2]) == len(rows)
    assert opened.predict(np.empty((0, opened.n_features))).size == 0


def test_arrays_that_change_later_cannot_reach_out_of_bounds() -> None:
    predictor, eps, rows = build("euclidean", 900, 2, by_label=True)
    arrays = {name: array.copy() for name, array in predictor.to_arrays().items()}
    opened = Predictor.from_arrays(arrays, eps)
    arrays["labels"][:] = 2**31 - 2
    arrays["rows"][:] = 2**32 - 1
    assert (opened.predict(rows) >= -1).all()
    arrays["meta"][3] = 2**40
    with pytest.raises(ValueError, match="The index array 'meta' has cores"):
        opened.predict(rows)

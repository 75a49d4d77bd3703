"""Clusters are matched one to one by overlap, whatever their labels; what is left over is told as what it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from shoal_worker.identity.continuity import Earlier, Identity, begin_identity, continue_identity
from shoal_worker.identity.matching import MIN_JACCARD, Overlaps, count_overlaps, match_clusters
from shoal_worker.identity.record import MOST_EVENTS, MOST_PARTS, IdentityRecord
from shoal_worker.identity.sampling import draw_by_cluster, find_quota


def labelled(*sizes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Old and new labels of rows, from (old, new, count)."""
    old, new, counts = np.array(sizes).T
    return np.repeat(old, counts), np.repeat(new, counts)


def compare(*sizes: tuple[int, int, int], ids: tuple[int, ...], next_id: int = 100, first_free: int = 0) -> Identity:
    old, new = labelled(*sizes)
    earlier = Earlier(7, np.array(ids, dtype=np.int64), old)
    return continue_identity(new, np.ones(len(new)), int(new.max()) + 1, earlier, next_id, first_free)


def told(identity: Identity, kind: str) -> dict[int, dict[int, float]]:
    return {
        event.cluster: {portion.cluster: portion.share for portion in event.portions}
        for event in identity.record.events
        if event.kind == kind
    }


def counts(record: IdentityRecord) -> tuple[int, int, int, int, int]:
    return record.kept, record.born, record.died, record.split, record.merged


class TestIds:
    def test_a_first_version_s_are_its_labels(self) -> None:
        identity = begin_identity(3)
        assert identity.ids.tolist() == [0, 1, 2]
        assert identity.next_id == 3
        assert counts(identity.record) == (0, 3, 0, 0, 0)

    def test_permuted_labels_keep_them(self) -> None:
        identity = compare((0, 2, 50), (1, 0, 40), (2, 1, 30), (-1, -1, 5), ids=(10, 11, 12))
        assert identity.ids.tolist() == [11, 12, 10]
        assert identity.next_id == 100, "nothing was born, so nothing changes"
        assert counts(identity.record) == (3, 0, 0, 0, 0)
        assert identity.record.events == ()

    def test_the_larger_part_of_a_split_keeps_it(self) -> None:
        identity = compare((0, 0, 40), (0, 1, 60), (1, 2, 50), ids=(4, 8))
        assert identity.ids.tolist() == [100, 4, 8]
        assert counts(identity.record) == (2, 1, 0, 1, 0)
        assert told(identity, "Split") == {4: {4: 0.6, 100: 0.4}}
        assert told(identity, "Born") == {100: {4: 1.0}}

    def test_the_larger_one_of_a_merger_keeps_it(self) -> None:
        identity = compare((0, 0, 40), (1, 0, 60), (2, 1, 50), ids=(4, 8, 9))
        assert identity.ids.tolist() == [8, 9]
        assert counts(identity.record) == (2, 0, 1, 0, 1)
        assert told(identity, "Merged") == {8: {8: 0.6, 4: 0.4}}
        assert told(identity, "Died") == {4: {8: 1.0}}

    def test_as_many_rows_as_can_be_keep_theirs(self) -> None:
        """0 would be the best match of both; the sum is larger where each has one."""
        identity = compare((0, 0, 60), (0, 1, 40), (1, 0, 30), ids=(5, 6))
        assert identity.ids.tolist() == [6, 5]

    def test_a_chance_overlap_inherits_nothing(self) -> None:
        identity = compare((0, 0, 15), (0, -1, 85), ids=(5,))
        assert identity.ids.tolist() == [100]
        assert told(identity, "Died") == {5: {-1: 0.85, 100: 0.15}}

    def test_noise_is_no_cluster(self) -> None:
        identity = compare((-1, 0, 90), (0, -1, 90), ids=(5,))
        assert identity.ids.tolist() == [100]
        assert told(identity, "Born") == {100: {-1: 1.0}}
        assert told(identity, "Died") == {5: {-1: 1.0}}

    def test_the_dead_and_the_rejected_leave_theirs_unused(self) -> None:
        assert compare((-1, 0, 9), ids=(), next_id=12).ids.tolist() == [12]
        later = compare((-1, 0, 9), ids=(), next_id=12, first_free=40)
        assert (later.ids.tolist(), later.next_id) == ([40], 41)

    def test_an_earlier_version_that_is_lost_gives_none(self) -> None:
        identity = begin_identity(2, 40, version=3, problem="gone")
        assert identity.ids.tolist() == [40, 41]
        assert (identity.record.baseline, identity.record.problem, identity.record.next_id) == (3, "gone", 42)

    def test_no_clusters_at_all(self) -> None:
        identity = compare((0, -1, 5), ids=(3,))
        assert identity.ids.tolist() == []
        assert counts(identity.record) == (0, 0, 1, 0, 0)

    def test_the_record_is_bounded(self) -> None:
        many = [(old, old * 12 + part, 3) for old in range(200) for part in range(12)]
        identity = compare(*many, ids=tuple(range(200)), next_id=200)
        assert len(identity.record.events) == MOST_EVENTS
        assert max(len(event.portions) for event in identity.record.events) == MOST_PARTS
        assert IdentityRecord.model_validate_json(identity.record.model_dump_json(by_alias=True)) == identity.record


rows = st.lists(st.tuples(st.integers(-1, 6), st.integers(-1, 6), st.integers(1, 40)), min_size=1, max_size=30)


class TestProperties:
    @given(rows, st.permutations(range(7)), st.permutations(range(7)))
    @settings(deadline=None)
    def test_other_labels_are_matched_as_well(
        self, sizes: list[tuple[int, int, int]], first: list[int], second: list[int]
    ) -> None:
        old, new = labelled(*sizes)
        plain = count_overlaps(old, new, np.ones(len(old)), 7, 7)
        renamed = count_overlaps(np.array([*first, -1])[old], np.array([*second, -1])[new], np.ones(len(old)), 7, 7)
        assert total(plain) == pytest.approx(total(renamed))

    @given(rows)
    @settings(deadline=None)  # the first call imports scipy's graphs
    def test_the_matching_is_one_to_one_and_the_best(self, sizes: list[tuple[int, int, int]]) -> None:
        old, new = labelled(*sizes)
        overlaps = count_overlaps(old, new, np.ones(len(old)), 7, 7)
        left, right = match_clusters(overlaps)
        assert len(set(left.tolist())) == len(left)
        assert len(set(right.tolist())) == len(right)
        assert total(overlaps) == pytest.approx(best_total(old, new))

    @given(rows, st.integers(0, 60))
    @settings(deadline=None)
    def test_no_id_is_given_twice(self, sizes: list[tuple[int, int, int]], first_free: int) -> None:
        ids = (31, 2, 17, 8, 0, 5, 44)
        identity = compare(*sizes, ids=ids, next_id=50, first_free=first_free)
        found = identity.ids.tolist()
        assert len(set(found)) == len(found)
        assert all(each in ids or each >= max(50, first_free) for each in found)
        assert max(found, default=0) < identity.next_id
        kept, born, died, _, _ = counts(identity.record)
        assert (kept + born, kept + died) == (len(found), len(ids))

    @given(rows)
    @settings(deadline=None)
    def test_nothing_changes_for_equal_clusters(self, sizes: list[tuple[int, int, int]]) -> None:
        old = np.unique(labelled(*sizes)[0], return_inverse=True)[1]
        ids = np.arange(int(old.max()) + 1, dtype=np.int64) + 3
        identity = continue_identity(old, np.ones(len(old)), len(ids), Earlier(1, ids, old), 90, 0)
        assert identity.ids.tolist() == ids.tolist()
        assert counts(identity.record) == (len(ids), 0, 0, 0, 0)


def total(overlaps: Overlaps) -> float:
    pairs = zip(overlaps.old.tolist(), overlaps.new.tolist(), strict=True)
    index = dict(zip(pairs, overlaps.jaccard.tolist(), strict=True))
    left, right = match_clusters(overlaps)
    return sum(index[pair] for pair in zip(left.tolist(), right.tolist(), strict=True))


def best_total(old: np.ndarray, new: np.ndarray) -> float:
    """By the dense optimizer, of indices that are counted row by row."""
    weights = np.zeros((7, 7))
    for i in range(7):
        for j in range(7):
            union = np.count_nonzero((old == i) | (new == j))
            index = np.count_nonzero((old == i) & (new == j)) / union if union else 0.0
            weights[i, j] = index if index >= MIN_JACCARD else 0.0
    return float(weights[linear_sum_assignment(weights, maximize=True)].sum())


class TestSample:
    def test_few_rows_are_all_taken(self) -> None:
        sample = draw_by_cluster(np.array([0, -1, 1], dtype=np.int32), 3)
        assert sample.rows.tolist() == [0, 1, 2]

    @given(st.lists(st.integers(-1, 5), min_size=1, max_size=300), st.integers(7, 100))
    def test_no_cluster_is_missing_and_the_weights_add_up(self, labels: list[int], most: int) -> None:
        found = np.array(labels, dtype=np.int32)
        sample = draw_by_cluster(found, most)
        assert len(sample.rows) <= most
        assert set(found[sample.rows].tolist()) == set(labels)
        for label in set(labels):
            assert sample.weights[found[sample.rows] == label].sum() == pytest.approx(labels.count(label))

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(20, 400))
    def test_the_quota_is_the_largest(self, sizes: list[int], most: int) -> None:
        quota = find_quota(np.array(sizes), most)
        assert np.minimum(sizes, quota).sum() <= most
        assert quota >= max(sizes) or np.minimum(sizes, quota + 1).sum() > most

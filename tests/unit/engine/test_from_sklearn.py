"""from_sklearn(): fitted models of scikit-learn keep their labels and learn to predict."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.cluster import DBSCAN as Peer
from sklearn.cluster import HDBSCAN, KMeans

from shoal_engine import DBSCAN, AdaptiveDBSCAN, NotFittedError, from_sklearn
from tests.unit.engine.reference import METRICS, draw_points

POINTS = draw_points(np.random.default_rng(1), "blobs", 300, 2) * 0.1
EPS = {"cosine": 1e-5}


@pytest.mark.parametrize(
    ("parameters", "metric"),
    [
        *[({"metric": metric}, metric) for metric in METRICS],
        ({"metric": "l1"}, "manhattan"),
        ({"metric": "cityblock"}, "manhattan"),
        ({"metric": "l2"}, "euclidean"),
        ({"metric": "minkowski", "p": 1}, "manhattan"),
        ({"metric": "minkowski", "p": 2}, "euclidean"),
        ({"metric": "minkowski", "metric_params": {"p": 1}}, "manhattan"),
        ({"metric": "minkowski", "metric_params": {"p": np.inf}}, "chebyshev"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Parameter p is found in metric_params:SyntaxWarning")
def test_labels_and_predictions_are_those_of_a_fit_of_our_own(parameters: dict[str, Any], metric: str) -> None:
    eps = EPS.get(metric, 0.06)
    peer = Peer(eps=eps, min_samples=4, n_jobs=1, **parameters).fit(POINTS)
    model, own = from_sklearn(peer), DBSCAN(eps, min_samples=4, metric=metric, n_jobs=1).fit(POINTS)
    assert model.get_params() == own.get_params()
    np.testing.assert_array_equal(model.labels_, peer.labels_)
    np.testing.assert_array_equal(model.labels_, own.labels_)
    np.testing.assert_array_equal(model.core_sample_indices_, own.core_sample_indices_)
    np.testing.assert_array_equal(model.components_, own.components_)
    assert model.labels_.max() > 0
    rows = np.vstack([POINTS + 0.01, [[9.0, -9.0]]])
    np.testing.assert_array_equal(model.predict(rows), own.predict(rows))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(rows), own.predict(rows))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "haversine"])
def test_an_hdbscan_keeps_its_labels_and_learns_to_predict(metric: str) -> None:
    peer = HDBSCAN(min_cluster_size=10, metric=metric, copy=True).fit(POINTS)
    model = from_sklearn(peer, POINTS)
    assert isinstance(model, AdaptiveDBSCAN)
    np.testing.assert_array_equal(model.labels_, peer.labels_)
    members = peer.labels_ >= 0
    assert peer.labels_.max() > 0
    labels, strengths = model.predict_with_strength(POINTS)
    np.testing.assert_array_equal(labels[members], peer.labels_[members])
    np.testing.assert_allclose(strengths[members], peer.probabilities_[members])
    assert model.predict([[1.4, -1.4]]).tolist() == [-1]
    assert (model.cluster_eps_ > 0).all()


def test_an_hdbscan_needs_the_rows_of_its_fit() -> None:
    peer = HDBSCAN(copy=True).fit(POINTS)
    with pytest.raises(ValueError, match="pass the X that it was fitted on"):
        from_sklearn(peer)
    with pytest.raises(ValueError, match=r"X has 5: pass the X of its fit"):
        from_sklearn(peer, POINTS[:5])
    with pytest.raises(NotFittedError):
        from_sklearn(HDBSCAN(), POINTS)


def test_what_is_taken_over_is_a_copy() -> None:
    peer = Peer(eps=0.06).fit(POINTS)
    model = from_sklearn(peer)
    expected = model.labels_.copy(), model.predict(POINTS)
    peer.labels_[:] = 7
    peer.components_[:] = 0.0
    np.testing.assert_array_equal(model.labels_, expected[0])
    np.testing.assert_array_equal(model.predict(POINTS), expected[1])


def test_column_names_and_number_types_come_along() -> None:
    model = from_sklearn(Peer(eps=0.06).fit(pd.DataFrame(POINTS.astype(np.float32), columns=["x", "y"])))
    assert model.feature_names_in_.tolist() == ["x", "y"]
    assert model.components_.dtype == np.float32
    assert from_sklearn(Peer(eps=2).fit(np.arange(20).reshape(10, 2))).components_.dtype == np.float64


def test_a_model_without_clusters_predicts_noise() -> None:
    model = from_sklearn(Peer(eps=1e-9, min_samples=3).fit(POINTS))
    assert (model.predict(POINTS) == -1).all()
    assert model.n_features_in_ == 2


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (Peer(metric="precomputed").fit(np.zeros((3, 3))), "was fitted on distances .* a prediction needs rows"),
        (Peer(metric=lambda a, b: 0.0).fit(POINTS[:9]), "The metric .*lambda.* of this DBSCAN is none of"),
        (Peer(metric="minkowski", p=3).fit(POINTS), "The metric 'minkowski with p=3' of this DBSCAN is none of"),
        (Peer(metric="braycurtis").fit(POINTS), "The metric 'braycurtis' of this DBSCAN is none of {'chebyshev'"),
        (
            Peer(metric="minkowski", p=2, metric_params={"w": np.ones(2)}).fit(POINTS),
            "The metric 'minkowski with p=2' with {'w'.* of this DBSCAN is none of",
        ),
    ],
    ids=["precomputed", "callable", "p=3", "other", "weighted"],
)
def test_metrics_that_cannot_be_taken_over(peer: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_sklearn(peer)


def test_other_estimators_and_unfitted_ones_are_refused() -> None:
    with pytest.raises(NotFittedError, match="This DBSCAN instance is not fitted yet"):
        from_sklearn(Peer())
    with pytest.raises(TypeError, match="Got KMeans, which has no eps"):
        from_sklearn(KMeans())
    with pytest.raises(TypeError, match="Sparse data"):
        from_sklearn(Peer().fit(csr_array(POINTS)))


@pytest.mark.parametrize(
    "lie",
    [
        {"labels_": np.full(300, -1)},
        {"labels_": np.zeros(3)},
        {"components_": np.zeros((1, 2))},
        {"components_": np.zeros(300)},
        {"core_sample_indices_": np.arange(-5, 295)},
    ],
    ids=str,
)
def test_attributes_that_do_not_belong_together(lie: dict[str, Any]) -> None:
    peer = Peer(eps=0.06).fit(POINTS)
    vars(peer).update(lie)
    with pytest.raises(ValueError, match="of this DBSCAN do not belong together"):
        from_sklearn(peer)

"""A version under test, as a training hands it to the validation."""

from dataclasses import replace

import pytest

from shoal_worker.data.frame import Frame
from shoal_worker.spec.training import TrainingSpec
from shoal_worker.training import outcome
from shoal_worker.validation.judgement import Judgements
from shoal_worker.validation.subject import Subject
from tests.unit.worker.harness import make_spec, make_table, make_varied_table, train_table


def take_subject(table: Frame, spec: TrainingSpec) -> Subject:
    """Train as a Job does, up to the validation."""
    taken: list[Subject] = []

    def take(subject: Subject, *_: object) -> Judgements:
        taken.append(subject)
        return Judgements(())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "validate", take)
        train_table(table, spec)
    # What the test process itself holds is no part of what is tested.
    return replace(taken[0], free_bytes=lambda: 1 << 30)


@pytest.fixture(scope="session")
def subject() -> Subject:
    """A version of DBSCAN."""
    return take_subject(make_table(400), make_spec())


@pytest.fixture(
    scope="session", params=["euclidean", "manhattan", "chebyshev", "cosine", "haversine", "adaptive", "preprocessed"]
)
def any_subject(request: pytest.FixtureRequest) -> Subject:
    """A version of each metric, an adaptive one, and one that preprocesses what it is asked."""
    if request.param == "preprocessed":
        steps = [{"clip": {"max": 40}}, {"scale": {"method": "standard"}}]
        return take_subject(make_table(400), make_spec(preprocessing=steps, algorithm={"dbscan": {"eps": 0.2}}))
    if request.param == "adaptive":
        return take_subject(make_varied_table(), make_spec(algorithm={"adaptiveDbscan": {"minSamples": 8}}))
    table = make_table(400)
    scaled = Frame(table.columns, table.numbers / 100 + 0.1, {})
    eps = 0.0001 if request.param == "cosine" else 0.01
    algorithm = {"dbscan": {"eps": eps, "minSamples": 4, "metric": request.param}}
    return take_subject(scaled, make_spec(algorithm=algorithm))

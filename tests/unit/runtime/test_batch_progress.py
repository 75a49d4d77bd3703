"""What the pods of running batches tell of their rows."""

import pytest

from shoal_operator.api.meta import ObjectKey
from shoal_operator.runtime.batch_progress import BatchProgress, read_rows
from shoal_operator.runtime.resources import BY_KIND
from shoal_operator.runtime.store import Store, key_of, uid_of
from tests.unit.runtime.fakes import owned, raw

BATCH = raw("ClusteringBatch", "nightly", status={"phase": "Running"})
WORKING = owned("Pod", "shard-0", BATCH, status={"phase": "Running", "podIP": "10.0.0.1"})
DONE = owned("Pod", "shard-1", BATCH, status={"phase": "Succeeded", "podIP": "10.0.0.2"})
METRICS = "# TYPE shoal_batch_rows_total counter\nshoal_batch_rows_total {}\n"


class Pods:
    """Answers as the pods do; those that it does not know refuse the connection."""

    def __init__(self, *items: dict) -> None:  # type: ignore[type-arg]
        self.store = Store()
        for item in items:
            self.store.put(item, BY_KIND[item["kind"]])
        self.answers: dict[str, str] = {}
        self.asked: list[str] = []
        self.looked: list[ObjectKey] = []
        self.progress = BatchProgress(self.store, self, self.looked.append)

    async def __call__(self, ip: str) -> str:
        self.asked.append(ip)
        if ip not in self.answers:
            raise OSError("refused")
        return self.answers[ip]


async def test_pods_that_work_are_asked_and_news_are_told() -> None:
    pods = Pods(BATCH, WORKING, DONE)
    pods.answers["10.0.0.1"] = METRICS.format(1000)
    await pods.progress.tick()
    await pods.progress.tick()
    assert pods.asked == ["10.0.0.1", "10.0.0.1"]
    assert pods.progress.rows(BATCH) == {uid_of(WORKING): 1000}
    assert pods.looked == [key_of(BATCH)], "told once, for nothing changed after that"


async def test_a_pod_that_does_not_answer_keeps_its_last_number() -> None:
    pods = Pods(BATCH, WORKING)
    pods.answers["10.0.0.1"] = METRICS.format(1000)
    await pods.progress.tick()
    for answer in ({}, {"10.0.0.1": "what?"}):
        pods.answers = answer
        await pods.progress.tick()
        assert pods.progress.rows(BATCH) == {uid_of(WORKING): 1000}


async def test_a_batch_that_is_over_is_forgotten_and_not_asked() -> None:
    pods = Pods(BATCH, WORKING)
    pods.answers["10.0.0.1"] = METRICS.format(1000)
    await pods.progress.tick()
    over = raw("ClusteringBatch", "nightly", status={"phase": "Complete"}, metadata={"resourceVersion": "2"})
    pods.store.put(over, BY_KIND["ClusteringBatch"])
    await pods.progress.tick()
    assert pods.progress.rows(BATCH) == {}
    assert len(pods.asked) == 1


@pytest.mark.parametrize("text", ["", "up 1\n", METRICS.format(-1), METRICS.format("NaN")])
def test_what_is_no_number_of_rows_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="shoal_batch_rows_total"):
        read_rows(text)

"""Two real workers over loopback: stable keeps what users send, the candidate answers it too, aggregates come out."""

import pytest

from shoal_worker.artifact.files import ArtifactFiles
from tests.unit.worker.agreement.conftest import Worker, address, call, compare, draw_points
from tests.unit.worker.test_server import read_metrics


async def test_equal_versions_agree_entirely(worker: Worker, files: ArtifactFiles) -> None:
    async with worker(files, "4") as candidate, worker(files, "3", compare_url=address(candidate)) as stable:
        await call(stable, draw_points(200), rows=2)
        status, told = await compare(stable, files)
        assert status == 200
        assert (told["version"], told["digest"], told["candidate"]) == (
            "3",
            files.digest,
            {"version": "4", "digest": files.digest},
        )
        assert (told["requests"], told["rows"], told["refused"]) == (100, 200, 0)
        assert 0 <= told["oldestSeconds"] < 60
        for figure in ("ari", "ami", "noiseAgreement", "labelAgreement"):
            assert told[figure] == {"value": 1.0, "low": 1.0, "high": 1.0, "variance": 0.0}
        assert told["noise"]["stable"] == told["noise"]["candidate"] == pytest.approx(0.1)
        assert told["silhouette"]["difference"]["value"] == 0
        assert told["outOfReach"]["stable"] == 0
        assert told["clusters"] == {"stable": 2, "candidate": 2}
        assert [match["jaccard"] for match in told["matches"]] == [1.0, 1.0]
        metrics = await read_metrics(stable)
        assert metrics["shoal_compared_rows_total"] == 200
        assert metrics["shoal_reservoir_rows"] == 200
        assert metrics["shoal_reservoir_bytes"] > 200 * 16


async def test_a_worse_version_is_told_from_stable(
    worker: Worker, files: ArtifactFiles, wrong_files: ArtifactFiles
) -> None:
    async with worker(wrong_files, "4") as candidate, worker(files, "3", compare_url=address(candidate)) as stable:
        await call(stable, draw_points(200), rows=1)
        status, told = await compare(stable, wrong_files)
    assert status == 200
    assert told["labelAgreement"]["value"] == pytest.approx(0.5)
    assert told["labelAgreement"]["low"] < 0.5 < told["labelAgreement"]["high"]
    assert told["ari"]["high"] < 0.9
    assert told["noise"]["candidate"] == pytest.approx(0.6)
    assert told["noise"]["difference"]["low"] > 0.4
    assert told["outOfReach"]["difference"]["value"] == pytest.approx(0.5, abs=0.11)
    assert told["silhouette"] is None, "the candidate has one cluster"
    assert told["clusters"] == {"stable": 2, "candidate": 1}
    assert told["matches"] == [{"stable": 0, "candidate": 0, "rows": 80, "jaccard": 1.0}]


async def test_answers_to_comparisons_are_not_counted_or_kept(worker: Worker, files: ArtifactFiles) -> None:
    async with (
        worker(files, "4", compare_url="http://127.0.0.1:9") as candidate,
        worker(files, "3", compare_url=address(candidate)) as stable,
    ):
        await call(stable, draw_points(50), rows=1)
        before = await read_metrics(candidate)
        assert (await compare(stable, files))[0] == 200
        after = await read_metrics(candidate)
    for metrics in (before, after):
        del metrics["shoal_loop_lag_seconds"], metrics["shoal_serving_seconds"]
    assert after == before
    assert after["shoal_reservoir_rows"] == 0

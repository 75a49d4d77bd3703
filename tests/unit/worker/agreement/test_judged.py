"""The operator reads what real workers tell, and judges by it: the two sides of the contract meet."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shoal_operator.api.analysis import Analysis
from shoal_operator.api.deployment import Revision
from shoal_operator.core.gates import judge_comparison
from shoal_operator.core.pod_comparison import pool, read_answer
from shoal_operator.runtime.comparison import HttpAsk
from shoal_worker.artifact.files import ArtifactFiles
from tests.unit.worker.agreement.conftest import Worker, draw_points
from tests.unit.worker.agreement.test_two_workers import address, call
from tests.unit.worker.harness import Running

GATES = Analysis.model_validate(
    {
        "agreement": {"min": 0.95, "minSamples": 150},
        "silhouette": {"source": "Live", "minSamples": 150},
        "clusterCount": {"source": "Live", "minSamples": 150, "minRatio": 0.8},
    }
)


async def judge(stable: Running, files: ArtifactFiles, candidate: ArtifactFiles) -> dict[str, tuple[str, str]]:
    """Ask a stable worker as the operator does; returns gate -> verdict and message."""
    sides = [
        Revision(revision=digit * 8, version=number, digest=one.digest)
        for digit, number, one in (("a", 3, files), ("b", 4, candidate))
    ]
    ask = HttpAsk(stable.server.internal_port)
    body = {"candidate": {"version": "4", "digest": candidate.digest}, "maxRows": 2000, "deadlineSeconds": 20.0}
    status, answer = await ask("127.0.0.1", json.dumps(body))
    await ask.close()
    comparison = pool([read_answer(status, answer, *sides)], "t", 0)
    assert comparison.problem == ""
    return {item.gate: (item.verdict, item.message) for item in judge_comparison(GATES, comparison, ())}


async def test_an_equal_version_passes_all(worker: Worker, files: ArtifactFiles) -> None:
    async with worker(files, "4") as candidate, worker(files, "3", compare_url=address(candidate)) as stable:
        await call(stable, draw_points(200), rows=2)
        found = await judge(stable, files, files)
    assert {gate: verdict for gate, (verdict, _) in found.items()} == dict.fromkeys(found, "pass"), found
    assert "200 rows of 100 requests" in found["agreement"][1]


async def test_a_worse_version_fails(worker: Worker, files: ArtifactFiles, wrong_files: ArtifactFiles) -> None:
    async with worker(wrong_files, "4") as candidate, worker(files, "3", compare_url=address(candidate)) as stable:
        await call(stable, draw_points(600), rows=1)
        found = await judge(stable, files, wrong_files)
    assert found["agreement"][0] == "fail", found
    assert found["clusterCount"][0] == "fail", found
    assert found["silhouette"][0] == "inconclusive", "the candidate has one cluster"


@pytest.mark.parametrize("calls", [0, 4])
async def test_few_requests_are_told(worker: Worker, files: ArtifactFiles, calls: int) -> None:
    async with worker(files, "4") as candidate, worker(files, "3", compare_url=address(candidate)) as stable:
        if calls:
            await call(stable, np.ascontiguousarray(draw_points(calls)), rows=1)
        verdict, message = (await judge(stable, files, files))["agreement"]
    assert verdict == "inconclusive"
    assert f"there are {calls} requests to compare, and 10 are needed" in message

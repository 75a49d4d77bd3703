"""The program that judges, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.gitops.judge import Judge, run_judge


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    with run_judge() as judge:
        yield judge

"""The load generator: how many calls are due."""

from __future__ import annotations

import doctest

import pytest

from hack.lab import load


def test_worked_examples() -> None:
    assert doctest.testmod(load).failed == 0


@pytest.mark.parametrize(("elapsed", "calls"), [(-1, 0), (0, 0), (1, 10), (2, 20), (3, 120), (99, 220)])
def test_stages_follow_one_another(elapsed: float, calls: int) -> None:
    assert load.calls_due([(10, 2), (100, 2)], elapsed) == calls


def test_no_stage_is_faster_than_the_bound() -> None:
    assert load.calls_due([(1e9, 1)], 1) == load.HIGHEST_RATE

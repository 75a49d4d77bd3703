"""A watch goes on for as long as it should, on a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shoal_cli.deployments import watching
from shoal_cli.deployments.outcome import ExitCode, judge
from shoal_cli.deployments.view import View, build_view
from shoal_cli.deployments.watching import Ended, Lines, silent, watch
from shoal_cli.errors import ShoalError
from shoal_cli.kube import MissingError
from tests.unit.cli.sights import NOW, PODS, Raw, deployment, on_trial

AWAY = ShoalError("no answer", field="x", remedy="wait")
GONE = MissingError("gone", field="x", remedy="look")


class Looks:
    """A target that shows one thing after another, the last one for ever; an error is raised."""

    def __init__(self, *sights: Raw | ShoalError) -> None:
        self._sights = list(sights)

    def look(self) -> tuple[View, tuple[str, ...]]:
        sight = self._sights.pop(0) if len(self._sights) > 1 else self._sights[0]
        if isinstance(sight, ShoalError):
            raise sight
        return build_view(sight, PODS, NOW), ()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that only sleeping moves."""
    clock = SimpleNamespace(now=100.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    return clock


def ended(*sights: Raw | ShoalError, seconds: float | None = 30, **how: Any) -> Ended:
    return watch(Looks(*sights), silent, judge, seconds, **how)  # type: ignore[arg-type]


def test_it_ends_when_it_is_healthy() -> None:
    found = ended(on_trial(), on_trial(), deployment())
    assert (found.code, found.timed_out) == (ExitCode.DONE, False)


def test_it_ends_when_the_time_is_up(clock: SimpleNamespace) -> None:
    found = ended(on_trial())
    assert (found.code, found.timed_out, clock.now) == (ExitCode.TIMED_OUT, True, 130.0)


def test_kept_on_it_ends_when_the_time_is_up_with_the_code_of_the_end(clock: SimpleNamespace) -> None:
    found = ended(deployment(), keep=True)
    assert (found.code, found.timed_out, clock.now) == (ExitCode.DONE, False, 130.0)


def test_a_server_that_is_away_for_a_while_ends_nothing() -> None:
    assert ended(on_trial(), *[AWAY] * 20, deployment()).code == ExitCode.DONE


@pytest.mark.parametrize(
    ("sights", "seconds", "now"),
    [
        ((AWAY,), None, 100.0),
        ((on_trial(), AWAY), None, 161.0),
        ((on_trial(), AWAY), 5, 105.0),
        ((on_trial(), GONE), None, 101.0),
    ],
)
def test_what_does_not_come_back_ends_it(
    clock: SimpleNamespace, sights: tuple[Raw | ShoalError, ...], seconds: float | None, now: float
) -> None:
    with pytest.raises(ShoalError):
        ended(*sights, seconds=seconds)
    assert clock.now == now


def test_a_line_is_printed_for_each_change(capsys: pytest.CaptureFixture[str]) -> None:
    sights = (on_trial(), on_trial(), on_trial(step=2), deployment())
    watch(Looks(*sights), Lines(), judge, None)  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["Progressing", "Progressing", "Healthy"]
    assert "step=3/4" in lines[1]

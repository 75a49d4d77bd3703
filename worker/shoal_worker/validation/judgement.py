"""What a test of the validation says, and what all of them say together; made by the tests, recorded by `train`.

Invariant: every figure and limit is a finite number, with its unit in its name, so that each record of it is JSON.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from shoal_worker.errors import shorten

Verdict = Literal["pass", "fail", "warn"]
_MESSAGE_LIMIT, _WARNING_LIMIT = 1000, 500


@dataclass(frozen=True, slots=True)
class Judgement:
    """Outcome of one test: `warn` is worth a look, but no failure; `dry_run` makes a failure reject nothing."""

    name: str
    verdict: Verdict
    message: str
    figures: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def rejects(self) -> bool:
        """Whether a version with this outcome must not be served."""
        return self.verdict == "fail" and not self.dry_run

    def as_record(self) -> dict[str, Any]:
        """The outcome as the version's record holds it, empty parts left out."""
        parts: dict[str, Any] = {
            "name": self.name,
            "verdict": self.verdict,
            "dryRun": self.dry_run,
            "message": shorten(self.message, _MESSAGE_LIMIT),
            "figures": _rounded(self.figures),
            "limits": _rounded(self.limits),
        }
        return {key: value for key, value in parts.items() if value or key == "message"}


@dataclass(frozen=True, slots=True)
class Judgements:
    """Outcome of a validation."""

    tests: tuple[Judgement, ...]

    @property
    def verdict(self) -> Literal["pass", "fail"]:
        """fail when a test failed that is no dry run."""
        return "fail" if any(test.rejects for test in self.tests) else "pass"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a look but rejects nothing: warnings, and failures of dry runs."""
        told = [test for test in self.tests if test.verdict == "warn" or (test.verdict == "fail" and test.dry_run)]
        return tuple(f"{test.name}: {test.message}" for test in told)

    def as_record(self) -> dict[str, Any]:
        """The outcome as the version's record holds it."""
        return {
            "verdict": self.verdict,
            "tests": [test.as_record() for test in self.tests],
            "warnings": [shorten(warning, _WARNING_LIMIT) for warning in self.warnings],
        }


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    """Six digits tell enough, and the report is short; counts stay whole."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in figures.items()
        if isfinite(value)
    }

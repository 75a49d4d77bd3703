"""Every error that crosses a module of the shell, as one tree.

    ShoalError
    ├── SettingsError          the operator cannot start; the message names the variable and the remedy
    ├── LeaseLost              this process may not write any more; it must end
    ├── BoundaryViolation      a plan reached outside its object's namespace; a bug, never retried into effect
    └── ApiError               the API server refused or did not answer
        ├── Conflict           409: the view was stale; observe again at once
        ├── NotFound           404
        ├── NamespaceGoing     403 while the namespace is being deleted, 404 once it is: expected, nothing to repair
        └── Unreachable        no answer: refused, reset or too slow

Raised at the edge (transport, lease, settings), decided upon in runtime.controller. Core raises none of these: an
expected wait is a plan with a condition.
"""

from __future__ import annotations

# ruff: noqa: N818 - the names say what happened, and the tree above says that they are errors


NAME_TAKEN = "NameTaken"
"""Reason of an ApiError: the name of an object that Shoal wants to create belongs to somebody else's."""


class ShoalError(Exception):
    """Base of all errors that the operator raises itself."""


class SettingsError(ShoalError):
    """The environment or the command line is incomplete or wrong."""


class LeaseLost(ShoalError):
    """The Lease could not be renewed in time: another replica may lead by now."""


class BoundaryViolation(ShoalError):
    """A plan for an object in one namespace named an object in another one, or of a kind that is not ours."""


class ApiError(ShoalError):
    """The API server answered with an error, or not at all."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if status else f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after
        """Seconds that the server asked to be left alone, if it did."""

    @property
    def permanent(self) -> bool:
        """Whether the same request would fail again until somebody changes the object or a permission."""
        return self.reason == NAME_TAKEN or self.status in (400, 403, 405, 413, 415, 422)


class Conflict(ApiError):
    """The object changed since it was observed, or has another uid."""


class NotFound(ApiError):
    """The object, or its whole kind, does not exist."""


class NamespaceGoing(ApiError):
    """Nothing new may come into a namespace that is being deleted, or is gone."""


class Unreachable(ApiError):
    """No answer came in time."""

    def __init__(self, message: str) -> None:
        super().__init__(0, "Unreachable", message)

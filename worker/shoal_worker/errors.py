"""Every expected failure of the worker, as one tree of exceptions.

    WorkerError                 reason, field, value, message, remedy, transient
    ├── SettingsInvalid         the environment or the training spec is wrong
    ├── StoreError              the object store did not do what was asked
    │   ├── StoreUnavailable    unreachable, slow, failing, or its bucket is missing
    │   │   └── ObjectChanged   it was written anew while it was read
    │   ├── CredentialsRejected 401 or 403, or a signature refused
    │   └── ObjectMissing       no such object
    ├── StreamError             the messaging system did not do what was asked
    │   ├── StreamUnavailable   unreachable or failing
    │   ├── StreamRefused       it refused who asked
    │   └── StreamMissing       no such stream, or none that takes a subject
    ├── SourceInvalid           the training data cannot be clustered as asked
    ├── RowsRefused             rows that a model's preprocessing cannot take
    ├── TrainingFailed          the fit or its self-check failed
    ├── SinkFailed              a database did not take the results
    ├── VersionRefused          a version cannot be changed as asked
    ├── ArtifactInvalid         a model artifact is corrupt, hostile, or of another format
    ├── ComparisonFailed        stable and candidate could not be compared
    ├── ResultInvalid           a run's results are damaged, hostile, incomplete or not there
    ├── MessageRefused          a message of a stream that no worker can answer, whatever its rows
    └── RequestRefused          one gRPC request cannot be answered
        ├── RequestInvalid      the request is wrong
        ├── ModelUnknown        not the model or version that this worker serves
        ├── ModelNotReady       the model is not loaded (yet)
        ├── Overloaded          no room or no time for it
        └── DeadlinePassed      nobody waits for the answer any more

Raised at the edges, translated once per transport (`train.py` to a report, `servicer.py` to a gRPC status).
A message never holds a secret nor an unbounded value: `shorten` cuts what came from outside.
"""

# ruff: noqa: N818 - the tree above reads better without fifteen times "Error"
from typing import ClassVar

VALUE_LIMIT = 160


def shorten(value: object, limit: int = VALUE_LIMIT) -> str:
    """Cut a foreign value to a printable length.

    >>> shorten("a" * 10, 6)
    'aaa...'
    """
    text = str(value)
    text = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return text if len(text) <= limit else text[: max(limit - 3, 0)] + "..."


class WorkerError(Exception):
    """An expected failure that says what is wrong, where, and what to do about it."""

    reason: str = "Failed"
    transient: bool = False

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        value: object = "",
        remedy: str = "",
        reason: str | None = None,
        transient: bool | None = None,
    ) -> None:
        self.message = message
        self.field = field
        self.value = shorten(value)
        self.remedy = remedy
        if reason is not None:
            self.reason = reason
        if transient is not None:
            self.transient = transient
        super().__init__(message)

    def __str__(self) -> str:
        """One line: field, message, value, remedy."""
        place = f"{self.field}: " if self.field else ""
        got = f" (got {self.value})" if self.value else ""
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"{place}{self.message}{got}{remedy}"


class SettingsInvalid(WorkerError):
    """The environment or the training spec is wrong."""

    reason = "ParametersInvalid"


class StoreError(WorkerError):
    """The object store did not do what was asked."""

    reason = "StoreUnavailable"


class StoreUnavailable(StoreError):
    """The store is unreachable, slow or failing, or its bucket is missing."""

    transient = True


class ObjectChanged(StoreUnavailable):
    """An object was written anew while it was read: a new start helps, another try of the same read does not."""


class CredentialsRejected(StoreError):
    """The store refused who asked. Transient: a corrected Secret heals it without a change of the spec."""

    reason = "CredentialsRejected"
    transient = True


class ObjectMissing(StoreError):
    """There is no such object in the store."""


class StreamError(WorkerError):
    """The messaging system did not do what was asked."""

    reason = "StreamUnavailable"
    transient = True


class StreamUnavailable(StreamError):
    """The servers are unreachable or failing."""


class StreamRefused(StreamError):
    """The servers refused who asked. Transient: a corrected Secret heals it without a change of the spec."""

    reason = "StreamRefused"


class StreamMissing(StreamError):
    """There is no such stream, or none that takes a subject. Transient: it may be created."""

    reason = "StreamMissing"


class SourceInvalid(WorkerError):
    """The training data cannot be clustered as asked; the reason says which way."""

    reason = "DataInvalid"


class RowsRefused(WorkerError):
    """Rows that a model's preprocessing cannot take; in a training they are data, in a request they are its fault."""

    reason = "DataInvalid"


class TrainingFailed(WorkerError):
    """The fit, or its self-check, failed."""

    reason = "TrainingFailed"


class ArtifactInvalid(WorkerError):
    """A model artifact is corrupt, hostile, or of a format that this worker does not know."""

    reason = "ArtifactInvalid"


class ResultInvalid(WorkerError):
    """Results of a run are damaged, hostile, incomplete, or not there."""

    reason = "ResultInvalid"


class ComparisonFailed(WorkerError):
    """Stable and candidate could not be compared; the reason says why, rows and refused how far it came."""

    reason = "CandidateUnreachable"
    transient = True

    def __init__(
        self, message: str, *, reason: str, rows: int = 0, refused: int = 0, value: object = "", remedy: str = ""
    ) -> None:
        self.rows = rows
        self.refused = refused
        super().__init__(message, reason=reason, value=value, remedy=remedy)


class SinkFailed(WorkerError):
    """A database did not take the results; they are in the result store all the same."""

    reason = "SinkFailed"


class VersionRefused(WorkerError):
    """A version of the model store is not there, in use, or cannot be brought to the state that was asked for."""

    reason = "VersionRefused"


class MessageRefused(WorkerError):
    """A message of a stream that no worker can answer, for a reason that is not in its rows."""

    reason = "MessageRefused"


class RequestRefused(WorkerError):
    """One gRPC request cannot be answered; `code` is the name of its gRPC status."""

    code: ClassVar[str] = "UNKNOWN"


class RequestInvalid(RequestRefused):
    """The request is wrong, and would be wrong again."""

    reason = "RequestInvalid"
    code = "INVALID_ARGUMENT"


class ModelUnknown(RequestRefused):
    """The request names a model or version that this worker does not serve."""

    reason = "ModelUnknown"
    code = "NOT_FOUND"


class ModelNotReady(RequestRefused):
    """The model is not loaded and verified yet."""

    reason = "ModelNotReady"
    transient = True
    code = "UNAVAILABLE"


class Overloaded(RequestRefused):
    """The worker has no room or no time for the request; the reason says which.

    retry_after: seconds after which another try is worth it; None where the same request would be refused again.
    """

    reason = "Overloaded"
    transient = True
    code = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, *, reason: str, remedy: str, retry_after: float | None = None) -> None:
        super().__init__(message, reason=reason, remedy=remedy, transient=retry_after is not None)
        self.retry_after = retry_after


class DeadlinePassed(RequestRefused):
    """The time for the answer is over."""

    reason = "DeadlinePassed"
    transient = True
    code = "DEADLINE_EXCEEDED"

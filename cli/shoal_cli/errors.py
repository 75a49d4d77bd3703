"""What the command line tells when it cannot do as asked; raised anywhere, printed by `__main__` alone.

Invariant: an error names the field, its value where there is one, and what to do about it.
"""

from typing import ClassVar


class ShoalError(Exception):
    """The outside did not answer as hoped: a cluster out of reach, an object or file that is not there."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, field: str, value: object = None, remedy: str) -> None:
        got = "" if value is None else f" (it is {value})"
        super().__init__(f"{field}: {message}{got}. {remedy}.")


class UsageError(ShoalError):
    """What was typed, or is written in the file that was named, must change."""

    exit_code: ClassVar[int] = 2


class TimedOutError(ShoalError):
    """What was waited for did not come about in the time that it was given."""

    exit_code: ClassVar[int] = 4

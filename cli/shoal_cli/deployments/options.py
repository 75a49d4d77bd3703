"""Arguments and options that the verbs of deployments have in common, durations and the time."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from shoal_cli.completing import names_of
from shoal_cli.errors import UsageError
from shoal_cli.kube import DEPLOYMENTS

Output = Literal["table", "json"]

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,3})?)s?)?")


complete_name = names_of(DEPLOYMENTS)
NameArgument = Annotated[
    str,
    typer.Argument(help="Name of the ClusteringDeployment.", show_default=False, autocompletion=complete_name),
]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]


def read_seconds(text: str, field: str) -> float:
    """Read a duration: 90, 90s, 15m, 1h30m.

    >>> read_seconds("1h30m", "--timeout"), read_seconds("90", "--timeout")
    (5400.0, 90.0)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise UsageError("it is no duration", field=field, value=text, remedy="Write 90s, 15m or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)

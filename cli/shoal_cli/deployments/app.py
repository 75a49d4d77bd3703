"""The verbs of deployments, put together; added to the whole program by `__main__`."""

from collections.abc import Callable
from typing import Any

import typer

from shoal_cli.deployments import commanding, reading
from shoal_cli.deployments.diffing import diff
from shoal_cli.deployments.logs import logs
from shoal_cli.lint.verb import lint
from shoal_cli.predict.verb import predict

_LOOK, _STEER, _USE = "Look", "Steer a rollout", "Check and use"

_VERBS: tuple[tuple[str, Callable[..., Any], str, str], ...] = (
    ("get", reading.get, _LOOK, "shoal get -A|shoal get towns -n demo -o json"),
    (
        "status",
        reading.status,
        _LOOK,
        "shoal status towns -n demo|shoal status towns -n demo --wait --version 4 --timeout 15m",
    ),
    ("watch", reading.watch_deployment, _LOOK, "shoal watch towns -n demo|shoal watch towns -n demo --keep"),
    (
        "history",
        reading.history,
        _LOOK,
        "shoal history towns -n demo|shoal history towns -n demo --decision 12|shoal history towns --version 4 -o json",
    ),
    (
        "logs",
        logs,
        _LOOK,
        "shoal logs towns -n demo --version 4 --follow|shoal logs towns -n demo --operator --since 10m",
    ),
    ("promote", commanding.promote, _STEER, "shoal promote towns -n demo --wait|shoal promote towns -n demo --full"),
    ("pause", commanding.pause, _STEER, "shoal pause towns -n demo"),
    ("resume", commanding.resume, _STEER, "shoal resume towns -n demo"),
    ("abort", commanding.abort, _STEER, "shoal abort towns -n demo --wait"),
    ("retry", commanding.retry, _STEER, "shoal retry towns -n demo"),
    ("approve", commanding.approve, _STEER, "shoal approve towns 4 -n demo"),
    (
        "rollback",
        commanding.rollback,
        _STEER,
        "shoal rollback towns -n demo --wait|shoal rollback towns --to 3 --full|shoal rollback towns --dry-run",
    ),
    ("lint", lint, _USE, "shoal lint deploy/|shoal lint model.yaml deployment.yaml --strict -o json"),
    ("diff", diff, _USE, "shoal diff deployment.yaml -n demo|shoal diff deploy/ --exit-code"),
    (
        "predict",
        predict,
        _USE,
        "shoal predict towns -n demo 52.5,13.4 48.9,2.3|shoal predict towns -n demo -f rows.parquet --version 4"
        "|shoal predict towns --address 10.0.0.7:8001 -f rows.npy -o json",
    ),
)


def add_verbs(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    for name, verb, panel, examples in _VERBS:
        # One paragraph for each: lines of one paragraph would be joined.
        epilog = "\n\n".join(f"$ {each}" for each in examples.split("|"))
        # A row may begin with a minus sign, which is no option.
        settings = {"ignore_unknown_options": True} if verb is predict else None
        app.command(name, epilog=epilog, rich_help_panel=panel, context_settings=settings)(verb)

"""`shoal`: the command line's entry; the only place where errors are printed and exit codes are chosen.

Exit codes: 0 done, 1 the outside failed (no cluster, no such object or file), 2 what was asked must change; verbs of
deployments have more (deployments.outcome).
"""

import sys
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from shoal_cli import __version__
from shoal_cli.batch.app import app as batch
from shoal_cli.deployments.app import add_verbs
from shoal_cli.errors import ShoalError
from shoal_cli.explain import EXAMPLES, explain
from shoal_cli.models.app import app as models
from shoal_cli.results.app import app as results

app = typer.Typer(
    name="shoal",
    help="Density-based clustering on Kubernetes: rollouts, versions of models, batches and their results.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=EXAMPLES)(explain)
app.add_typer(models, name="models")
app.add_typer(results, name="results")
app.add_typer(batch, name="batch")
add_verbs(app)


@app.callback(invoke_without_command=True)
def about(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Density-based clustering on Kubernetes: rollouts, versions of models, batches and their results."""
    if version:
        print(f"shoal {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    try:
        return int(app(args=arguments, prog_name=_called(), standalone_mode=False) or 0)
    except ShoalError as error:
        return _fail(str(error), error.exit_code)
    except typer.Abort:
        return 130  # Ctrl-C
    except typer.TyperException as error:
        # Asked nothing, it has printed its help already, and there is no message.
        message = error.format_message()
        return _fail(f"{message.rstrip('.')}. See {_called()} --help.", error.exit_code) if message else error.exit_code


def _called() -> str:
    """Return the name that the program goes by: kubectl's plugin, or its own."""
    return "kubectl shoal" if Path(sys.argv[0]).name == "kubectl-shoal" else "shoal"


def _fail(message: str, exit_code: int) -> int:
    Console(stderr=True, soft_wrap=True).print(Text(f"shoal: {message}", style="red"))
    return exit_code


if __name__ == "__main__":
    sys.exit(main())

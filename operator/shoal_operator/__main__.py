"""The command `shoal-operator`: reads the settings, configures the log, runs the app."""

from __future__ import annotations

import argparse
import asyncio
import sys

from shoal_operator import __version__
from shoal_operator.errors import SettingsError
from shoal_operator.settings import PREFIX, load

_EXAMPLES = f"""\
All settings come from the environment, for example:

  in a cluster     the chart sets them; the container runs plain `shoal-operator`
  on a laptop      {PREFIX}WORKER_IMAGE=docker.io/shoal/worker:0.1.0 {PREFIX}STORE_URI=s3://models/shoal \\
                   shoal-operator --kubeconfig ~/.kube/config
  one namespace    {PREFIX}WATCH_NAMESPACES=demo {PREFIX}LEASE_NAMESPACE=demo shoal-operator

docs/operator.md lists every setting. SIGTERM hands the Lease over and ends the process within five seconds.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the operator and return the exit status: 0 after a signal, 1 after a failure, 2 for wrong settings."""
    parser = argparse.ArgumentParser(
        prog="shoal-operator",
        description="Watches clustering models and deployments and makes them so.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=("run",), default="run", help="run (the default)")
    parser.add_argument("--kubeconfig", metavar="PATH", help="kubeconfig of the cluster, when not inside one")
    parser.add_argument("--version", action="version", version=f"shoal-operator {__version__}")
    options = parser.parse_args(arguments)
    # Here, so that --help and wrong settings answer at once: these imports take most of a second.
    from shoal_operator import app, log

    try:
        settings = load(kubeconfig=options.kubeconfig)
        log.configure(settings.log_level)
        return asyncio.run(app.run(settings))
    except SettingsError as error:
        print(f"shoal-operator: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"shoal-operator: {error}; is {PREFIX}METRICS_PORT or {PREFIX}PROBE_PORT taken?", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

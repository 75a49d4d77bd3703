"""Command line of the worker image: `shoal-worker serve` and `shoal-worker train`.

Configured by the environment only; the two verbs take no options. Nothing is decided here.
"""

import argparse
import asyncio
import sys

from shoal_worker.errors import SettingsInvalid
from shoal_worker.log import configure_logging
from shoal_worker.report import failure_report, write_report
from shoal_worker.settings import ServeSettings, TrainSettings, load_serve_settings, load_train_settings, report_path

_EXAMPLES = """
examples:
  train on a CSV file and store the artifact beside it:
    SHOAL_FILE_ROOT=/tmp/shoal SHOAL_REPORT_PATH=/tmp/shoal/report.json \\
    SHOAL_TRAINING_SPEC='{"name":"blobs","source":{"uri":"file:///tmp/shoal/blobs.csv"},
      "algorithm":{"dbscan":{"eps":0.5,"minSamples":5}},"storeUri":"file:///tmp/shoal"}' shoal-worker train

  serve it (uri and digest are in the report):
    SHOAL_FILE_ROOT=/tmp/shoal SHOAL_CACHE_DIR=/tmp/shoal/cache SHOAL_MODEL_NAME=blobs SHOAL_MODEL_VERSION=1 \\
    SHOAL_ARTIFACT_URI=file:///tmp/shoal/artifacts/sha256-... SHOAL_ARTIFACT_DIGEST=sha256:... shoal-worker serve

environment of serve:
{serve}

environment of train:
{train}
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    verb = _build_parser().parse_args(arguments).verb
    try:
        if verb == "train":
            return _train()
        return _serve()
    except SettingsInvalid as error:
        print(f"shoal-worker {verb}: {error}", file=sys.stderr)
        write_report(report_path(), failure_report(error))
        return 1


def _train() -> int:
    from shoal_worker.training.job import stop_on_sigterm, train

    stop_on_sigterm()
    settings = load_train_settings()
    configure_logging(settings.log_level, verb="train")
    return train(settings)


def _serve() -> int:
    from shoal_worker.serving.server import serve

    settings = load_serve_settings()
    configure_logging(settings.log_level, verb="serve", model=settings.model_name, version=settings.model_version)
    return asyncio.run(serve(settings))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shoal-worker",
        description="Train a clustering model, or serve one over gRPC (Open Inference Protocol v2).",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES.replace("{serve}", _described(ServeSettings)).replace("{train}", _described(TrainSettings)),
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="serve|train")
    verbs.add_parser("serve", help="serve one artifact until SIGTERM")
    verbs.add_parser("train", help="fit a model, write its artifact and a report, exit 0, 1 (permanent) or 2 (retry)")
    return parser


def _described(settings: type[ServeSettings] | type[TrainSettings]) -> str:
    lines = []
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default}"
        lines.append(f"  SHOAL_{name.upper():<28} {field.description} ({default})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Command line of the worker image: `shoal-worker serve`, `consume`, `forget-consumer`, `train` and others.

Configured by the environment only; the verbs take no options. Nothing is decided here.
"""

import argparse
import asyncio
import sys

from pydantic_settings import BaseSettings

from shoal_worker.errors import SettingsInvalid
from shoal_worker.log import configure_logging
from shoal_worker.report import failure_report, write_report
from shoal_worker.settings import (
    BatchSettings,
    ConsumeSettings,
    ForgetConsumerSettings,
    ImportSettings,
    MaintainSettings,
    ServeSettings,
    TrainSettings,
    load_batch_settings,
    load_consume_settings,
    load_forget_consumer_settings,
    load_import_settings,
    load_maintain_settings,
    load_serve_settings,
    load_train_settings,
    report_path,
)

_EXAMPLES = """
examples:
  train on a CSV file and store the artifact beside it:
    SHOAL_FILE_ROOT=/tmp/shoal SHOAL_REPORT_PATH=/tmp/shoal/report.json \\
    SHOAL_TRAINING_SPEC='{"name":"blobs","source":{"uri":"file:///tmp/shoal/blobs.csv"},
      "algorithm":{"dbscan":{"eps":0.5,"minSamples":5}},"storeUri":"file:///tmp/shoal"}' shoal-worker train

  serve it (uri and digest are in the report):
    SHOAL_FILE_ROOT=/tmp/shoal SHOAL_CACHE_DIR=/tmp/shoal/cache SHOAL_MODEL_NAME=blobs SHOAL_MODEL_VERSION=1 \\
    SHOAL_ARTIFACT_URI=file:///tmp/shoal/artifacts/sha256-... SHOAL_ARTIFACT_DIGEST=sha256:... shoal-worker serve

  label a stream of NATS JetStream with it:
    (as for serve, and) SHOAL_NATS_URL=nats://127.0.0.1:4222 SHOAL_INPUT_STREAM=readings SHOAL_CONSUMER=labels \\
    SHOAL_OUTPUT_SUBJECT=labels.out SHOAL_DEAD_LETTER_SUBJECT=labels.dead shoal-worker consume

  retire its first version:
    SHOAL_FILE_ROOT=/tmp/shoal SHOAL_REPORT_PATH=/tmp/shoal/report.json \\
    SHOAL_MAINTENANCE_SPEC='{"name":"blobs","storeUri":"file:///tmp/shoal",
      "changes":[{"version":1,"digest":"sha256:...","to":"Retired"}]}' shoal-worker maintain

environment of serve:
{serve}

environment of consume:
{consume}

environment of forget-consumer:
{forget-consumer}

environment of train:
{train}

environment of import:
{import}

environment of maintain:
{maintain}

environment of batch:
{batch}
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    verb = _build_parser().parse_args(arguments).verb
    try:
        return _VERBS[verb]()
    except SettingsInvalid as error:
        print(f"shoal-worker {verb}: {error}", file=sys.stderr)
        write_report(report_path(), failure_report(error))
        return 1


def _train() -> int:
    from shoal_worker.job import stop_on_sigterm
    from shoal_worker.training.job import train

    stop_on_sigterm()
    settings = load_train_settings()
    configure_logging(settings.log_level, verb="train")
    return train(settings)


def _import() -> int:
    from shoal_worker.importing.job import import_version
    from shoal_worker.job import stop_on_sigterm

    stop_on_sigterm()
    settings = load_import_settings()
    configure_logging(settings.log_level, verb="import")
    return import_version(settings)


def _maintain() -> int:
    from shoal_worker.job import stop_on_sigterm
    from shoal_worker.models.maintain import maintain

    stop_on_sigterm()
    settings = load_maintain_settings()
    configure_logging(settings.log_level, verb="maintain")
    return maintain(settings)


def _batch() -> int:
    from shoal_worker.batch.job import run_step
    from shoal_worker.job import stop_on_sigterm

    stop_on_sigterm()
    settings = load_batch_settings()
    configure_logging(settings.log_level, verb="batch")
    return run_step(settings)


def _serve() -> int:
    import uvloop

    from shoal_worker.serving.server import serve

    settings = load_serve_settings()
    configure_logging(settings.log_level, verb="serve", model=settings.model_name, version=settings.model_version)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


def _consume() -> int:
    from shoal_worker.streaming.process import consume

    settings = load_consume_settings()
    configure_logging(settings.log_level, verb="consume", model=settings.model_name, version=settings.model_version)
    return asyncio.run(consume(settings))


def _forget_consumer() -> int:
    from shoal_worker.streaming.forgetting import forget_consumer

    settings = load_forget_consumer_settings()
    configure_logging(settings.log_level, verb="forget-consumer")
    return asyncio.run(forget_consumer(settings))


_VERBS = {
    "serve": _serve,
    "consume": _consume,
    "forget-consumer": _forget_consumer,
    "train": _train,
    "import": _import,
    "maintain": _maintain,
    "batch": _batch,
}


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shoal-worker",
        description="Train, import or serve (Open Inference Protocol v2) a clustering model, label batches or streams "
        "with one, or keep their store.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_epilog(),
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="|".join(_VERBS))
    verbs.add_parser("serve", help="serve one artifact until SIGTERM")
    verbs.add_parser("consume", help="label the messages of a stream of NATS JetStream until SIGTERM")
    verbs.add_parser("forget-consumer", help="delete the durable consumer of a stream, exit 0 or 2 (retry)")
    verbs.add_parser("train", help="fit a model, write its artifact and a report, exit 0, 1 (permanent) or 2 (retry)")
    verbs.add_parser("import", help="fetch an artifact, test it and store it as a version, exit as train")
    verbs.add_parser("maintain", help="retire, archive, bring back or delete versions in the store, exit as train")
    verbs.add_parser("batch", help="label a data set: plan it, do one shard, or finish it, exit as train")
    return parser


def _epilog() -> str:
    text = _EXAMPLES
    for verb, settings in _ENVIRONMENTS.items():
        text = text.replace(f"{{{verb}}}", _described(settings))
    return text


_ENVIRONMENTS: dict[str, type[BaseSettings]] = {
    "serve": ServeSettings,
    "consume": ConsumeSettings,
    "forget-consumer": ForgetConsumerSettings,
    "train": TrainSettings,
    "import": ImportSettings,
    "maintain": MaintainSettings,
    "batch": BatchSettings,
}


def _described(settings: type[BaseSettings]) -> str:
    lines = []
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else f"default {field.default}"
        lines.append(f"  SHOAL_{name.upper():<28} {field.description} ({default})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""The verbs of `shoal batch`, put together; mounted by `__main__`."""

import typer

from shoal_cli.batch import creating, reading

app = typer.Typer(no_args_is_help=True, help="Batches, which label whole data sets: create, list, show, watch.")

# One paragraph for each: lines of one paragraph would be joined.
_EXAMPLES = {
    "create": """\
$ shoal batch create nightly --model towns --source s3://data/new/ --output s3://data/results --secret store

$ shoal batch create nightly --deployment towns --source s3://data/all.parquet --output s3://data/results --watch

$ shoal batch create nightly --model towns:3 --source s3://data/ --output s3://results/x --dry-run | kubectl apply -f -
""",
    "list": "$ shoal batch list -n demo\n\n$ shoal batch list -A -o json",
    "show": "$ shoal batch show nightly -n demo",
    "watch": "$ shoal batch watch nightly -n demo --timeout 1h",
}

app.command("list", epilog=_EXAMPLES["list"])(reading.list_batches)
for _verb in (reading.show, reading.watch, creating.create):
    app.command(_verb.__name__, epilog=_EXAMPLES[_verb.__name__])(_verb)

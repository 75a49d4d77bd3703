"""The verbs of `shoal models`, put together; mounted by `__main__`."""

import typer

from shoal_cli.models import card, changing, reading

app = typer.Typer(
    no_args_is_help=True, help="Versions of models: list, fetch, cards, push, retire, archive, delete, verify."
)

# One paragraph for each: lines of one paragraph would be joined.
_EXAMPLES = {
    "list": """\
$ shoal models list towns -n demo

$ shoal models list --store s3://shoal-store/models --state Retired --since 7d

$ shoal models list towns --store file:///var/lib/shoal/store -o json
""",
    "show": "$ shoal models show towns 3 -n demo\n\n$ shoal models show towns latest --store s3://shoal-store/models",
    "card": """\
$ shoal models card towns latest -n demo --store s3://shoal-store/models --open

$ shoal models card towns 3 -n demo --store s3://shoal-store/models --png -o towns.png
""",
    "latest": "$ shoal models latest towns -n demo",
    "push": "$ shoal models push ./towns --name towns -n demo --store s3://shoal-store/models --label by=me",
    "pull": "$ shoal models pull towns latest ./towns -n demo --store s3://shoal-store/models",
    "verify": "$ shoal models verify --store s3://shoal-store/models\n\n$ shoal models verify towns 3 --store s3://shoal-store/models",
    "retire": "$ shoal models retire towns 3 -n demo\n\n$ shoal models retire towns 3 --store s3://shoal-store/models",
    "archive": "$ shoal models archive towns 3 -n demo",
    "unarchive": "$ shoal models unarchive towns 3 -n demo",
    "delete": "$ shoal models delete towns 3 -n demo --store s3://shoal-store/models",
    "label": "$ shoal models label towns 3 stage=prod old- -n demo --store s3://shoal-store/models",
    "rebuild": """\
$ shoal models rebuild --store s3://shoal-store/models -n demo | kubectl apply -f -

$ shoal models rebuild --store s3://shoal-store/models --apply
""",
}

app.command("list", epilog=_EXAMPLES["list"])(reading.list_versions)
for _verb in (
    reading.show,
    reading.latest,
    card.card,
    changing.push,
    reading.pull,
    changing.retire,
    changing.archive,
    changing.unarchive,
    changing.delete,
    changing.label,
    reading.verify,
    changing.rebuild,
):
    app.command(_verb.__name__, epilog=_EXAMPLES[_verb.__name__])(_verb)

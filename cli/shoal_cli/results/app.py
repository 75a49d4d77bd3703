"""The verbs of `shoal results`, put together; mounted by `__main__`."""

import typer

from shoal_cli.results import changing, querying, reading

app = typer.Typer(no_args_is_help=True, help="Results of batches: list, show, ask by SQL, verify, prune.")

# One paragraph for each: lines of one paragraph would be joined.
_EXAMPLES = {
    "ls": """\
$ shoal results ls --store s3://shoal-data/results

$ shoal results ls nightly -n demo --state Complete --since 7d -o json
""",
    "show": "$ shoal results show nightly -n demo\n\n$ shoal results show demo/nightly r-5c1e0a -o json",
    "sql": """\
$ shoal results sql nightly -n demo "SELECT cluster_id, count(*) FROM results GROUP BY ALL ORDER BY 2 DESC"

$ shoal results sql demo/nightly "SELECT * FROM results WHERE label = -1" -o csv > noise.csv

$ shoal results sql demo/nightly 'SELECT * FROM "r1" a JOIN "r2" b USING (file, row) WHERE a.label <> b.label'
""",
    "verify": "$ shoal results verify\n\n$ shoal results verify nightly latest -n demo",
    "prune": "$ shoal results prune nightly -n demo --keep 7 --older-than-days 90 --dry-run",
}

for _verb in (reading.ls, reading.show, querying.sql, reading.verify, changing.prune):
    app.command(_verb.__name__, epilog=_EXAMPLES[_verb.__name__])(_verb)

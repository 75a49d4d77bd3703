"""`shoal lint`: says what is wrong or risky in manifests, by file and line. Needs no cluster."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from shoal_cli.console import print_json
from shoal_cli.deployments.options import OutputOption
from shoal_cli.lint.check import Finding, check, is_ours
from shoal_cli.lint.documents import read_documents
from shoal_cli.lint.risks import warn

_COLOURS = {"error": "red", "warning": "yellow"}


def lint(
    files: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.", show_default=False)],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    output: OutputOption = "table",
) -> int:
    """Check manifests without a cluster: what the API server would refuse, and settings that are risky."""
    others = read_documents(files)
    documents = [each for each in others if is_ours(each)]
    found: list[Finding] = []
    for document in documents:
        problems = check(document)
        found += problems or warn(document, others)
    errors = sum(each.severity == "error" for each in found)
    console = Console(soft_wrap=True, highlight=False)
    if output == "json":
        print_json(console, [asdict(each) for each in found])
    else:
        for each in found:
            line = Text(str(each))
            line.highlight_words([f"{each.severity}:"], f"bold {_COLOURS[each.severity]}")
            console.print(line if not each.rule else Text.assemble(line, (f"  [{each.rule}]", "dim")))
        objects = f"{len(documents)} {'object' if len(documents) == 1 else 'objects'}"
        console.print(f"{objects} of Shoal, {errors} errors, {len(found) - errors} warnings.")
    return 2 if errors or (strict and found) else 0

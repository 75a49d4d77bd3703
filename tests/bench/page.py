"""The page docs/benchmarks.md with its plots and figures, written from what the suites found.

A run of some suites replaces their figures and keeps those of the others.
"""

import json
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

from tests.bench import suite_adaptive, suite_choices, suite_fit, suite_predict, suite_size
from tests.bench.tables import Table, size

SUITES: dict[str, ModuleType] = {
    "fit": suite_fit,
    "adaptive": suite_adaptive,
    "predict": suite_predict,
    "choices": suite_choices,
    "size": suite_size,
}
DOCS = Path("docs")
TEMPLATE = Path(__file__).with_name("page.md")


def write(found: dict[str, Any], docs: Path = DOCS) -> list[Path]:
    """Merge the figures into docs/benchmarks/engine.json, then draw and write all anew; returns what was written."""
    from tests.bench import plots

    figures = docs / "benchmarks" / "engine.json"
    figures.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(figures.read_text()) if figures.exists() else {}
    known |= found
    figures.write_text(json.dumps(known, indent=1) + "\n")
    drawn = plots.draw(known, figures.parent)
    target = docs / "benchmarks.md"
    target.write_text(render(known, [path.relative_to(docs) for path in drawn]))
    return [figures, *drawn, target]


def render(known: dict[str, Any], drawn: list[Path]) -> str:
    """The page's text; suites that have not run yet say so."""
    parts = {name: _section(name, known) for name in SUITES}
    pictures = {path.stem.replace("-", "_"): f"![{path.stem}]({path.as_posix()})" for path in drawn}
    empty = dict.fromkeys(("time_by_n", "time_by_d", "ari"), "")
    text = Template(TEMPLATE.read_text()).substitute(
        empty | pictures | parts, goals=goals(known).markdown(), machine=_machine(known)
    )
    return text.rstrip() + "\n"


def goals(known: dict[str, Any]) -> Table:
    """All goals of the suites that ran."""
    words = {True: "met", False: "not met", None: ""}
    lines = [
        [goal.what, goal.target, goal.measured, words[goal.met]]
        for name, suite in SUITES.items()
        if name in known
        for goal in suite.goals(known[name]["rows"])
    ]
    return Table("Goals", ["goal", "target", "measured", ""], lines)


def _section(name: str, known: dict[str, Any]) -> str:
    if name not in known:
        return "Not measured yet."
    tables = SUITES[name].tables(known[name]["rows"])
    return "\n\n".join(f"**{table.title}**\n\n{table.markdown()}" for table in tables)


def _machine(known: dict[str, Any]) -> str:
    """One line for each machine and set of versions, with the suites measured there."""
    lines: dict[str, list[str]] = {}
    for name in SUITES:
        if name in known:
            suite = known[name]
            where = suite["machine"]
            versions = ", ".join(f"{package} {number}" for package, number in suite["versions"].items())
            line = (
                f"{where['cpu']}, {where['cores']} cores, {size(where['memory_bytes'])} of memory, {where['system']}, "
                f"Python {where['python']}; {versions}"
            )
            lines.setdefault(line, []).append(f"{name} ({suite['date']})")
    return "\n".join(f"- {', '.join(names)}: {line}." for line, names in lines.items())

"""What a version's record tells, as bounded values of known types; read by `page` and `picture`.

The record is untrusted: a store or an artifact from elsewhere may hold anything. Invariant: nothing in Facts is longer
or of more parts than a page can show, and what is of another kind than it should be is left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from shoal_worker.card.markup import EARTH_RADIUS_KM, count, figure, share
from shoal_worker.errors import shorten
from shoal_worker.models.record import ModelKey, VersionRecord

_LINE, _LONG = 160, 1000
_MOST_TESTS, _MOST_FIGURES, _MOST_TRIALS, _MOST_EVENTS, _MOST_STEPS, _MOST_NAMES = 32, 12, 8, 24, 32, 64

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Test:
    """One test of the validation."""

    name: str
    verdict: str
    message: str
    dry_run: bool
    figures: tuple[Pair, ...]

    @property
    def rejects(self) -> bool:
        """Whether the version failed by it."""
        return self.verdict == "fail" and not self.dry_run


@dataclass(frozen=True, slots=True)
class Event:
    """What became of a cluster, in words."""

    kind: str
    text: str
    rows: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All texts and figures of a card but those of the sketch; `number`: None for a model that is no version yet."""

    model: str
    number: int | None
    created: str
    passed: bool
    kind: str
    parameters: tuple[Pair, ...]
    summary: str
    metrics: Mapping[str, float]
    tests: tuple[Test, ...]
    warnings: tuple[str, ...]
    search: str
    trials: tuple[tuple[Pair, ...], ...]
    previous: int | None
    identity: tuple[Pair, ...]
    identity_problem: str
    events: tuple[Event, ...]
    features: tuple[str, ...]
    steps: tuple[Pair, ...]
    lineage: tuple[Pair, ...]
    frameworks: tuple[Pair, ...] = field(default=())

    @property
    def title(self) -> str:
        """Model and version as people name them."""
        return self.model if self.number is None else f"{self.model} v{self.number}"

    def metric(self, name: str) -> float | None:
        """A figure of the training."""
        return self.metrics.get(name)


def facts_of(key: ModelKey, record: VersionRecord) -> Facts:
    """Read a version's record."""
    lineage = [
        ("Source", shorten(record.source, _LONG) or "not recorded"),
        ("Artifact", record.digest),
        ("Size", f"{count(record.bytes)} bytes"),
        ("Training", record.training_hash),
        ("Created", record.created),
    ]
    if record.labels:
        lineage.append(("Labels", ", ".join(f"{name}={value}" for name, value in sorted(record.labels.items()))))
    return read_facts(
        str(key), record.report, number=record.number, created=record.created, passed=record.passed, lineage=lineage
    )


def read_facts(
    model: str,
    report: Mapping[str, Any],
    *,
    number: int | None = None,
    created: str = "",
    passed: bool,
    lineage: list[Pair],
) -> Facts:
    """Read a report; what the store knows beside it are arguments."""
    algorithm = _mapping(report.get("algorithm"))
    kind = next(iter(algorithm), "unknown")
    chosen = _mapping(algorithm.get(kind))
    validation, identity, schema = (_mapping(report.get(name)) for name in ("validation", "identity", "schema"))
    previous = identity.get("baseline")
    metrics = {name: float(value) for name, value in _mapping(report.get("metrics")).items() if _is_number(value)}
    return Facts(
        model=shorten(model, 330),
        number=number,
        created=created,
        passed=passed,
        kind={"dbscan": "DBSCAN", "adaptiveDbscan": "Adaptive DBSCAN"}.get(kind, shorten(kind, 40)),
        parameters=_parameters(chosen),
        summary=_summary(chosen),
        metrics=metrics,
        tests=tuple(_test(each) for each in _items(validation.get("tests"), _MOST_TESTS)),
        warnings=tuple(shorten(each, _LONG) for each in _list(validation.get("warnings"), _MOST_TESTS)),
        search=_search(_mapping(report.get("search"))),
        trials=tuple(_trial(each) for each in _items(_mapping(report.get("search")).get("best"), _MOST_TRIALS)),
        previous=previous if isinstance(previous, int) else None,
        identity=tuple(
            (name, count(value))
            for name in ("kept", "born", "died", "split", "merged")
            if isinstance(value := identity.get(name), int)
        ),
        identity_problem=shorten(identity.get("problem") or "", _LONG),
        events=tuple(_event(each) for each in _items(identity.get("events"), _MOST_EVENTS)),
        features=tuple(shorten(each, _LINE) for each in _list(schema.get("features"), _MOST_NAMES)),
        steps=tuple(pair for each in _items(report.get("preprocessing"), _MOST_STEPS) for pair in _step(each)),
        lineage=tuple(lineage),
        frameworks=tuple(
            (shorten(name, _LINE), shorten(value, _LINE))
            for name, value in sorted(_mapping(report.get("frameworkVersions")).items())[:_MOST_STEPS]
        ),
    )


def show_distance(value: float, metric: str) -> str:
    """Write a distance; on the globe in kilometres too.

    >>> show_distance(0.006, "haversine"), show_distance(0.25, "euclidean")
    ('0.006 rad (38.2 km)', '0.25')
    """
    return f"{figure(value)} rad ({figure(value * EARTH_RADIUS_KM, 3)} km)" if metric == "haversine" else figure(value)


def _parameters(chosen: Mapping[str, Any]) -> tuple[Pair, ...]:
    metric = str(chosen.get("metric", ""))
    return tuple(
        (shorten(name, _LINE), show_distance(value, metric) if name == "eps" and _is_number(value) else _value(value))
        for name, value in list(chosen.items())[:_MOST_FIGURES]
        if name != "search"
    )


def _summary(chosen: Mapping[str, Any]) -> str:
    metric = shorten(chosen.get("metric", ""), 40)
    shown = dict(_parameters(chosen))
    words = [f"{name} {shown[name]}" for name in ("eps", "minSamples", "minClusterSize") if name in shown]
    return " · ".join([metric, *words] if metric else words)


def _test(found: Mapping[str, Any]) -> Test:
    figures = _mapping(found.get("figures"))
    return Test(
        name=_spaced(shorten(found.get("name", ""), 60)),
        verdict=verdict if (verdict := str(found.get("verdict"))) in ("pass", "warn", "fail") else "unknown",
        message=shorten(found.get("message", ""), _LONG),
        dry_run=found.get("dryRun") is True,
        figures=tuple((shorten(name, 60), _value(value)) for name, value in list(figures.items())[:_MOST_FIGURES]),
    )


def _search(found: Mapping[str, Any]) -> str:
    if not found:
        return ""
    trials, rows = found.get("trials"), found.get("rows")
    told = f"{trials} trials" if isinstance(trials, int) else "A search"
    on = f" on {count(rows)} rows" if isinstance(rows, int) else ""
    stopped = shorten(found.get("stopped") or "", 300)
    return f"{told}{on}, by {shorten(found.get('objective', ''), 40)}" + (f"; {stopped}" if stopped else "")


def _trial(found: Mapping[str, Any]) -> tuple[Pair, ...]:
    return tuple((name, _value(found[name])) for name in _TRIAL_COLUMNS if found.get(name) is not None)


_TRIAL_COLUMNS = ("eps", "minSamples", "minClusterSize", "score", "clusters", "noiseRatio")


def _event(found: Mapping[str, Any]) -> Event:
    kind, cluster, rows = str(found.get("kind")), _value(found.get("cluster")), found.get("rows")
    portions = [(_value(each.get("cluster")), each.get("share")) for each in _items(found.get("portions"), 8)]
    parts = ", ".join(f"{'noise' if name == '-1' else name}{_in_brackets(value)}" for name, value in portions)
    verb = {
        "Split": "split into",
        "Merged": "merged from",
        "Born": "is new; its rows were in",
        "Died": "is gone; its rows are in",
    }.get(kind, shorten(kind, 40))
    text = f"Cluster {cluster} {verb} {parts}" if parts else f"Cluster {cluster}: {verb}"
    return Event(shorten(kind, 40), text, _in_brackets(rows).strip(" ()"))


def _in_brackets(value: object) -> str:
    return f" ({share(value)})" if isinstance(value, int | float) and _is_number(value) else ""


def _step(found: Mapping[str, Any]) -> Iterator[Pair]:
    for name, settings in list(found.items())[:4]:
        told = [f"{key}: {_value(value)}" for key, value in list(_mapping(settings).items())[:_MOST_FIGURES]]
        yield _spaced(shorten(name, 60)), "; ".join(told)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, list | tuple):
        return shorten(", ".join(_value(each) for each in value[:_MOST_NAMES]), _LONG)
    return shorten("none" if value is None else value, _LINE)


def _spaced(name: str) -> str:
    """Write a name of a field as words.

    >>> _spaced("maxNoiseRatio")
    'max noise ratio'
    """
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object, most: int) -> list[Any]:
    # A record that was not read from a store holds tuples.
    return list(value[:most]) if isinstance(value, list | tuple) else []


def _items(value: object, most: int) -> list[Mapping[str, Any]]:
    return [each for each in _list(value, most) if isinstance(each, dict)]

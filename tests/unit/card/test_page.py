"""The page is valid HTML of its own, tells what it should, and is markup of no text that came from outside."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from shoal_worker.card.facts import facts_of, read_facts
from shoal_worker.card.making import draw_card
from shoal_worker.card.sketch import sketch_training
from shoal_worker.data.frame import Frame
from shoal_worker.training.outcome import Trained
from tests.unit.card.conftest import KEY, draw_case, record_of, train_case

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e\x00" + "x" * 5000
LOADING = {
    "href",
    "src",
    "srcset",
    "action",
    "data",
    "poster",
    "background",
    "style",
    "{http://www.w3.org/1999/xlink}href",
}


def parse(page: bytes) -> Element:
    """Parse a page; the parser refuses what is not valid."""
    document: Element = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page.decode())
    return document


def text_of(document: Element) -> str:
    """All that a reader sees."""
    return " ".join("".join(document.find("body").itertext()).split())  # type: ignore[union-attr]


def check_alone(document: Element) -> None:
    """Nothing of the page runs or is loaded."""
    tags = {element.tag for element in document.iter() if isinstance(element.tag, str)}
    assert not tags & {"script", "link", "iframe", "object", "embed", "img", "form", "base", "image", "use", "a"}
    for element in document.iter():
        assert not LOADING & set(element.attrib), element.attrib
        assert not [name for name in element.attrib if name.startswith("on")], element.attrib
    style = "".join(each.text or "" for each in document.iter("style"))
    assert "url(" not in style
    assert "@import" not in style
    (policy,) = (each.get("content") for each in document.iter("meta") if each.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("show_points", [True, False], ids=["points", "density"])
def test_a_page_is_valid_and_stands_alone(case: tuple[Frame, Trained], show_points: bool) -> None:
    facts, sketch, card = draw_case(case, show_points=show_points)
    document = parse(card["card.html"])
    check_alone(document)
    assert document.get("lang") == "en"
    assert document.findtext("head/title") == "demo/towns v3 · model card"
    headings = ["".join(each.itertext()) for each in document.iter("h2")]
    assert headings == [
        "Clusters",
        "Sizes, in rows",
        "k-distance curve",
        "Validation",
        "Clusters over versions",
        "Parameters",
        "Data",
        "Lineage",
    ]
    told = text_of(document)
    for part in ("s3://data/towns.parquet", facts.lineage[1][1], "1a2b3c4d", "2026-05-01T00:00:00Z", "shoal-engine"):
        assert part in told
    tests = {test.name for test in case[1].validation.tests}
    rows = [each for each in document.iter("tr") if each.find("td/span") is not None]
    assert len(rows) == len(tests)
    for drawing in document.iter("{http://www.w3.org/2000/svg}svg"):
        assert drawing.get("role") == "img"
        title, description = (drawing.find(f"{{http://www.w3.org/2000/svg}}{tag}") for tag in ("title", "desc"))
        assert title is not None
        assert title.text
        assert description is not None
        assert description.text
        assert drawing.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert "nan" not in re.sub(r"<style>.*?</style>", "", card["card.html"].decode(), flags=re.S).lower().split()
    assert len(sketch.labels) == (len(case[1].points) if show_points else 0)


def test_equal_input_gives_equal_bytes() -> None:
    case = train_case("plane")
    assert draw_case(case)[2] == draw_case(case)[2]


def test_a_rejected_version_says_so_and_why() -> None:
    told = text_of(parse(draw_case(train_case("noise"))[2]["card.html"]))
    assert "✗ rejected by its validation" in told
    assert "Rejected for min clusters: measured 0, wanted >= 1" in told
    assert "min clusters✗ failmeasured 0, wanted >= 1" in told


def test_what_became_of_clusters_is_told_in_words() -> None:
    frame, trained = train_case("plane")
    events = [
        {
            "kind": "Split",
            "cluster": 3,
            "rows": 0.21,
            "portions": [{"cluster": 3, "share": 0.7}, {"cluster": -1, "share": 0.3}],
        },
        {"kind": "Died", "cluster": 8, "rows": 0.01, "portions": [{"cluster": -1, "share": 1.0}]},
    ]
    identity = {"baseline": 2, "kept": 5, "born": 1, "died": 1, "split": 1, "merged": 0, "events": events}
    record = record_of(trained, identity=identity)
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    told = text_of(parse(draw_card(facts_of(KEY, record), sketch)["card.html"]))
    assert "Compared with version 2" in told
    assert "Cluster 3 split into 3 (70 %), noise (30 %)" in told
    assert "Cluster 8 is gone; its rows are in noise (100 %)" in told
    lost = record_of(trained, identity={**identity, "problem": "it is corrupt"})
    told = text_of(parse(draw_card(facts_of(KEY, lost), sketch)["card.html"]))
    assert "Version 2 could not be continued, so all ids are new: it is corrupt" in told


@pytest.mark.parametrize("kind", [list, tuple], ids=["stored", "made"])
def test_a_search_is_told_with_its_best_trials(kind: type) -> None:
    frame, trained = train_case("plane")
    best = [{"eps": 0.123, "minSamples": 4, "score": 0.9, "clusters": 2, "noiseRatio": 0.005}]
    search = {"objective": "dbcv", "trials": 40, "rows": 201, "stopped": "", "best": kind(best)}
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    document = parse(draw_card(facts_of(KEY, record_of(trained, search=search)), sketch)["card.html"])
    assert "40 trials on 201 rows, by dbcv." in text_of(document)
    rows = [[cell.text for cell in row] for row in document.iter("tr")]
    assert ["0.123", "4", "0.9", "2", "0.005"] in rows


def hostile(value: Any) -> Any:
    """The same structure, with hostile texts and names."""
    if isinstance(value, dict):
        return {**{key: hostile(each) for key, each in value.items()}, HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [*(hostile(each) for each in value), HOSTILE, {HOSTILE: HOSTILE}]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_texts_are_shown_as_texts_and_bounded() -> None:
    frame, trained = train_case("plane")
    record = record_of(trained)
    report = hostile({**record.report, "preprocessing": [{"scale": {"columns": ["x"]}}], "search": {"best": [{}]}})
    record = record.model_copy(update={"report": report, "source": HOSTILE, "labels": {"a": HOSTILE}})
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    card = draw_card(facts_of(KEY, record), sketch)
    document = parse(card["card.html"])
    check_alone(document)
    assert "<script>alert(1)" in text_of(document)
    assert "\u202e" not in card["card.html"].decode()
    assert len(card["card.html"]) < 300_000
    assert card["card.png"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"metrics": [], "algorithm": "x", "validation": 3, "search": [], "identity": None, "schema": 1},
        {"algorithm": {"dbscan": {"eps": [1], "metric": {}}}, "metrics": {"rows": "many", "silhouette": float("nan")}},
        {"validation": {"tests": [{}, {"verdict": []}, 3], "warnings": [None, {}]}, "preprocessing": {}},
        {"search": {"trials": "x", "best": [{"eps": {}}]}},
        {"identity": {"baseline": "2", "kept": "x", "events": [{}, {"portions": [{}]}]}},
    ],
)
def test_a_record_of_another_kind_still_gives_a_page(report: dict[str, Any]) -> None:
    frame, trained = train_case("plane")
    facts = read_facts("towns", report, passed=False, lineage=[])
    sketch = sketch_training(frame, trained.points, trained.fitted.labels, trained.artifact)
    check_alone(parse(draw_card(facts, sketch)["card.html"]))

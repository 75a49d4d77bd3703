"""The page of figures: every table of every suite is in it, and nothing is left to fill in."""

from pathlib import Path

from tests.bench import machine, page

FIT = {"data": "blobs", "n": 100_000, "d": 2, "kind": "typ", "eps": 0.1, "status": "ok", "detail": "", "fits": 3}
ROWS = {
    "fit": [
        {**FIT, "name": "shoal", "seconds": 0.1, "extra_bytes": 4e6, "verdict": "equal", "against": "scikit-learn"},
        {**FIT, "name": "scikit-learn", "seconds": 2.0, "extra_bytes": 9e7, "verdict": "reference"},
    ],
    "size": [{"what": "wheel", "bytes": 400_000}],
    "choices": [
        {"question": "index", "n": 200_000, "d": 2, "index": "grid", "seconds": 0.01},
        {"question": "mapping", "status": "failed", "detail": "AttributeError: from_arrays"},
    ],
}


def test_the_page_shows_what_ran_and_says_what_did_not() -> None:
    known = {name: {**machine.describe(), "rows": rows} for name, rows in ROWS.items()}
    text = page.render(known, [Path("benchmarks/time-by-n.svg")])
    assert "$" not in text
    assert "| blobs | 100k | 2 | typ | 100 ms, 4 MB = | 2 s, 90 MB | 20x |" in text
    assert "| fit, d = 2, lowest ratio to the fastest peer | ≥ 10x | 20x | met |" in text
    assert "![time-by-n](benchmarks/time-by-n.svg)" in text
    assert "failed AttributeError: from_arrays" in text
    assert text.count("Not measured yet.") == 2
    assert "fit (" in text

"""docs/engine.md runs as printed: its Python blocks in order, and each prints the text block below it."""

import contextlib
import io
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "engine.md"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?", flags=re.M | re.S)


def test_every_block_prints_what_the_guide_says() -> None:
    text = GUIDE.read_text()
    names: dict[str, object] = {"__name__": "guide"}
    blocks = list(BLOCK.finditer(text))
    assert len(blocks) == text.count("```python")
    for block in blocks:
        line = text[: block.start()].count("\n") + 2
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # The number of lines before the block makes tracebacks show the guide's own.
            exec(compile("\n" * (line - 1) + block["code"], str(GUIDE), "exec"), names)
        if printed.getvalue() != (block["output"] or ""):
            pytest.fail(f"docs/engine.md:{line} prints\n{printed.getvalue()}instead of\n{block['output']}")


def test_every_picture_is_there() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", GUIDE.read_text())
    assert pictures
    for picture in pictures:
        size = (GUIDE.parent / picture).stat().st_size
        assert 0 < size <= 150_000

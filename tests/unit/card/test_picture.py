"""The picture is a PNG of the agreed size, drawn of nothing but itself."""

from __future__ import annotations

import struct
from xml.etree import ElementTree

from shoal_worker.card.picture import WIDTH, render_svg
from shoal_worker.card.plots import choose_colours
from shoal_worker.data.frame import Frame
from shoal_worker.training.outcome import Trained
from tests.unit.card.conftest import draw_case, train_case


def test_a_picture_is_a_png(case: tuple[Frame, Trained]) -> None:
    picture = draw_case(case)[2]["card.png"]
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture[16:24]) == (1600, 900)
    assert len(picture) < 1 << 20


def test_its_drawing_refers_to_nothing_and_stays_inside() -> None:
    facts, sketch, _ = draw_case(train_case("many"))
    drawing = render_svg(facts, sketch, choose_colours(sketch))
    root = ElementTree.fromstring(drawing)
    assert "href" not in drawing
    assert "url(" not in drawing
    assert "var(" not in drawing
    assert all(0 <= float(each.get("x", 0)) <= WIDTH for each in root.iter("{http://www.w3.org/2000/svg}text"))

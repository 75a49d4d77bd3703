"""The training's Job keeps a card beside the artifact, and the command line fetches it, as the version's files move."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import obstore
import pytest

from hack.lab.install import STORE_BUCKET, STORE_NAMESPACE, credentials, open_bucket, port_forward
from hack.lab.kube import Kube, Object
from hack.lab.objects import build_model
from shoal_cli.__main__ import main
from tests.e2e.scene import NAME, Scene

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

STORE = f"s3://{STORE_BUCKET}/models"
Shoal = Callable[..., str]


@pytest.fixture
def shoal(kube: Kube, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shoal]:
    """`shoal models …` on the store, its port forwarded; returns what it says."""
    with port_forward(kube, STORE_NAMESPACE, "service/s3", 7070) as port:
        for name, value in credentials(kube).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

        def run(*words: str, code: int = 0) -> str:
            said = io.StringIO()
            with redirect_stdout(said), redirect_stderr(said):
                found = main(["models", *words, "--store", STORE])
            assert found == code, said.getvalue()
            return said.getvalue()

        yield run


def apply(scene: Scene, eps: float, *, points: bool) -> None:
    """Apply the blobs' model with this eps, and whether its cards may show points."""
    model: Object = build_model(NAME, "s3://shoal-data/e2e/blobs.parquet", columns=["x", "y"], eps=eps, minSamples=5)
    model["spec"]["card"] = {"points": points}
    scene.kube.apply(scene.namespace, model)


def cards(kube: Kube, version: Object) -> set[str]:
    """Names of the model's cards beside a version's artifact, which versions of other tests may share."""
    folder = version["spec"]["artifact"]["uri"].removeprefix(f"s3://{STORE_BUCKET}/")
    with open_bucket(kube, STORE_BUCKET) as store:
        found = [each["path"] for page in obstore.list(store, prefix=f"{folder}/") for each in page]
    names = {path.rpartition("/")[2] for path in found if ".card." in path}
    return {name for name in names if name.startswith(f"{version['metadata']['namespace']}.")}


def test_each_version_has_its_card(scene: Scene, kube: Kube, shoal: Shoal, tmp_path: Path) -> None:
    """One with points and one without; archived and deleted, the card goes with the version."""
    apply(scene, 0.5, points=True)
    first = scene.await_version(1)
    apply(scene, 0.55, points=False)
    second = scene.await_version(2)
    stem = f"{scene.namespace}.{NAME}"
    assert cards(kube, first) == {f"{stem}-v1.card.html", f"{stem}-v1.card.png"}
    assert cards(kube, second) == {f"{stem}-v2.card.html", f"{stem}-v2.card.png"}
    assert not [each for each in first["spec"]["validation"].get("warnings", []) if each.startswith("card")]

    path, model = tmp_path / "card", f"{scene.namespace}/{NAME}"
    assert shoal("card", model, "1", "-o", str(path)) == f"{path}\n", "it is the stored one"
    page = path.read_text()
    assert f"{model}<span> version 1</span>" in page
    assert "s3://shoal-data/e2e/blobs.parquet" in page
    assert first["spec"]["artifact"]["digest"] in page
    assert re.search(r"[0-9,]+ rows of the training data are on this card", page)
    shoal("card", model, "1", "--png", "-o", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")
    shoal("card", model, "2", "-o", str(path))
    page = path.read_text()
    assert "No row of the training data is on this card" in page
    assert "Compared with version 1" in page

    shoal("archive", model, "1", "--yes")
    assert cards(kube, first) == set()
    assert shoal("card", model, "1", "-o", str(path)) == f"{path}\n"
    shoal("unarchive", model, "1")
    assert cards(kube, first) == {f"{stem}-v1.card.html", f"{stem}-v1.card.png"}
    shoal("delete", model, "1", "--yes")
    assert cards(kube, first) == set()
    assert "was deleted" in shoal("card", model, "1", "-o", str(path), code=2).replace("\n", " ")

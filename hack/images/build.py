"""Builds the images and brings them into a cluster: by buildah and containerd, or by Docker and kind. Called by cli.py.

An image whose tag is already there is neither built nor loaded again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import kind, runtime
from hack.cluster.binaries import digest
from hack.cluster.layout import Layout
from hack.cluster.process import ClusterError, run, succeeds
from hack.cluster.progress import Steps
from hack.images import base, blobs, wheels
from hack.images.buildah import Buildah
from hack.images.sources import Requirements, split_off

DEFAULT_REPOSITORY = "docker.io/shoal"
CONTAINERFILE = Path(__file__).with_name("Containerfile")
IMAGES = {"operator": "shoal-operator", "worker": "shoal-worker"}


@dataclass(frozen=True, slots=True)
class Image:
    """One image to have: what it is made from, and its name, which follows from that."""

    short: str
    package: str
    name: str
    requirements: Requirements
    hashes: tuple[str, ...]


def repository() -> str:
    """Return the first part of the images' names."""
    return os.environ.get("SHOAL_IMAGE_REPOSITORY") or DEFAULT_REPOSITORY


def image(layout: Layout, short: str) -> Image:
    """Describe an image from the sources as they are."""
    package = IMAGES[short]
    requirements, hashes = wheels.describe(layout, package)
    parts = [short, CONTAINERFILE.read_text(), base.recipe(), requirements.others, *hashes]
    tag = digest(part.encode() for part in parts)
    return Image(short, package, f"{repository()}/{short}:{tag}", requirements, hashes)


@contextmanager
def context(layout: Layout, steps: Steps, image: Image) -> Iterator[Path]:
    """Prepare the build context outside the checkout: requirements, others' wheels, our wheels."""
    theirs = wheels.others(layout, steps, image.package, image.requirements.others)
    ours = [
        wheels.own(layout, steps, member, image.requirements.members, hashed)
        for member, hashed in zip(image.requirements.members, image.hashes, strict=True)
    ]
    with tempfile.TemporaryDirectory(dir=layout.cache) as scratch:
        folder = Path(scratch)
        (folder / "requirements.txt").write_text(split_off(image.requirements.others, wheels.WITHOUT_WHEEL)[0])
        link_files(theirs / "wheels", folder / "wheels")
        next((folder / "wheels").glob("pip-*.whl")).rename(folder / "pip.whl")
        for built in (theirs / "built", *ours):
            link_files(built, folder / "own")
        yield folder


def link_files(source: Path, target: Path) -> None:
    """Show files in another folder of the same disk without copying them."""
    target.mkdir(exist_ok=True)
    for file in source.iterdir():
        os.link(file, target / file.name)


def build_with_buildah(layout: Layout, steps: Steps, image: Image, buildah: Buildah) -> None:
    """Build one image into our own store, unless it is there."""
    if image.name in buildah.names():
        return
    base.prepare(buildah, steps)
    with context(layout, steps, image) as folder, steps.step(f"building {image.name}"):
        buildah.build(
            CONTAINERFILE, image.short, folder, image.name, layout.cache / "logs" / f"image-{image.short}.log"
        )
    buildah.forget_older(image.name)


def build_with_docker(layout: Layout, steps: Steps, image: Image) -> None:
    """Build one image by Docker, unless it is there."""
    if succeeds(["docker", "image", "inspect", image.name]):
        return
    with context(layout, steps, image) as folder, steps.step(f"building {image.name}"):
        log = layout.cache / "logs" / f"image-{image.short}.log"
        source = ["--file", str(CONTAINERFILE), "--target", image.short]
        run(["docker", "build", *source, "--tag", image.name, folder], log=log)


def load_into_node(layout: Layout, steps: Steps, images: list[Image], buildah: Buildah) -> None:
    """Bring the images that the node lacks into it."""
    if not runtime.answers(layout):
        steps.say("the local node does not run; the next `make images` after `make cluster-up` loads the images")
        return
    present = runtime.images(layout)
    for image in images:
        if image.name not in present:
            with steps.step(f"loading {image.name}"), tempfile.TemporaryDirectory(dir=layout.cache) as scratch:
                archive = Path(scratch, "image.tar")
                blobs.pack(buildah.export(image.name, image.short), image.name, runtime.blobs(layout), archive)
                runtime.import_archive(layout, archive)


def on_node(layout: Layout, steps: Steps, images: list[Image], *, load: bool) -> None:
    """Build without Docker; skip even the look into the store for images that the node holds."""
    if load and runtime.answers(layout) and {image.name for image in images} <= runtime.images(layout):
        return
    if shutil.which("buildah") is None:
        raise ClusterError("buildah is not installed; run hack/toolchain.sh as root")
    buildah = Buildah(layout.cache / "buildah")
    for image in images:
        build_with_buildah(layout, steps, image, buildah)
    if load:
        load_into_node(layout, steps, images, buildah)


def on_kind(layout: Layout, steps: Steps, images: list[Image], *, load: bool) -> None:
    """Build by Docker and load into kind's node."""
    for image in images:
        build_with_docker(layout, steps, image)
        if load:
            with steps.step(f"loading {image.name}"):
                run(["kind", "load", "docker-image", "--name", kind.NAME, image.name])


def on_current(layout: Layout, steps: Steps, images: list[Image], *, load: bool) -> None:
    """Build by Docker; push only to a repository that was named for it."""
    for image in images:
        build_with_docker(layout, steps, image)
        if load and repository() != DEFAULT_REPOSITORY:
            with steps.step(f"pushing {image.name}"):
                run(["docker", "push", image.name])
    if load and repository() == DEFAULT_REPOSITORY:
        steps.say("set SHOAL_IMAGE_REPOSITORY to a repository that the cluster can pull from; nothing was pushed")

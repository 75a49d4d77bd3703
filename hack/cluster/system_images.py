"""The images that the node itself needs, packed from built programs. Called by node.py and addons.py.

Their tags are the hashes of their programs: an image that the node holds under its tag is never packed again.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.binaries import ENVOY, Binaries
from hack.cluster.oci import Image, Layer, write_archive
from hack.cluster.process import run

NODE_PROGRAM = "/usr/local/bin/node"
VERSITYGW_PROGRAM = "/usr/local/bin/versitygw"


@dataclass(frozen=True, slots=True)
class SystemImages:
    """The names of the images that the cluster's own parts run from."""

    node: str
    envoy_gateway: str
    metrics_server: str
    versitygw: str
    envoy: str
    pause: str

    def all(self) -> tuple[str, ...]:
        """Every name."""
        return (self.node, self.envoy_gateway, self.metrics_server, self.versitygw, self.envoy, self.pause)


@dataclass(frozen=True, slots=True)
class Package:
    """One archive to make: its layer and the images in it."""

    layer: Layer
    images: tuple[Image, ...]


def tag(binary: Path) -> str:
    """Return the hash in a built program's file name."""
    return binary.name.rpartition("-")[2]


def names(binaries: Binaries) -> SystemImages:
    """Name the images of these programs."""
    node = tag(binaries.node)
    return SystemImages(
        node=f"docker.io/shoal/node:{node}",
        envoy_gateway=f"docker.io/shoal/envoy-gateway:{node}",
        metrics_server=f"docker.io/shoal/metrics-server:{node}",
        versitygw=f"docker.io/shoal/versitygw:{tag(binaries.versitygw)}",
        envoy=f"docker.io/envoyproxy/envoy:distroless-v{ENVOY}",
        pause=f"docker.io/shoal/pause:{tag(binaries.pause)}",
    )


def libraries(ldd: str) -> dict[str, Path]:
    """Read ldd's answer: where each shared library is wanted.

    >>> libraries("\\tlibm.so.6 => /lib/x/libm.so.6 (0x1)\\n\\t/lib64/ld.so.2 (0x2)\\n\\tvdso.so (0x3)")
    {'/lib/x/libm.so.6': PosixPath('/lib/x/libm.so.6'), '/lib64/ld.so.2': PosixPath('/lib64/ld.so.2')}
    """
    places = re.findall(r"(/\S+) \(0x", ldd)
    return {place: Path(place) for place in places}


def package_node(binaries: Binaries, images: SystemImages) -> Package:
    """The Go programs: one layer, three images that differ in the program they start."""
    links = {f"/usr/local/bin/{name}": "node" for name in ("coredns", "envoy-gateway", "metrics-server")}
    return Package(
        Layer(files={NODE_PROGRAM: binaries.node}, links=links, folders={"/tmp": 0o1777}),
        (
            Image(images.node, (NODE_PROGRAM,)),
            Image(images.envoy_gateway, ("/usr/local/bin/envoy-gateway",)),
            Image(images.metrics_server, ("/usr/local/bin/metrics-server",)),
        ),
    )


def package_envoy(binaries: Binaries, images: SystemImages) -> Package:
    """Envoy with the C library of this machine, and no shell."""
    needed = libraries(run(["ldd", binaries.envoy]))
    files = {"/usr/local/bin/envoy": binaries.envoy, **needed}
    return Package(Layer(files=files, folders={"/tmp": 0o1777}), (Image(images.envoy, ("/usr/local/bin/envoy",)),))


def package_static(binary: Path, program: str, image: str) -> Package:
    """Pack one static program."""
    return Package(Layer(files={program: binary}, folders={"/tmp": 0o1777}), (Image(image, (program,)),))


def packages(binaries: Binaries, present: frozenset[str]) -> list[Package]:
    """List the archives to make: those with an image that the node does not hold."""
    images = names(binaries)
    wanted: dict[str, Callable[[], Package]] = {
        images.pause: lambda: package_static(binaries.pause, "/pause", images.pause),
        images.node: lambda: package_node(binaries, images),
        images.versitygw: lambda: package_static(binaries.versitygw, VERSITYGW_PROGRAM, images.versitygw),
        images.envoy: lambda: package_envoy(binaries, images),
    }
    return [make() for name, make in wanted.items() if name not in present]


def write(package: Package, folder: Path) -> Path:
    """Write a package's archive and return its file."""
    target = folder / f"{package.images[0].name.rpartition('/')[2].replace(':', '-')}.tar"
    write_archive(target, package.layer, package.images, platform.machine())
    return target

"""Images: their names follow from their inputs, their archives hold what they must and no more."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from hack.cluster import oci
from hack.cluster.binaries import HASH_LENGTH, digest, node_build_arguments
from hack.cluster.system_images import libraries
from hack.images import base, blobs
from hack.images.sources import Member, belongs, member_hash, split_off, split_requirements
from hack.images.wheels import platforms

EXPORT = """-e ./worker
-e ./worker/engine
# a comment
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
"""


def test_a_hash_depends_on_where_one_input_ends() -> None:
    assert digest([b"ab", b"c"]) != digest([b"a", b"bc"])
    assert len(digest([b""])) == HASH_LENGTH


def test_an_export_is_split_into_members_and_pinned_packages() -> None:
    split = split_requirements(EXPORT)
    assert split.members == (Member("worker"), Member("worker/engine"))
    assert split.others.splitlines()[0].startswith("numpy==2.4.6")
    assert split.others.count("--hash") == 2
    assert split_requirements("-e ./worker\n-e ./worker/engine\n" + split.others) == split


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("shoal_worker/serve.py", True),
        ("pyproject.toml", True),
        ("engine/src/lib.rs", False),
        ("engine2/x.py", True),
        ("tests/test_x.py", False),
        ("target/release/x", False),
        ("shoal_engine/_engine.abi3.so", False),
    ],
)
def test_files_that_make_a_members_wheel(path: str, expected: bool) -> None:
    assert belongs(path, ["engine"]) is expected


def test_a_members_hash_follows_its_own_sources_only(tmp_path: Path) -> None:
    worker, engine = Member("worker"), Member("worker/engine")
    for name, text in (("worker/a.py", "a"), ("worker/engine/lib.rs", "b"), ("worker/tests/t.py", "c")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    before = member_hash(tmp_path, worker, [worker, engine])
    (tmp_path / "worker/engine/lib.rs").write_text("changed")
    (tmp_path / "worker/tests/t.py").write_text("changed")
    assert member_hash(tmp_path, worker, [worker, engine]) == before
    (tmp_path / "worker/a.py").write_text("changed")
    assert member_hash(tmp_path, worker, [worker, engine]) != before


def test_packages_without_wheels_are_told_from_the_others() -> None:
    numpy, nkeys = "numpy==2 \\\n    --hash=sha256:00\n", "nkeys==1 \\\n    --hash=sha256:01\n    --hash=sha256:02\n"
    assert split_off(nkeys + numpy, ["nkeys"]) == (numpy, nkeys)
    assert split_off(numpy, ["nkeys"]) == (numpy, "")


def test_wheels_are_chosen_for_this_processor_and_an_old_enough_c_library() -> None:
    tags = platforms("aarch64")[1::2]
    assert tags[0] == "manylinux_2_36_aarch64"
    assert "manylinux2014_aarch64" in tags


def test_the_stamped_version_is_the_modules_version() -> None:
    (flags,) = (word for word in node_build_arguments(Path("x")) if "gitVersion" in word)
    assert "gitVersion=v1.36.3" in flags
    assert "-mod=readonly" in node_build_arguments(Path("x"))
    assert " k8s.io/kubernetes v1.36.3" in Path("hack/cluster/node-binary/go.mod").read_text().replace("\t", " ")


def test_libraries_are_read_with_their_places() -> None:
    answer = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so.2 (0x3)\n"
    assert list(libraries(answer)) == ["/lib/x/libc.so.6", "/lib64/ld.so.2"]


def archive_of(tmp_path: Path, name: str) -> dict[str, bytes]:
    program = tmp_path / "program"
    program.write_bytes(b"program")
    layer = oci.Layer(files={"/bin/program": program}, links={"/bin/other": "program"}, folders={"/tmp": 0o1777})
    images = (oci.Image("r/a:1", ("/bin/program",)), oci.Image("r/b:1", ("/bin/other",)))
    oci.write_archive(tmp_path / name, layer, images, "x86_64")
    with tarfile.open(tmp_path / name) as tar:
        return {member.name: content.read() for member in tar if (content := tar.extractfile(member))}


def test_an_archive_holds_its_images_once_and_is_reproducible(tmp_path: Path) -> None:
    members = archive_of(tmp_path, "one.tar")
    archive_of(tmp_path, "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    index = json.loads(members["index.json"])
    assert [entry["annotations"]["io.containerd.image.name"] for entry in index["manifests"]] == ["r/a:1", "r/b:1"]
    manifests = [json.loads(members[name_of(entry["digest"])]) for entry in index["manifests"]]
    assert manifests[0]["layers"] == manifests[1]["layers"]
    config = json.loads(members[name_of(manifests[1]["config"]["digest"])])
    assert config["config"]["Entrypoint"] == ["/bin/other"]
    assert config["architecture"] == "amd64"
    assert set(members) == {"oci-layout", "index.json"} | {
        name_of(digest)
        for entry, manifest in zip(index["manifests"], manifests, strict=True)
        for digest in (entry["digest"], manifest["config"]["digest"], manifest["layers"][0]["digest"])
    }


def name_of(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def test_blobs_that_the_receiver_holds_stay_out_and_unused_ones_are_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "layout"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    manifest = {"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:big"}, {"digest": "sha256:small"}]}
    contents = {"m": json.dumps(manifest), "c": "{}", "big": "B", "small": "S", "stale": "x"}
    for name, text in contents.items():
        (folder / "blobs" / "sha256" / name).write_text(text)
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:m"}]}))
    blobs.pack(folder, "r/w:1", frozenset({"sha256:big", "sha256:m"}), tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as tar:
        names = tar.getnames()
        index = json.loads(tar.extractfile("index.json").read())  # type: ignore[union-attr]
    assert index["manifests"][0]["annotations"] == {"io.containerd.image.name": "r/w:1"}
    assert names == ["oci-layout", "index.json", "blobs/sha256/c", "blobs/sha256/m", "blobs/sha256/small"]
    assert not (folder / "blobs" / "sha256" / "stale").exists()


def test_the_base_image_gets_what_install_scripts_would_have_written(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in (
            ("./usr/share/base-passwd/passwd.master", "root:x"),
            ("./usr/share/ca-certificates/mozilla/A.crt", "A\n"),
            ("./usr/share/ca-certificates/mozilla/B.crt", "B\n"),
            ("./usr/share/doc/x/README", "unused"),
        ):
            base.add_file(tar, name, text.encode())
    buffer.seek(0)
    with tarfile.open(fileobj=buffer) as source, tarfile.open(tmp_path / "t.tar", "w") as target:
        base.trim(source, target)
    with tarfile.open(tmp_path / "t.tar") as tar:
        contents = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert contents["./etc/passwd"] == b"root:x"
    assert contents["./etc/ssl/certs/ca-certificates.crt"] == b"A\nB\n"
    assert "./usr/share/doc/x/README" not in contents

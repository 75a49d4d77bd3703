"""Regenerate the gRPC stubs of `worker/shoal_proto` from its .proto files, or check that they are current.

Run by hand after a .proto changed and by `make check` with `--check`. The stubs are committed, so that neither an image
build nor a user needs a protobuf compiler. Never touches a file outside `worker/shoal_proto`, and none with `--check`.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

SOURCE_ROOT = Path(__file__).resolve().parent.parent / "worker"
PACKAGE = "shoal_proto"


def generate(target_root: Path) -> list[Path]:
    """Compile every .proto of the package below `target_root`; return the generated files relative to it.

    Compiling from the source root makes the stubs import each other as `shoal_proto.<name>_pb2`.
    """
    sources = sorted(str(path.relative_to(SOURCE_ROOT)) for path in (SOURCE_ROOT / PACKAGE).glob("*.proto"))
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={SOURCE_ROOT}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={target_root}",
            f"--pyi_out={target_root}",
            f"--grpc_python_out={target_root}",
            *sources,
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status} on {', '.join(sources)}")
    return sorted(path.relative_to(target_root) for path in (target_root / PACKAGE).glob("*_pb2*.py*"))


def stale_stubs() -> list[str]:
    """Name the committed stubs that differ from freshly generated ones, are missing, or have no .proto any more."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = {path: (Path(scratch) / path).read_bytes() for path in generate(Path(scratch))}
    committed = {
        path.relative_to(SOURCE_ROOT): path.read_bytes() for path in (SOURCE_ROOT / PACKAGE).glob("*_pb2*.py*")
    }
    return sorted(str(path) for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path))


def main() -> int:
    """Generate, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a stub is out of date")
    if parser.parse_args().check:
        if stale := stale_stubs():
            print(f"out of date: {', '.join(stale)}; run: python hack/generate_proto.py", file=sys.stderr)
            return 1
        return 0
    for path in generate(SOURCE_ROOT):
        print(SOURCE_ROOT.name / path)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The engine's wheel: small, complete, and enough with numpy alone to run what its README shows.

The environment is a fresh one with that wheel and this environment's numpy, and nothing else; no index is asked.
"""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ENGINE = Path(__file__).parents[2] / "worker" / "engine"
CACHE = Path(os.environ.get("SHOAL_CACHE", Path.home() / ".cache" / "shoal"))
LARGEST = 5_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    environment = {"CARGO_TARGET_DIR": str(CACHE / "cargo-target"), **os.environ}
    maturin = Path(sys.executable).with_name("maturin")
    build = [maturin, "build", "--release", "--quiet", "--out", folder, "--manifest-path", ENGINE / "Cargo.toml"]
    subprocess.run(build, check=True, env=environment, timeout=900)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that runs the fresh environment's interpreter."""
    home = tmp_path_factory.mktemp("fresh") / "venv"
    uv = CACHE / "tools" / "bin" / "uv"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True, timeout=60)
    install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", home / "bin" / "python", wheel]
    subprocess.run(install, check=True, timeout=60)
    (packages,) = home.glob("lib/python*/site-packages")
    for name in ("numpy", "numpy.libs"):
        source = Path(np.__file__).parents[1] / name
        if source.exists():
            (packages / name).symlink_to(source)
    return [str(home / "bin" / "python"), "-I", "-W", "error"]


def test_is_small_and_complete(wheel: Path) -> None:
    assert wheel.stat().st_size <= LARGEST
    assert "cp311-abi3" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    wanted = {path.name for path in (ENGINE / "shoal_engine").glob("*.py*") if path.is_file()}
    assert {name.removeprefix("shoal_engine/") for name in names if not name.startswith("shoal_engine-")} == {
        *wanted,
        "py.typed",
        "_engine.abi3.so",
    }
    assert re.findall(r"^Requires-Dist: (.*)$", metadata, flags=re.MULTILINE) == ["numpy>=2.3"]


def test_runs_the_example_of_the_readme(python: list[str]) -> None:
    example, *_ = re.findall(r"^```python\n(.*?)^```$", (ENGINE / "README.md").read_text(), flags=re.M | re.S)
    assert len([line for line in example.splitlines() if line.strip()]) == 5
    done = subprocess.run([*python, "-c", example], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\[ *0 +-1\]", done.stdout)


def test_loads_numpy_and_nothing_else(python: list[str]) -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import shoal_engine; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run([*python, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) == {"numpy", "shoal_engine"}

"""Runs the package by its folder: `python3 hack/images load`. Only puts the repository on the path; holds no logic."""

import sys
from pathlib import Path

# In the place of this folder, whose modules must not be found by their bare names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from hack.images.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

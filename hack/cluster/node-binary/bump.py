"""Writes go.mod and go.sum of the node binary anew: `python3 hack/cluster/node-binary/bump.py [KUBERNETES]`.

Run by hand to move to other versions, which are named below and in hack/cluster/binaries.py; builds only read the
files. Kubernetes' own go.mod points its staging modules into its source tree; here they become the published ones.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = (
    "github.com/envoyproxy/gateway@v1.9.1",
    "sigs.k8s.io/metrics-server@v0.9.0",
    "github.com/coredns/coredns@v1.14.6",
    "helm.sh/helm/v4@v4.2.4",
)


def go(*arguments: str) -> str:
    """Run go with leave to change go.mod."""
    done = subprocess.run(
        ["go", *arguments], cwd=HERE, env={**os.environ, "GOFLAGS": "-mod=mod"}, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode()


def replacements(described: dict[str, list[dict[str, dict[str, str]]]], staging: str) -> list[str]:
    """Turn kubernetes' replacements into ours, as arguments of `go mod edit`."""
    arguments = []
    for entry in described["Replace"]:
        old, new = entry["Old"]["Path"], entry["New"]
        if new["Path"].startswith("./staging"):
            arguments.append(f"-replace={old}={old}@{staging}")
        else:
            arguments.append(f"-replace={old}={new['Path']}@{new['Version']}")
    return arguments


def main(version: str) -> None:
    """Write both files for a version of Kubernetes."""
    (HERE / "go.sum").unlink(missing_ok=True)
    (HERE / "go.mod").write_text(f"module shoal.dev/node\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v{version}\n")
    folder = Path(json.loads(go("mod", "download", "-json", f"k8s.io/kubernetes@v{version}"))["Dir"])
    described = json.loads(go("mod", "edit", "-json", str(folder / "go.mod")))
    go("mod", "edit", *replacements(described, f"v0.{version.removeprefix('1.')}"))
    go("get", *MODULES)
    go("mod", "tidy")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "1.36.3")

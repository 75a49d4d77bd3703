#!/usr/bin/env bash
# Brings the servers that the worker is measured against, each in an environment of its own, outside the checkout.
# Run by `make bench-serving` from the root of the checkout; quick when all is there.
set -euo pipefail

cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
uv=$cache/tools/bin/uv

command -v go >/dev/null || { echo "error: Go is not installed; the client is built with Go 1.26 or later (https://go.dev/dl)" >&2; exit 1; }
# The peers' versions are for these; uv brings one where the machine has none.
for peer in kserve mlserver; do
  UV_PROJECT_ENVIRONMENT=$cache/bench-serving/$peer "$uv" sync --quiet --frozen --project tests/bench_serving --extra "$peer"
done

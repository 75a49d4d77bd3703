#!/usr/bin/env bash
# Brings what the bench needs: the peers in an environment of their own, and the wheel of this checkout's engine,
# unpacked into dist/bench/engine. Run by `make bench-engine` from the root of the checkout; quick when all is there.
set -euo pipefail

cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
uv=$cache/tools/bin/uv

# open3d loads this library; the others bring all they need.
if ! ldconfig -p | grep -q 'libusb-1\.0\.so\.0'; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    log=$cache/apt.log
    install() { DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends libusb-1.0-0 >"$log" 2>&1; }
    install || { apt-get update >>"$log" 2>&1 && install; } || echo "open3d will fail: no libusb-1.0-0 ($log)" >&2
  else
    echo "open3d will fail: libusb-1.0-0 is not installed" >&2
  fi
fi

UV_PROJECT_ENVIRONMENT=$cache/bench/venv "$uv" sync --quiet --frozen --project tests/bench
rm -rf dist/bench
"$uv" build --quiet --wheel --out-dir dist/bench worker/engine
"$cache/bench/venv/bin/python" -m zipfile --extract dist/bench/shoal_engine-*.whl dist/bench/engine

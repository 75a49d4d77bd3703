#!/usr/bin/env bash
# Installs what building Shoal and running its local cluster need on a bare Debian or Ubuntu, and nothing that is there.
# Run by make and by `python3 hack/cluster up`; ends within a second where all is there. Never upgrades what it finds.
set -euo pipefail

cache=${SHOAL_CACHE:-$HOME/.cache/shoal}
tools=$cache/tools
# A root shell may lack these, and with them half of what is looked for.
PATH=$PATH:/usr/sbin:/sbin
uv_version=0.9

missing() { echo "error: $*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# command or file -> the apt package that brings it
packages=()
want() { [ -e "$1" ] || has "$1" || packages+=("$2"); }
want git git
want cc gcc
want c++ g++
want make make
want openssl openssl
want /usr/include/stdlib.h libc6-dev
want /etc/ssl/certs/ca-certificates.crt ca-certificates
# The tests run a server of their own from it; Debian would start one for the whole machine, which nobody asked for.
if [ ! -e /usr/lib/postgresql ] && ! has postgres; then
  packages+=(postgresql)
  own_postgres=1
fi
if ! has nats-server; then
  packages+=(nats-server)
  own_nats=1
fi
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
# The local node and its images; where kind is there and Docker answers, these two do it instead.
case ${CLUSTER:-auto} in
  node) node=1 ;;
  kind | current) node=0 ;;
  *) if has kind && docker info >/dev/null 2>&1; then node=0; else node=1; fi ;;
esac
if [ "$node" = 1 ]; then
  want containerd containerd
  want runc runc
  want /usr/lib/cni/bridge containernetworking-plugins
  want buildah buildah
  want mmdebstrap mmdebstrap
  want /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
  want iptables iptables
  want nft nftables
  want conntrack conntrack
  want ip iproute2
  want socat socat
  want nsenter util-linux
  want sysctl procps
fi

has python3 || missing "python3 is not installed; Shoal needs Python 3.11 or later (apt-get install python3)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  missing "python3 is $(python3 -V | cut -d' ' -f2); Shoal needs Python 3.11 or later"

if [ ${#packages[@]} -gt 0 ]; then
  has apt-get || missing "not installed: ${packages[*]}; this machine has no apt-get, so install them by its own means"
  [ "$(id -u)" = 0 ] || missing "not installed: ${packages[*]}; run as root, or: sudo apt-get install ${packages[*]}"
  echo "installing ${packages[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  if [ "${own_postgres:-0}" = 1 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
  fi
  if [ "${own_nats:-0}" = 1 ] && [ -d /run/systemd/system ] && [ ! -e /etc/systemd/system/nats-server.service ]; then
    systemctl mask --quiet nats-server
    unmask=1
  fi
  # Old lists may be absent or stale; they are fetched only when the first try fails.
  install() { apt-get install --yes --no-install-recommends "${packages[@]}" >"$cache/apt.log" 2>&1; }
  mkdir -p "$cache"
  install || { apt-get update >>"$cache/apt.log" 2>&1 && install; } ||
    { tail -n 20 "$cache/apt.log" >&2; missing "apt-get could not install ${packages[*]} (log: $cache/apt.log)"; }
  [ "${unmask:-0}" = 0 ] || systemctl unmask --quiet nats-server
fi

if [ "$node" = 1 ]; then
  has go || missing "Go is not installed; the local node is built with Go 1.26 or later (https://go.dev/dl), or install Docker and kind"
  version=$(go env GOVERSION) && version=${version#go}
  [ "$(printf '1.26\n%s\n' "$version" | sort -V | head -n 1)" = 1.26 ] ||
    missing "Go is $version; the local node is built with Go 1.26 or later (https://go.dev/dl)"
fi
has cargo || missing "cargo is not installed; the engine is built with Rust (https://rustup.rs)"

if [ ! -x "$tools/bin/uv" ] || [ ! -x "$tools/bin/pip" ]; then
  echo "installing uv into $tools" >&2
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "uv>=$uv_version"
fi

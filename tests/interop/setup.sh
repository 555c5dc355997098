#!/usr/bin/env bash
# Brings the peers that the scripts here talk with: programs by apt-get (as root, where one is missing), a Python with
# requirements.txt in target/interop/venv, node_modules, and the Go programs in go/bin. Quick where all is there.
# Python, Node with npm, and Go must be there.
set -euo pipefail
cd "$(dirname "$0")"
venv=../../target/interop/venv

need() { # a program, and the package that brings it
  command -v "$1" >/dev/null && return
  [ -n "${apt_updated:-}" ] || { apt-get update -qq; apt_updated=1; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null
}

need nc netcat-openbsd
need curl curl
need openssl openssl
need strace strace
need haproxy haproxy
need chromium chromium

if ! cmp -s requirements.txt "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv" 2>/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    python3 -m venv --clear "$venv"
  }
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$venv/"
fi

if ! cmp -s package-lock.json node_modules/package-lock.json; then
  npm ci --silent --no-audit --no-fund
  cp package-lock.json node_modules/
fi

(cd go && go build -o bin/ ./...)
(cd go/gorilla && go build -o ../bin/ .)

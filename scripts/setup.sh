#!/usr/bin/env bash
# Installs what the given purpose needs and is missing: by apt when it can, else says exactly what.
# Usage: scripts/setup.sh build|test|sdk|lint|oracle|release|bench|stages|prometheus|compose|fuzz
set -euo pipefail
purpose=${1:-build}

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v curl >/dev/null || missing+=(curl)
if [ "$purpose" = test ] || [ "$purpose" = sdk ]; then
  command -v python3 >/dev/null || missing+=(python3)
  python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
fi
if [ "$purpose" = test ] || [ "$purpose" = bench ] || [ "${STORE:-}" = postgres ]; then
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing+=(postgresql)
fi
if [ "$purpose" = release ] || [ "$purpose" = bench ]; then
  command -v python3 >/dev/null || missing+=(python3)
  if ! command -v llvm-bolt-22 llvm-bolt >/dev/null; then
    # Where there is none, scripts/release.sh goes without, and says so.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-cache show bolt-22 >/dev/null 2>&1; then
      missing+=(bolt-22)
    fi
  fi
fi
if [ "$purpose" = bench ]; then
  command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
fi
if [ "$purpose" = stages ]; then
  command -v python3 >/dev/null || missing+=(python3)
  command -v valgrind >/dev/null || missing+=(valgrind)
fi
if [ "$purpose" = fuzz ]; then
  command -v c++ >/dev/null || missing+=(g++)
fi
if [ "$purpose" = prometheus ]; then
  command -v python3 >/dev/null || missing+=(python3)
  { command -v prometheus && command -v promtool; } >/dev/null || missing+=(prometheus)
fi
if [ "$purpose" = compose ]; then
  command -v docker-compose >/dev/null || missing+=(docker-compose)
fi
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}" >&2
    # What is installed for a test runs when the test says so, not as a service of the machine.
    policy=/usr/sbin/policy-rc.d
    if [ "$purpose" = prometheus ] && [ ! -e "$policy" ]; then
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod +x "$policy"
      trap 'rm -f "$policy"' EXIT
    fi
    case $purpose in prometheus | compose) only=--no-install-recommends ;; *) only= ;; esac
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $only "${missing[@]}" >/dev/null
    case " ${missing[*]} " in
      *" prometheus "*) ! command -v systemctl >/dev/null || systemctl disable --quiet prometheus 2>/dev/null || true ;;
    esac
  else
    echo "missing: ${missing[*]}; install them, on Debian: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
fi
if ! command -v cargo >/dev/null; then
  echo "missing: Rust 1.95 or newer; install it from https://rustup.rs and run this again" >&2
  exit 1
fi
have=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '1.95.0\n%s\n' "$have" | sort -V | head -n1)" != 1.95.0 ]; then
  echo "Rust $have is too old; 1.95 or newer is needed: rustup update stable" >&2
  exit 1
fi
if [ "$purpose" = lint ] && ! command -v cargo-deny >/dev/null; then
  echo "installing cargo-deny" >&2
  cargo install --quiet --locked cargo-deny
fi
if [ "$purpose" = oracle ] || [ "$purpose" = sdk ]; then
  node_major=$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/')
  if [ "${node_major:-0}" -lt 20 ] || ! command -v npm >/dev/null; then
    echo "missing: Node.js 20 or newer with npm (https://nodejs.org)" >&2
    exit 1
  fi
  case $purpose in oracle) folder=tests/oracle ;; *) folder=tests/sdk/node ;; esac
  # .npmrc there says: no install scripts, so nothing is compiled or downloaded but the packages of the lock file.
  lock=$folder/package-lock.json installed=$folder/node_modules/.package-lock.json
  if [ ! -e "$installed" ] || [ "$lock" -nt "$installed" ]; then
    (cd "$folder" && npm ci --loglevel=error >/dev/null)
  fi
fi

#!/usr/bin/env bash
# `make run`: builds, then `tollgate up`: gateway, local worker with the shipped model, demo customer and key, until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cargo build --release -p tollgate
build_worker release
exec "${CARGO_TARGET_DIR:-target}/release/tollgate" up \
  --listen "127.0.0.1:${PORT:-8080}" --admin-listen "127.0.0.1:${ADMIN_PORT:-8081}"

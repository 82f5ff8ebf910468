#!/usr/bin/env bash
# `make run`: builds, then `tollgate up`: gateway, local worker with the shipped model, demo customer and key, until Ctrl-C.
# STORE=postgres keeps the books in a private Postgres, below data/postgres.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cargo build --release -p tollgate
build_worker release
up=("${CARGO_TARGET_DIR:-target}/release/tollgate" up
  --listen "127.0.0.1:${PORT:-8080}" --admin-listen "127.0.0.1:${ADMIN_PORT:-8081}")
[ "${STORE:-}" = postgres ] || exec "${up[@]}"

TOLLGATE_STORE__URL=$(FSYNC=on scripts/postgres.sh start data/postgres)
export TOLLGATE_STORE__URL
trap 'scripts/postgres.sh stop data/postgres' EXIT
echo "The books are in Postgres: psql $TOLLGATE_STORE__URL"
"${up[@]}" &
gateway=$!
# The database goes last: what the gateway posts on its way out must find it.
trap 'kill -TERM "$gateway" 2>/dev/null || true' INT TERM
while kill -0 "$gateway" 2>/dev/null; do wait "$gateway" || true; done

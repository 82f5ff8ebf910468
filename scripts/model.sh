#!/usr/bin/env bash
# `make model`: trains the small model again. The same seed gives the same weights on the same kind of machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
build_worker release
exec "${CARGO_TARGET_DIR:-target}/release/tollgate-worker" train --out models/small --force "$@"

#!/usr/bin/env bash
# Builds the release worker for the processor of this machine, beside the release gateway.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
build_worker release

#!/usr/bin/env bash
# A real worker behind a real gateway: 500 random requests by the official SDK, each entry held against the tokenizer, all
# costs against the device's busy time; the worker killed under load; then the audit.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cargo build --quiet -p tollgate -p tollgate-worker
bin=$(pwd)/${CARGO_TARGET_DIR:-target}/debug
dir=$(mktemp -d)
pids=()
stop() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"; }
trap stop EXIT

data=$(free_port) admin=$(free_port) worker=$(free_port)
cat >"$dir/tollgate.toml" <<TOML
[server]
listen = "127.0.0.1:$data"
admin_listen = "127.0.0.1:$admin"
data_dir = "$dir/data"
[[worker]]
name = "local"
url = "http://127.0.0.1:$worker"
models = ["tollgate-small"]
device_usd_per_hour = "0.10"
device_watts = "20"
usd_per_kwh = "0.20"
pue = "1.25"
spawn = ["tollgate-worker", "serve", "--model", "shipped", "--engine-threads", "2", "--queue-max", "256"]
TOML
tollgate() { "$bin/tollgate" --config "$dir/tollgate.toml" "$@"; }
"$bin/tollgate" --config "$dir/tollgate.toml" serve >"$dir/gateway.log" 2>&1 & pids+=($!)
wait_for "http://127.0.0.1:$admin/readyz" 20 && wait_for "http://127.0.0.1:$worker/ready" 20 || { cat "$dir/gateway.log" >&2; exit 1; }
customer=$(tollgate customers create "Worker tests" --json | json id)
TOLLGATE_KEY=$(tollgate keys create --customer "$customer" --json | json key)
export TOLLGATE_KEY TOLLGATE_BASE_URL=http://127.0.0.1:$data/v1 TOLLGATE_ADMIN_URL=http://127.0.0.1:$admin
TOLLGATE_ADMIN_TOKEN=$(cat "$dir/data/admin-token")
export TOLLGATE_ADMIN_TOKEN TOLLGATE_WORKER_URL=http://127.0.0.1:$worker TOLLGATE_MODEL_DIR=models/small
# 0.10 an hour and 20 W x 1.25 at 0.20 a kWh
export TOLLGATE_DEVICE_USD_PER_HOUR=0.105
tests/sdk/python/worker.sh worker_books.py
tests/sdk/python/worker.sh worker_killed.py
# Whatever happened, the books hold together.
tollgate audit

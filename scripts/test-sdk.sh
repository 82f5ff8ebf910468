#!/usr/bin/env bash
# The official OpenAI SDK against a gateway in front of the scripted upstream, on free ports and a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cargo build --quiet
# What is held against botocore (test_aws_wire.py).
cargo build --quiet --examples -p tollgate -p tollgate-eventstream
bin=$(pwd)/${CARGO_TARGET_DIR:-target}/debug
dir=$(mktemp -d)
pids=()
stop() { for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done; wait 2>/dev/null || true; rm -rf "$dir"; }
trap stop EXIT

upstream=$(free_port) data=$(free_port) admin=$(free_port)
"$bin/tollgate-fake-upstream" --listen "127.0.0.1:$upstream" >"$dir/upstream.log" 2>&1 & pids+=($!)
cat >"$dir/tollgate.toml" <<TOML
[server]
listen = "127.0.0.1:$data"
admin_listen = "127.0.0.1:$admin"
data_dir = "$dir/data"
[[provider]]
name = "demo"
base_url = "http://127.0.0.1:$upstream/v1"
allow_private = true
[prices]
dir = "$dir/pricing"
TOML
mkdir "$dir/pricing"
cp pricing/books.toml "$dir/pricing/"
sed -e 's/"demo-model"/"test-model"/; s/"demo-embedding"/"test-embedding"/' pricing/demo.toml >"$dir/pricing/test.toml"
tollgate() { "$bin/tollgate" --config "$dir/tollgate.toml" "$@"; }
"$bin/tollgate" --config "$dir/tollgate.toml" serve >"$dir/gateway.log" 2>&1 & pids+=($!)
wait_for "http://127.0.0.1:$admin/readyz" 20 || { cat "$dir/gateway.log" >&2; exit 1; }

customer=$(tollgate customers create "SDK tests" --json | json id)
export TOLLGATE_BASE_URL=http://127.0.0.1:$data/v1
export TOLLGATE_MODEL=test-model TOLLGATE_EMBEDDING_MODEL=test-embedding
TOLLGATE_KEY=$(tollgate keys create --customer "$customer" --rpm 100000 --json | json key)
TOLLGATE_LIMITED_KEY=$(tollgate keys create --customer "$customer" --rpm 3 --json | json key)
tollgate audit >/dev/null
export TOLLGATE_KEY TOLLGATE_LIMITED_KEY
TOLLGATE_ADMIN_URL=http://127.0.0.1:$admin TOLLGATE_ADMIN_TOKEN=$(cat "$dir/data/admin-token") tests/sdk/python/run.sh "$@"
# Whatever the SDK did, the books hold together.
tollgate audit

#!/usr/bin/env bash
# Official SDKs against a gateway in front of the scripted upstream, on free ports and a folder of its own.
# Usage: scripts/test-sdk.sh [all] [arguments of pytest]: OpenAI's and Anthropic's in Python; with "all" every dialect's, and Node.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
which=few
if [ "${1:-}" = all ]; then which=all; shift; fi
cargo build --quiet
# What is held against botocore (test_aws_wire.py).
if [ "$which" = all ]; then cargo build --quiet --examples -p tollgate -p tollgate-eventstream; fi
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
$(for row in "anthropic claude-test" "gemini gemini-test" "ollama llama-test" "cohere command-test" "bedrock us.anthropic.claude-test-v1:0"; do
  cat <<PROVIDER
[[provider]]
name = "${row% *}-fake"
dialect = "${row% *}"
base_url = "http://127.0.0.1:$upstream"
allow_private = true
PROVIDER
done)
# What stalls after its client left is given up soon.
[drain]
ms_max = 1000
[batches]
poll_ms_min = 100
poll_ms_max = 200
[prices]
dir = "$dir/pricing"
TOML
mkdir "$dir/pricing"
cp pricing/books.toml "$dir/pricing/"
sed -e 's/^model = "demo-model"$/model = "test-model"\nusd_per_unit = { character = "0.000015" }/; s/"demo-embedding"/"test-embedding"/' pricing/demo.toml >"$dir/pricing/test.toml"
for row in "anthropic claude-test" "gemini gemini-test" "ollama llama-test" "cohere command-test" "bedrock us.anthropic.claude-test-v1:0"; do
  cat >"$dir/pricing/${row% *}.toml" <<TOML
[[price]]
provider = "${row% *}-fake"
model = "${row#* }"
valid_from = "2025-01-01"
recorded_at = "2025-01-01"
source = "illustrative"
usd_per_mtok = { input = "3.00", cache_read = "0.30", cache_write_5m = "3.75", cache_write_1h = "6.00", output = "15.00" }
[[price.variant]]
when = { service_tier = "batch" }
usd_per_mtok = { input = "1.50", cache_read = "0.15", cache_write_5m = "1.875", cache_write_1h = "3.00", output = "7.50" }
TOML
done
sed 's/"us.anthropic.*"/"amazon.titan-embed-test"/' "$dir/pricing/bedrock.toml" >"$dir/pricing/titan.toml"
tollgate() { "$bin/tollgate" --config "$dir/tollgate.toml" "$@"; }
"$bin/tollgate" --config "$dir/tollgate.toml" serve >"$dir/gateway.log" 2>&1 & pids+=($!)
wait_for "http://127.0.0.1:$admin/readyz" 20 || { cat "$dir/gateway.log" >&2; exit 1; }

customer=$(tollgate customers create "SDK tests" --json | json id)
export TOLLGATE_BASE_URL=http://127.0.0.1:$data/v1 TOLLGATE_ROOT_URL=http://127.0.0.1:$data
export TOLLGATE_FAKE_URL=http://127.0.0.1:$upstream TOLLGATE_CUSTOMER=$customer
export TOLLGATE_MODEL=test-model TOLLGATE_EMBEDDING_MODEL=test-embedding
TOLLGATE_KEY=$(tollgate keys create --customer "$customer" --rpm 100000 --json | json key)
other=$(tollgate customers create "Somebody else" --json | json id)
TOLLGATE_OTHER_KEY=$(tollgate keys create --customer "$other" --json | json key)
TOLLGATE_LIMITED_KEY=$(tollgate keys create --customer "$customer" --rpm 3 --json | json key)
tollgate audit >/dev/null
export TOLLGATE_KEY TOLLGATE_LIMITED_KEY TOLLGATE_OTHER_KEY
TOLLGATE_ADMIN_TOKEN=$(cat "$dir/data/admin-token")
export TOLLGATE_ADMIN_URL=http://127.0.0.1:$admin TOLLGATE_ADMIN_TOKEN
if [ "$which" = all ]; then
  REQUIREMENTS=requirements-all.txt tests/sdk/python/run.sh "$@"
  tests/sdk/node/run.sh
else
  tests/sdk/python/run.sh "$@" test_openai.py test_responses.py test_anthropic.py test_objects.py
fi
# Whatever the SDK did, the books hold together.
tollgate audit

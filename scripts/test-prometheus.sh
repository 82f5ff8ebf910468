#!/usr/bin/env bash
# The alert rules against Prometheus itself: its checker, a unit test that lets each fire and not fire, and a real server that
# scrapes a real gateway under traffic and evaluates every rule.
# Usage: scripts/test-prometheus.sh [PROGRAM]   a built gateway [default: the debug build]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
gateway=${1:-}
if [ -z "$gateway" ]; then
  cargo build --quiet
  gateway=${CARGO_TARGET_DIR:-target}/debug/tollgate
fi
rules=deploy/prometheus/alerts.yml tests=deploy/prometheus/alerts_test.yml

promtool check rules "$rules"
promtool test rules "$tests"
for alert in $(sed -n 's/^ *- alert: //p' "$rules"); do
  for verdict in "fires" "does not fire"; do
    grep -q "name: $alert $verdict\$" "$tests" || { echo "$tests: no test that $alert $verdict" >&2; exit 1; }
  done
done

dir=$(mktemp -d) processes=()
clean() {
  for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
  for process in "${processes[@]}"; do wait "$process" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap clean EXIT

# An upstream that answers every chat request with one word.
upstream=$(free_port) data=$(free_port) admin=$(free_port) prometheus=$(free_port)
python3 - "$upstream" <<'PY' &
import http.server, json, sys
class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        failing = asked.get("user") == "fail"
        body = json.dumps({"error": {"message": "no"}} if failing else {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"],
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "word"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}}).encode()
        self.send_response(500 if failing else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Upstream).serve_forever()
PY
processes+=($!)

cat >"$dir/tollgate.toml" <<TOML
[server]
listen = "127.0.0.1:$data"
admin_listen = "127.0.0.1:$admin"
data_dir = "$dir/data"
[journal]
segment_bytes = 1048576
in_flight_max = 512
[[provider]]
name = "openai"
base_url = "http://127.0.0.1:$upstream/v1"
allow_private = true
[[training]]
model = "gpt-4.1-nano"
cost_usd = "1.00"
in_service = "2026-01-01"
TOML
"$gateway" --config "$dir/tollgate.toml" serve 2>"$dir/gateway.log" &
processes+=($!)
wait_for "http://127.0.0.1:$admin/readyz" 20 || { cat "$dir/gateway.log" >&2; exit 1; }

admin() { "$gateway" --config "$dir/tollgate.toml" --json "$@"; }
customer=$(admin customers create Acme | json id)
key=$(admin keys create --customer "$customer" | json key)
admin audit >/dev/null

# The scrape configuration that is shipped, with this machine's addresses and shorter pauses.
token=$dir/data/admin-token
sed -e "s#/run/secrets/admin_token#$token#" \
  -e "s#targets: .*#targets: [\"127.0.0.1:$admin\"]#" \
  -e "s#_interval: 15s#_interval: 1s#" \
  -e "s#- alerts.yml#- $PWD/$rules#" deploy/prometheus/prometheus.yml >"$dir/prometheus.yml"
promtool check config "$dir/prometheus.yml"
prometheus --config.file="$dir/prometheus.yml" --storage.tsdb.path="$dir/tsdb" --log.level=warn \
  --web.listen-address="127.0.0.1:$prometheus" 2>"$dir/prometheus.log" &
processes+=($!)
wait_for "http://127.0.0.1:$prometheus/-/ready" 30 || { cat "$dir/prometheus.log" >&2; exit 1; }

python3 scripts/test-prometheus.py "http://127.0.0.1:$prometheus" "http://127.0.0.1:$data" "$key" "http://127.0.0.1:$admin" "$token"

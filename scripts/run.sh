#!/usr/bin/env bash
# `make run`: a gateway with a demo customer in front of a scripted upstream, until Ctrl-C. STORE=postgres keeps its books
# in a private Postgres below the demo's folder.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh
cargo build --release --workspace
bin=$(pwd)/${CARGO_TARGET_DIR:-target}/release
data=${DATA_DIR:-data/demo}
listen=127.0.0.1:${PORT:-8080} admin=127.0.0.1:${ADMIN_PORT:-8081} upstream=127.0.0.1:${UPSTREAM_PORT:-9100}
mkdir -p "$data"
pids=()
stop() {
  trap - EXIT INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  [ "${STORE:-}" != postgres ] || scripts/postgres.sh stop "$data/postgres"
}
trap stop EXIT
trap 'exit 0' INT TERM

# In service since six days ago, so that the chart has a line to draw; kept, so that a restart does not move it.
[ -s "$data/in-service" ] || date -u -d '6 days ago' +%F >"$data/in-service"
sed -e "s|127.0.0.1:9100|$upstream|; s|2026-01-01|$(cat "$data/in-service")|" scripts/demo.toml >"$data/tollgate.toml"
export TOLLGATE_SERVER__LISTEN=$listen TOLLGATE_SERVER__ADMIN_LISTEN=$admin TOLLGATE_SERVER__DATA_DIR=$data
if [ "${STORE:-}" = postgres ]; then
  TOLLGATE_STORE__URL=$(FSYNC=on scripts/postgres.sh start "$data/postgres")
  export TOLLGATE_STORE__URL
fi
tollgate() { "$bin/tollgate" --config "$data/tollgate.toml" "$@"; }
"$bin/tollgate-fake-upstream" --listen "$upstream" >"$data/upstream.log" 2>&1 & pids+=($!)
# Not through the function: a function in the background is a shell, and killing that leaves the gateway running.
"$bin/tollgate" --config "$data/tollgate.toml" serve 2>"$data/gateway.log" & pids+=($!)
gateway=$!
if ! wait_for "http://$admin/readyz" 20 || ! kill -0 "$gateway" 2>/dev/null; then
  echo "the gateway did not start; its log says:" >&2; tail -5 "$data/gateway.log" >&2; exit 1
fi
if [ ! -s "$data/demo-key" ]; then
  customer=$(tollgate customers create "Demo customer" --json | json id)
  (umask 077; tollgate keys create --customer "$customer" --name demo --json | json key >"$data/demo-key")
fi
key=$(cat "$data/demo-key")
cat <<TEXT

Tollgate runs. Answers come from a scripted upstream (no model, no account, no network); prices are illustrative.

  Base URL   http://$listen/v1
  Demo key   $key
  Break-even http://$admin/?token=$(cat "$data/admin-token")

Paste this:

  curl http://$listen/v1/chat/completions -H "Authorization: Bearer $key" -H "Content-Type: application/json" -d '{"model":"demo-model","messages":[{"role":"user","content":"Hello!"}]}'

Every request moves the break-even page. Ctrl-C stops; logs are in $data.${TOLLGATE_STORE__URL:+ Books: psql $TOLLGATE_STORE__URL}
TEXT
wait "$gateway"

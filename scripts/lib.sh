# Shared by the scripts: free ports, waiting, and reading JSON. Sourced, not run.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# json FIELD: prints a field of the JSON object on standard input.
json() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# wait_for URL SECONDS: until it answers with success.
wait_for() {
  local tries=$(( $2 * 10 ))
  until curl -fsS -o /dev/null "$1" 2>/dev/null; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then echo "nothing answers at $1" >&2; return 1; fi
    sleep 0.1
  done
}

# build_worker release: the candle worker for the processor of this machine, in a target folder of its own (other flags would
# rebuild everything), then beside the gateway, where it looks for it. Built portably, decode runs at about three quarters of the speed.
build_worker() {
  local target=${CARGO_TARGET_DIR:-target}
  # As its speed was measured; all crates optimised as one would take minutes longer to build.
  CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4 \
    RUSTFLAGS="${WORKER_RUSTFLAGS--C target-cpu=native}" cargo build --profile "$1" -p tollgate-worker --target-dir "$target/worker"
  mkdir -p "$target/$1"
  # Renamed into place: a worker that runs keeps its file.
  cp "$target/worker/$1/tollgate-worker" "$target/$1/tollgate-worker.new"
  mv -f "$target/$1/tollgate-worker.new" "$target/$1/tollgate-worker"
}

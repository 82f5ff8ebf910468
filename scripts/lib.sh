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

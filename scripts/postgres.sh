#!/usr/bin/env bash
# A private Postgres in a folder of its own, for tests and for `make run STORE=postgres`; not for production.
# Usage: scripts/postgres.sh start|stop|kill|run DIR
#   start   makes the cluster when there is none, starts it, prints its URL; PG_PORT chooses the port, FSYNC=on makes it durable
#   stop    ends it at once, as a fast shutdown
#   kill    ends it as a crash does: no checkpoint, connections cut
#   run     start, wait for the end of standard input, kill, delete DIR: ends with whoever started it
set -euo pipefail
. "$(dirname "$0")/lib.sh"
verb=${1:?start, stop, kill or run} dir=${2:?a folder}

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n1)
[ -n "$bin" ] || bin=$(pg_config --bindir 2>/dev/null || true)
if [ -z "$bin" ] || [ ! -x "$bin/initdb" ]; then
  echo "PostgreSQL is not installed: run scripts/setup.sh test, on Debian: sudo apt-get install postgresql" >&2
  exit 1
fi
# The server refuses to run as root. As another user it may still have to come through folders that are closed to that user.
server_user=$(id -un)
[ "$server_user" != root ] || { server_user=postgres; id postgres >/dev/null 2>&1 || server_user=nobody; }
as_server() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups \
      --inh-caps=+dac_override --ambient-caps=+dac_override -- "$@"
  else
    "$@"
  fi
}
control() { as_server "$bin/pg_ctl" -D "$dir/cluster" -s "$@"; }

start() {
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  if [ ! -s "$dir/cluster/PG_VERSION" ]; then
    rm -rf "$dir/cluster"; mkdir -p "$dir/cluster"; chmod 700 "$dir/cluster"
    chown "$server_user" "$dir/cluster"
    as_server "$bin/initdb" -D "$dir/cluster" -U tollgate -A trust -E UTF8 --locale=C --no-sync >/dev/null
    local port=${PG_PORT:-$(free_port)}
    # A socket's path has a longest length.
    local socket=$dir/cluster; [ ${#socket} -lt 90 ] || socket=
    cat >>"$dir/cluster/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$socket'
max_connections = 300
fsync = ${FSYNC:-off}
full_page_writes = ${FSYNC:-off}
max_wal_size = 4GB
log_destination = 'stderr'
CONF
  fi
  control -w -t 60 -l "$dir/cluster/server.log" start >/dev/null || { tail -n 20 "$dir/cluster/server.log" >&2; exit 1; }
  echo "postgres://tollgate@127.0.0.1:$(sed -n 's/^port = //p' "$dir/cluster/postgresql.conf" | tail -n1)/postgres"
}

case $verb in
  start) start ;;
  stop) control -w -m fast stop ;;
  kill) control -w -m immediate stop ;;
  run)
    trap 'control -w -m immediate stop 2>/dev/null || true; rm -rf "$dir"' EXIT
    trap '' INT TERM
    start
    cat >/dev/null
    ;;
  *) echo "start, stop, kill or run" >&2; exit 2 ;;
esac

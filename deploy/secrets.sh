#!/usr/bin/env bash
# Makes the secrets that docker-compose.yml mounts, in deploy/secrets, once; never over existing ones.
# The folder is closed to others. The files in it are not: each container has a user of its own that must read them.
# Usage: deploy/secrets.sh [FOLDER]
set -euo pipefail
dir=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$dir"
chmod 700 "$dir"
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
# keep NAME TEXT
keep() {
  if [ -e "$dir/$1" ]; then echo "$dir/$1 is there already"; return; fi
  printf '%s\n' "$2" >"$dir/$1.new"
  chmod 444 "$dir/$1.new"
  mv "$dir/$1.new" "$dir/$1"
}
keep admin_token "$(random)"
keep pepper "$(random)"
keep postgres_password "$(random)"
keep postgres_url "postgres://tollgate:$(cat "$dir/postgres_password")@postgres/tollgate?sslmode=disable"
echo "the secrets are in $dir: back pepper up, without it no key works"

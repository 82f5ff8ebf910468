#!/usr/bin/env bash
# docker-compose.yml and Dockerfile, as far as they can be looked at without a Docker daemon and a registry: docker-compose reads the
# file and both profiles, and what it comes to is what is meant; what the file mounts and the images copy exists; the gateways'
# configuration is valid for the gateway itself. No image is built here.
# Usage: scripts/test-compose.sh [PROGRAM]   a built gateway [default: the debug build]
set -euo pipefail
cd "$(dirname "$0")/.."
gateway=${1:-}
if [ -z "$gateway" ]; then
  cargo build --quiet
  gateway=$PWD/${CARGO_TARGET_DIR:-target}/debug/tollgate
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

deploy/secrets.sh "$dir/secrets" >/dev/null
before=$(cat "$dir/secrets"/*)
deploy/secrets.sh "$dir/secrets" >/dev/null
[ "$before" = "$(cat "$dir/secrets"/*)" ] || { echo "deploy/secrets.sh changed what was there" >&2; exit 1; }
[ "$(stat -c %a "$dir/secrets")" = 700 ] || { echo "deploy/secrets is open to others" >&2; exit 1; }

for profile in embedded full; do
  docker-compose --profile "$profile" config --quiet
  docker-compose --profile "$profile" config >"$dir/$profile.yml"
done
python=python3
# Debian's docker-compose brings the parser for Debian's Python.
"$python" -c "import yaml" 2>/dev/null || python=/usr/bin/python3
"$python" scripts/test-compose.py "$dir/embedded.yml" "$dir/full.yml"

# What images are built from is a whole project: the folders that .dockerignore lets in, without what it takes out of them.
mkdir "$dir/context"
mapfile -t inside < <(sed -n 's/^!//p' .dockerignore)
mapfile -t outside < <(grep -v '^[#!*]' .dockerignore; echo node_modules; echo __pycache__)
tar -c "${outside[@]/#/--exclude=}" "${inside[@]}" | tar -x -C "$dir/context"
cargo metadata --locked --offline --no-deps --format-version 1 --manifest-path "$dir/context/Cargo.toml" >/dev/null
if grep -rlE "PRIVATE KEY|tg-[A-Za-z0-9]{12}-[0-9a-f]{64}" "$dir/context" --include='*' | grep -v '/tests/'; then
  echo "a secret would get into the image" >&2; exit 1
fi

# The mounted configuration, with secrets where this machine has them.
sed "s#/run/secrets#$dir/secrets#" deploy/compose/full.toml >"$dir/full.toml"
env -i PATH="$PATH" "$gateway" --config "$dir/full.toml" check

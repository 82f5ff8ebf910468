#!/bin/sh
# Runs worker_books.py against what the environment names (see there).
set -eu
here=$(dirname "$0")
. "$here/venv.sh"
exec "$here/.venv/bin/python" "$here/worker_books.py"

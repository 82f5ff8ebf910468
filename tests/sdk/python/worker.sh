#!/bin/sh
# Runs a script of this folder (worker_books.py, worker_killed.py) against what the environment names (see there).
set -eu
here=$(dirname "$0")
. "$here/venv.sh"
exec "$here/.venv/bin/python" "$here/$1"

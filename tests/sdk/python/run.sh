#!/bin/sh
# Runs the SDK tests against the gateway that the environment names (see conftest.py). Arguments go to pytest.
set -eu
cd "$(dirname "$0")"
here=.
. ./venv.sh
exec .venv/bin/python -m pytest -q "$@"

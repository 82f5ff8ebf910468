#!/bin/sh
# Runs the SDK tests against the gateway that the environment names (see conftest.py). Arguments go to pytest.
set -eu
cd "$(dirname "$0")"
if ! cmp -s requirements.txt .venv/requirements.installed; then
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/requirements.installed
fi
exec .venv/bin/python -m pytest -q "$@"

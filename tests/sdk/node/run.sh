#!/bin/sh
# Runs the Node SDK tests against the gateway that the environment names (see ../python/conftest.py).
set -eu
cd "$(dirname "$0")"
exec node --test --test-reporter=spec .

#!/usr/bin/env bash
# A stream, as server-sent events.
set -euo pipefail
curl --fail-with-body -sSN "${TOLLGATE_URL:-http://127.0.0.1:8080}/v1/chat/completions" \
  -H "authorization: Bearer $TOLLGATE_KEY" -H "content-type: application/json" \
  -d '{"model": "'"$TOLLGATE_MODEL"'", "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'

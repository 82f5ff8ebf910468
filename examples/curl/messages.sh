#!/usr/bin/env bash
# Anthropic's dialect, with the key where that SDK puts it.
set -euo pipefail
curl --fail-with-body -sS "${TOLLGATE_URL:-http://127.0.0.1:8080}/v1/messages" \
  -H "x-api-key: $TOLLGATE_KEY" -H "anthropic-version: 2023-06-01" -H "content-type: application/json" \
  -d '{"model": "'"$TOLLGATE_MODEL"'", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}'

#!/usr/bin/env bash
# One answer, and what it is charged: the header x-tollgate-charge-usd.
set -euo pipefail
curl --fail-with-body -sS -i "${TOLLGATE_URL:-http://127.0.0.1:8080}/v1/chat/completions" \
  -H "authorization: Bearer $TOLLGATE_KEY" -H "content-type: application/json" \
  -H "x-tollgate-tags: team=examples,feature=chat" \
  -d '{"model": "'"$TOLLGATE_MODEL"'", "messages": [{"role": "user", "content": "Hello!"}]}'

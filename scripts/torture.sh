#!/usr/bin/env bash
# `make torture`: long runs of everything that may go wrong, and their table in docs/reliability.md. A few minutes.
# Every scenario prints one line, `torture: scenario, runs, lost, doubled, wrong, recovery_ms_max`; a new one needs
# nothing here when it is a test of tests/torture or an ignored one of journal::tests.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() { "$@" -- --nocapture --test-threads=1 "${ignored[@]}" 2>&1 | tee -a "$log" | grep -E '^torture:|panicked|^error|test result' || true; }
ignored=(--ignored)
run cargo test --lib journal::tests::power
ignored=()
run cargo test --features failpoints --test torture
# The table is written whatever came out; a failure is not hidden by it.
status=0
if grep -q '^error\|test result: FAILED' "$log"; then status=1; fi

table=$(mktemp)
{
  echo '| scenario | runs | lost | doubled | wrong | longest recovery, ms |'
  echo '|---|---|---|---|---|---|'
  grep -o 'torture: .*' "$log" | sed -e 's/^torture: //; s/, / | /g; s/^/| /; s/$/ |/'
} >"$table"
report=docs/reliability.md
awk -v table="$table" '
  /<!-- torture:begin -->/ { print; while ((getline line < table) > 0) print line; skip = 1 }
  /<!-- torture:end -->/ { skip = 0 }
  !skip' "$report" >"$report.new"
mv "$report.new" "$report"
rm -f "$table"
sed -n '/torture:begin/,/torture:end/p' "$report"
exit $status

#!/usr/bin/env bash
# The gateway as it is shipped and measured: built with everything optimised, then laid out by BOLT along the way of requests that
# it was seen to take (docs/adr/0020-laid-out-by-bolt.md). The result: target/dist/shipped/tollgate.
# Usage: scripts/release.sh        PLAIN=1 leaves the layout as the compiler made it
set -euo pipefail
cd "$(dirname "$0")/.."
dist=${CARGO_TARGET_DIR:-target}/dist
mkdir -p "$dist/shipped"
# Whole, as the instrumented gateway runs in a folder of its own.
dist=$(cd "$dist" && pwd)
shipped=$dist/shipped/tollgate

# One of the compiler's LLVM.
find_bolt() {
  local name llvm
  llvm=$(rustc -vV | sed -nE 's/^LLVM version: ([0-9]+).*/\1/p')
  for name in "llvm-bolt-$llvm" llvm-bolt; do
    if command -v "$name" >/dev/null && "$name" --version | grep -q "LLVM version $llvm\."; then echo "$name"; return; fi
  done
}
bolt=$([ -n "${PLAIN:-}" ] || find_bolt || true)

relocations=()
# What the linker knew of addresses: without it functions stay where they are.
[ -z "$bolt" ] || relocations=(-Clink-arg=-Wl,--emit-relocs)
cargo build --quiet --locked --profile dist -p tollgate-bench
cargo rustc --quiet --locked --profile dist -p tollgate --bin tollgate -- "${relocations[@]}"
if [ -z "$bolt" ]; then
  [ -n "${PLAIN:-}" ] || echo "no llvm-bolt of the compiler's LLVM (Debian: bolt-22): the gateway needs an eighth more processor time than it could" >&2
  strip -o "$shipped.new" "$dist/tollgate"
  mv -f "$shipped.new" "$shipped"
  exit
fi

work=$(mktemp -d "$dist/bolt-XXXXXX")
trap 'rm -rf "$work"' EXIT
log=$work/log
run() { "$@" >>"$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }; }
run "$bolt" "$dist/tollgate" -instrument -instrumentation-file="$work/profile" -instrumentation-file-append-pid -o "$work/instrumented"
run python3 bench/train.py "$work/instrumented"
run "${bolt/llvm-bolt/merge-fdata}" -o "$work/profile" "$work"/profile.*.fdata
# What ran less often than fifty thousand times in training stays where it is; code that does run is kept in pages of the usual size:
# both keep the binary small.
run "$bolt" "$dist/tollgate" -data="$work/profile" -reorder-blocks=ext-tsp -reorder-functions=cdsort \
  -split-functions -split-all-cold -split-eh -icf=all -lite-threshold-count=50000 -no-huge-pages -use-gnu-stack -o "$work/laid-out"
# The note has this folder's name in it.
strip -R .note.bolt_info -o "$work/tollgate" "$work/laid-out"
# It must do what was asked of it before anything is called by its name.
run python3 bench/train.py "$work/tollgate"
mv -f "$work/tollgate" "$shipped"

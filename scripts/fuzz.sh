#!/usr/bin/env bash
# Builds the fuzz targets with the stable toolchain, with coverage and no sanitizer, and runs each for FUZZ_SECS seconds.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

# What `cargo fuzz build -s none` sets. A target is named, so that build scripts are built without it.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 --cfg fuzzing"
target=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --locked --release --target "$target"

for name in forged_usage; do
  mkdir -p "corpus/$name" "artifacts/$name"
  "target/$target/release/$name" -max_total_time="${FUZZ_SECS:-60}" -max_len=1024 -print_final_stats=1 \
    -dict=fuzz_targets/names.dict -artifact_prefix="artifacts/$name/" "corpus/$name"
done

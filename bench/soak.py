#!/usr/bin/env python3
"""`make soak`: two million requests through one gateway; its memory must not grow in the second half, and its books must be right.

    bench/soak.py [REQUESTS]
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from procfs import rss_bytes
from systems import TARGET, Tollgate, bodies

WINDOW_SECS = 10
CONNECTIONS = 64
# Of the most in the first half: what is more has grown.
GROWTH_MAX = 1.05
POSTED_MAX = 60


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    out = TARGET.parent / "bench"
    out.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-", dir=out))
    bodies(folder)
    upstream = subprocess.Popen([TARGET / "bench-upstream"], stdout=subprocess.PIPE, text=True)
    gateway = Tollgate(folder, int(upstream.stdout.readline().rsplit(":", 1)[1]))
    try:
        gateway.start()
        seen = soak(gateway, folder, wanted)
        audit = json.loads(gateway.command("audit"))
    finally:
        gateway.stop()
        upstream.kill()
        upstream.wait()
        shutil.rmtree(folder, ignore_errors=True)
    half = max(rss for done, rss in seen if done <= wanted / 2 or (done, rss) == seen[0])
    most = max(rss for _, rss in seen)
    print(f"{seen[-1][0]:,} requests; most resident memory in the first half {half / 1e6:.1f} MB, at all {most / 1e6:.1f} MB; "
          f"audit: {audit}")
    if most > half * GROWTH_MAX:
        raise SystemExit("resident memory has grown")


def soak(gateway, folder, wanted):
    """Requests answered so far and resident memory then, window by window."""
    done, seen = 0, []
    while done < wanted:
        argv = [TARGET / "bench-load", "--address", f"127.0.0.1:{gateway.port}", "--mode", "closed", "--connections", CONNECTIONS,
                "--body", folder / "plain.json", "--warm", 0, "--secs", WINDOW_SECS, "--spread-ms", 1]
        for header in gateway.headers:
            argv += ["--header", header]
        load = subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        load.stdout.readline()
        report = json.loads(load.stdout.readline())
        if report["failed"]:
            raise SystemExit(f"{report['failed']} requests failed: {report['first_failure']}")
        done += report["ok"]
        seen.append((done, rss_bytes(gateway.pid)))
        load.communicate(timeout=60)
        print(f"{done:>9,} requests  {report['ok'] / report['secs']:>7,.0f}/s  resident {seen[-1][1] / 1e6:.1f} MB", flush=True)
    wait_until_posted(gateway, done)
    return seen


def wait_until_posted(gateway, done):
    deadline = time.monotonic() + POSTED_MAX
    while entries(gateway) < done:
        if time.monotonic() > deadline:
            raise SystemExit(f"the books hold {entries(gateway)} attempts of {done} {POSTED_MAX} seconds after the last answer")
        time.sleep(0.5)


def entries(gateway):
    """How many attempts the books hold."""
    return sum(row["attempts"] for row in json.loads(gateway.command("usage")))


if __name__ == "__main__":
    os.umask(0o022)
    main()

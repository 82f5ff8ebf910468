#!/usr/bin/env python3
"""What a gateway is put through so that BOLT sees the way that requests take, and whether what BOLT made of it is right.

    bench/train.py BINARY

Plain requests one after the other and many side by side, and streams, to the end that its own audit has no difference.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from soak import wait_until_posted
from systems import TARGET, Tollgate, bodies

# Mode, connections, seconds.
LOADS = (("closed", 64, 6), ("closed", 4, 2), ("stream", 128, 4))


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="train-", dir=TARGET))
    bodies(folder)
    upstream = subprocess.Popen([TARGET / "bench-upstream"], stdout=subprocess.PIPE, text=True)
    gateway = Tollgate(folder, int(upstream.stdout.readline().rsplit(":", 1)[1]), binary)
    try:
        gateway.start()
        asked = sum(load(gateway, folder, *one) for one in LOADS)
        # What is counted is written at the end of a process, so it must come to one.
        end(gateway)
        # Of a process that has ended the audit knows how much must be in the books.
        gateway.start()
        wait_until_posted(gateway, asked)
        audit = gateway.command("audit").strip()
        end(gateway)
    except BaseException:
        print((gateway.folder / "log").read_text()[-4000:])
        raise
    finally:
        gateway.stop()
        upstream.kill()
        upstream.wait()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{asked} requests, audit: {audit}")


def end(gateway):
    process = gateway.process
    gateway.stop()
    if process.returncode:
        raise SystemExit(f"the gateway ended with {process.returncode}")


def load(gateway, folder, mode, connections, seconds):
    body = folder / ("stream.json" if mode == "stream" else "plain.json")
    argv = [TARGET / "bench-load", "--address", f"127.0.0.1:{gateway.port}", "--mode", mode, "--connections", connections,
            "--body", body, "--warm", 0, "--secs", seconds, "--spread-ms", 1]
    for header in gateway.headers:
        argv += ["--header", header]
    with subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        asking.stdout.readline()
        seen = json.loads(asking.stdout.readline())
        asking.stdin.close()
    if seen["failed"] or not seen["ok"]:
        raise SystemExit(f"{mode}: {seen['failed']} of {seen['failed'] + seen['ok']} failed: {seen['first_failure']}")
    return seen["ok"]


if __name__ == "__main__":
    main()

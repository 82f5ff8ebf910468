#!/usr/bin/env python3
"""`make bench`: nginx, a plain pass-through and the gateway side by side, one upstream, one load generator, alternating.

    bench/run.py [quick|full] [--systems nginx,tollgate-sqlite] [--segments closed,rate,stream] [--repeats N] [--out FOLDER]

Writes results.json and results.md into the folder (target/bench). Everything is on 127.0.0.1 and ends with this program.
"""

import argparse
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import table
from procfs import cpu_seconds, machine_busy_seconds, processor, rss_bytes, tree
from systems import ALL, GATEWAY, ROOT, TARGET, bodies

CHUNKS = 100
GAP_US = 10_000
# Mode, connections, seconds before the window; seconds of the window and repeats: full and quick. `rate` comes first, while nothing
# has been under load. A machine's speed changes within seconds: many short turns tell more of a ratio than a few long ones.
SEGMENTS = {
    "rate": ("rate", 64, 1.0, {"full": (5.0, 4), "quick": (3.0, 2)}),
    "closed": ("closed", 64, 0.5, {"full": (1.5, 12), "quick": (1.5, 4)}),
    "stream": ("stream", 512, 2.2, {"full": (4.0, 5), "quick": (3.0, 2)}),
}
IDLE_STREAMS = {"full": 10_000, "quick": 2_000}
STARTS = {"full": 5, "quick": 3}
HELD_SYSTEMS = ("nginx", "reference", "tollgate-sqlite")
LOAD_MAX = 180


def main():
    options = arguments()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    out = pathlib.Path(options.out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    # On the disk of the target folder, not in memory: what is synced must be synced to something.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=out))
    folder.chmod(0o755)
    bodies(folder)
    bench = Bench(options, folder, limit)
    try:
        result = bench.run()
    finally:
        bench.close()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    (out / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    text = table.of(result)
    (out / "results.md").write_text(text)
    print(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", nargs="?", choices=("quick", "full"), default="full")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=list(ALL))
    parser.add_argument("--segments", type=lambda text: text.split(","), default=[*SEGMENTS, "idle", "start"])
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--out", default=TARGET.parent / "bench")
    parser.add_argument("--keep", action="store_true", help="leave folder and logs of the run")
    parser.add_argument("--interrupt", action="store_true", help="let load generator and upstream take the processor from what is measured")
    options = parser.parse_args()
    options.policy = None if options.interrupt else wait_for_a_turn
    return options


def wait_for_a_turn():
    """For load generator and upstream, which stand for other machines: that a byte came for them must not take the processor from the
    proxy that sent it, at each of its writes. With Linux's usual policy it does, the more, the more often they sleep."""
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


class Bench:
    def __init__(self, options, folder, open_files_max):
        self.options, self.folder, self.open_files_max = options, folder, open_files_max
        self.upstream = subprocess.Popen([TARGET / "bench-upstream", "--chunks", str(CHUNKS), "--gap-us", str(GAP_US)],
                                         stdout=subprocess.PIPE, text=True, preexec_fn=options.policy)
        port = int(self.upstream.stdout.readline().rsplit(":", 1)[1])
        self.systems = []
        for name in options.systems:
            self.systems.append(ALL[name](folder, port))

    def close(self):
        self.let_go_on(self.systems)
        for system in self.systems:
            system.stop()
            if hasattr(system, "close"):
                system.close()
        self.upstream.kill()
        self.upstream.wait()

    def run(self):
        began = time.time()
        result = {
            "when": time.strftime("%F %T", time.gmtime(began)), "size": self.options.size, "interrupt": self.options.interrupt, "commit": commit(),
            "machine": {"cpus": os.cpu_count(), "cpu": processor(), "kernel": platform.release(), "sync_us": sync_us(self.folder), "paced_syncs_ms": paced_syncs_ms(self.folder)},
            "chunks": CHUNKS, "gap_us": GAP_US,
            "titles": {system.name: system.title for system in self.systems},
            "binary_bytes": GATEWAY.stat().st_size, "laid_out": b".bolt.org.text" in GATEWAY.read_bytes(),
            "first_start_s": {}, "start_s": {}, "rss_start": {}, "rss_peak": {}, "idle": {}, "segments": [],
        }
        for system in self.systems:
            result["first_start_s"][system.name] = system.start()
        time.sleep(1)
        for system in self.systems:
            if system.pid:
                result["rss_start"][system.name] = rss_bytes(system.pid)
        load_segments = [name for name in SEGMENTS if name in self.options.segments]
        for name in load_segments:
            for repeat in range(self.options.repeats or SEGMENTS[name][3][self.options.size][1]):
                for system in self.systems if repeat % 2 == 0 else reversed(self.systems):
                    self.leave_alone(system)
                    measured = self.measure(system, name) | {"repeat": repeat}
                    result["segments"].append(measured)
                    print(table.line(measured), flush=True)
        self.let_go_on(self.systems)
        result["rss_peak"] = {system.name: system.peak_rss for system in self.systems if system.pid}
        for system in self.systems:
            if "idle" in self.options.segments and system.name in HELD_SYSTEMS:
                result["idle"][system.name] = self.idle(system)
            if "start" in self.options.segments and system.pid and hasattr(system, "command"):
                result["start_s"][system.name] = self.starts(system)
        result["audit"] = {system.name: json.loads(system.command("audit")) for system in self.systems if hasattr(system, "command")}
        result["took_s"] = round(time.time() - began)
        return result

    def leave_alone(self, system):
        """Lets nothing of the other systems run, and nothing that they wrote wait for the disk: what one syncs, another would wait for."""
        self.let_go_on([system])
        for other in self.systems:
            if other is not system:
                signal_all(other, signal.SIGSTOP)
        os.sync()

    def let_go_on(self, systems):
        for system in systems:
            signal_all(system, signal.SIGCONT)

    def load(self, system, mode, connections, body, *more):
        argv = [TARGET / "bench-load", "--address", f"127.0.0.1:{system.port}", "--mode", mode, "--connections", connections,
                "--body", self.folder / f"{body}.json", *more]
        for header in system.headers:
            argv += ["--header", header]
        return subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                preexec_fn=self.options.policy)

    def measure(self, system, name):
        mode, connections, warm, secs = SEGMENTS[name]
        secs, _ = secs[self.options.size]
        body = "stream" if mode == "stream" else "plain"
        load = self.load(system, mode, connections, body, "--warm", warm, "--secs", secs, "--spread-ms", CHUNKS * GAP_US // 1000)
        expect(load.stdout.readline().strip() == "begin", "the load generator did not begin")
        before = self.counters(system, load.pid)
        while time.monotonic() < before["at"] + secs - 0.6:
            time.sleep(0.5)
            if system.pid:
                system.peak_rss = max(system.peak_rss, rss_bytes(system.pid))
        seen = json.loads(load.stdout.readline())
        after = self.counters(system, load.pid)
        load.communicate(timeout=LOAD_MAX)
        used = {key: round(after[key] - before[key], 4) for key in before}
        used["others"] = round(used.pop("machine") - sum(used[key] for key in ("system", "database", "upstream", "load")), 2)
        return {"system": system.name, "segment": name, "cpu_s": used} | seen

    def counters(self, system, load_pid):
        return {
            "at": time.monotonic(), "machine": machine_busy_seconds(), "upstream": cpu_seconds(self.upstream.pid), "load": cpu_seconds(load_pid),
            "system": cpu_seconds(system.pid) if system.pid else 0,
            "database": cpu_seconds(system.database_pid) if system.database_pid else 0,
        }

    def idle(self, system):
        """Resident memory of streams that have begun and then say nothing."""
        # Two open files a stream; some are left for everything else.
        streams = min(IDLE_STREAMS[self.options.size], (self.open_files_max - 300) // 2)
        system.stop()
        system.start()
        time.sleep(1)
        before = rss_bytes(system.pid)
        load = self.load(system, "hold", streams, "hold")
        held = json.loads(load.stdout.readline())
        time.sleep(2)
        after = rss_bytes(system.pid)
        system.stop()
        load.communicate(timeout=LOAD_MAX)
        system.start()
        return held | {"rss_before": before, "rss_held": after, "bytes_per_stream": (after - before) // max(1, held["held"])}

    def starts(self, system):
        """Seconds from the start of the process until it is ready, with the books of this run."""
        took = []
        for _ in range(STARTS[self.options.size]):
            system.stop()
            took.append(round(system.start(), 4))
        return took


def signal_all(system, number):
    """To every process of a system that runs, its database's included."""
    for root in (system.pid, system.database_pid):
        for pid in tree(root) if root else ():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass


def sync_us(folder):
    """Median of a small write and its sync on the disk of this run."""
    took = []
    with open(folder / "sync", "wb+", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for number in range(200):
            os.pwrite(file.fileno(), bytes(700), number * 700)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e6)
    return round(statistics.median(took))


def paced_syncs_ms(folder):
    """Median and 99th percentile of two writes one after the other, each synced, 200 times a second: what an answer of `rate` waits for
    on a disk that is asked seldom, and sleeps in between."""
    took = []
    with open(folder / "sync", "wb+", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        for number in range(600):
            time.sleep(0.0045)
            began = time.perf_counter()
            for part, size in ((0, 256), (256, 648)):
                os.pwrite(file.fileno(), bytes([number % 255 + 1]) * size, number * 904 + part)
                os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    ordered = sorted(took)
    return [round(ordered[int(len(ordered) * share)], 2) for share in (0.5, 0.99)]


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def expect(holds, otherwise):
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    main()

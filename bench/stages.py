#!/usr/bin/env python3
"""Where a plain request's instructions go, stage by stage: the gateway under callgrind, 16 connections, books in SQLite.

    bench/stages.py [SECONDS]

Wants valgrind, and the gateway as scripts/release.sh builds it before BOLT: target/dist/tollgate has the names of functions. A stage is
what a function and all that it calls take, less what is told of apart; a function that the compiler has merged into another one is an error.
"""

import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import systems
from systems import TARGET, Tollgate, bodies

CONNECTIONS = 16
# Under callgrind it takes a while to start.
systems.START_MAX = 300

CONNECTION = "tollgate::app::listener::connection::{{closure}}"
ANSWER = "tollgate::http::data::answer::{{closure}}"
CONDUCT = "tollgate::proxy::Proxy::conduct::{{closure}}"
RUN = "tollgate::proxy::exchange::Exchange::run::{{closure}}"
END_TOLD = "tollgate::proxy::live::Live::end_told"
END_AS = "tollgate::proxy::live::Live::end_as"
POSTER = "tollgate::posting::live::Poster::run::{{closure}}"
SQLITE = "sqlx_sqlite::connection::worker::ConnectionWorker::establish::{{closure}}::{{closure}}"
STAGES = (
    ("HTTP server: head read and written", (CONNECTION,), (ANSWER,)),
    ("HTTP client: pool, head written and read, body",
     ("tollgate::upstream::client::UpstreamClient::call::{{closure}}", "tollgate::proxy::live::Live::poll_chunk"), ()),
    ("key check", ("tollgate::http::data::enter",), ("sha2::sha256::compress256",)),
    ("key check: SHA-256 without the instructions for it", ("sha2::sha256::compress256",), ()),
    ("request: top level of its body, model, end user",
     ("tollgate::upstream::request::Request::parse", "tollgate::upstream::request::files::named_files"), ()),
    ("route, prices in force, limits, the exchange that outlives its client", (CONDUCT,), (RUN,)),
    ("headers for the upstream", ("tollgate::proxy::exchange::Exchange::upstream_headers",), ()),
    ("answer looked at", ("tollgate::upstream::sniff::Sniffer::push", "tollgate::upstream::sniff::Sniffer::sum_up",
                          "tollgate::upstream::sniff::Sniffer::new"), ()),
    ("usage mapped, outcome concluded", (END_TOLD,), (END_AS,)),
    ("priced, entry made, metrics, ENDED encoded and queued", (END_AS,), ()),
)
REST = "OPENED and SENT encoded, queued, waited for; headers of the answer; rest of the exchange and of its handler"
BEHIND = (("posting: journal read back, rows made, statements bound", POSTER), ("posting: SQLite's thread", SQLITE))


class UnderCallgrind(Tollgate):
    """The gateway, its instructions counted from when it is told to."""

    counts = None

    def spawn(self, *argv, **environment):
        self.counts = self.folder / "callgrind.out"
        super().spawn("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.counts}", *argv, **environment)

    def count(self, word):
        subprocess.run(["callgrind_control", "-i", word, str(self.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    if not shutil.which("valgrind"):
        raise SystemExit("no valgrind; on Debian: apt-get install valgrind")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="stages-", dir=TARGET))
    bodies(folder)
    upstream = subprocess.Popen([TARGET / "bench-upstream"], stdout=subprocess.PIPE, text=True)
    system = None
    try:
        port = int(upstream.stdout.readline().rsplit(":", 1)[1])
        system = UnderCallgrind(folder, port, TARGET / "tollgate")
        system.start()
        requests = load(system, folder, seconds)
        system.stop()
        print(table(inclusive(system.counts), requests))
    finally:
        if system:
            system.stop()
        upstream.kill()
        upstream.wait()
        shutil.rmtree(folder, ignore_errors=True)


def load(system, folder, seconds):
    """Requests answered while instructions were counted."""
    words = [TARGET / "bench-load", "--address", f"127.0.0.1:{system.port}", "--mode", "closed", "--connections", CONNECTIONS,
             "--body", folder / "plain.json", "--warm", 6, "--secs", seconds]
    for header in system.headers:
        words += ["--header", header]
    asking = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asking.stdout.readline()
    system.count("on")
    answered = json.loads(asking.stdout.readline())["ok"]
    system.count("off")
    asking.communicate(timeout=60)
    return answered


def inclusive(path):
    """Instructions of each function and of all that it calls, and of all together."""
    names, of, total, name, callee = {}, collections.Counter(), 0, None, None
    is_call = False

    def named(text):
        number, known = re.match(r"\((\d+)\)(?: (.*))?", text).groups()
        return names.setdefault(number, known) if known else names[number]

    for line in path.read_text().splitlines():
        if line.startswith("fn="):
            name = named(line[3:])
        elif line.startswith("cfn="):
            callee = named(line[4:])
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[+\-*]?\d*\s+\d+$", line):
            cost = int(line.split()[-1])
            if is_call:
                of[name] += cost if callee != name else 0
            else:
                of[name] += cost
                total += cost
            is_call = False
    return of, total


def table(counted, requests):
    of, total = counted

    def cost(name):
        if not of[name]:
            raise SystemExit(f"no instructions of {name}: it was renamed, or merged into another function")
        return of[name] / requests

    rows = [(title, sum(map(cost, plus)) - sum(map(cost, minus))) for title, plus, minus in STAGES]
    rows.append((REST, cost(ANSWER) - sum(value for _, value in rows[1:])))
    rows += [(title, cost(name)) for title, name in BEHIND]
    whole = total / requests
    rows.append(("the journal writer's thread, scheduler and the rest", whole - sum(value for _, value in rows)))
    rows.append(("all", whole))
    lines = [f"{requests} requests", "", "| stage | instructions |", "|---|---|"]
    return "\n".join(lines + [f"| {title} | {round(value, -2):,.0f} |" for title, value in rows])


if __name__ == "__main__":
    main()

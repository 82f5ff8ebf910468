"""The systems that are measured: how each is started, asked, and stopped."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from procfs import tree

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of the profile that is measured, which is the one that is shipped.
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "dist"
# By scripts/release.sh.
GATEWAY = TARGET / "shipped/tollgate"
START_MAX = 60
BODY = {
    "model": "gpt-4.1-nano",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Tell me in one short paragraph what a gateway adds to the cost of a call, and why."},
    ],
    "max_tokens": 128,
    "temperature": 0.2,
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def bodies(folder):
    """Files of what is asked: a plain answer, a stream, a stream that is held."""
    streamed = BODY | {"stream": True, "stream_options": {"include_usage": True}}
    asked = {"plain": BODY, "stream": streamed, "hold": streamed | {"user": "bench-hold"}}
    for name, body in asked.items():
        (folder / f"{name}.json").write_text(json.dumps(body, separators=(",", ":")))


def answers(port, path, expected=200):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == expected
    except OSError:
        return False
    finally:
        connection.close()


class System:
    """One of the systems. `pid` is none for what is not a process of its own."""

    name = ""
    title = ""
    headers = ()
    process = None
    database_pid = None
    peak_rss = 0

    def __init__(self, folder, upstream_port):
        self.folder, self.upstream_port = folder / self.name, upstream_port
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def spawn(self, *argv, **environment):
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([str(word) for word in argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                        env=os.environ | environment, cwd=self.folder, start_new_session=True)

    def wait_until(self, ready):
        """Seconds until it was."""
        began = time.monotonic()
        while not ready():
            if self.process and self.process.poll() is not None or time.monotonic() - began > START_MAX:
                raise SystemExit(f"{self.name} did not start; see {self.folder}/log")
            time.sleep(0.002)
        return time.monotonic() - began

    def connects(self):
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if not self.process:
            return
        pids = tree(self.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            self.process.wait()
        self.process = None


class Direct(System):
    """The upstream itself."""

    name, title = "direct", "upstream, asked directly"

    def start(self):
        self.port = self.upstream_port
        return 0


class Nginx(System):
    name, title = "nginx", "nginx, plain reverse proxy"

    def start(self):
        conf = (ROOT / "bench/nginx.conf").read_text()
        conf = conf.replace("PORT", str(self.port)).replace("UPSTREAM", f"127.0.0.1:{self.upstream_port}")
        (self.folder / "nginx.conf").write_text(conf)
        self.spawn(shutil.which("nginx") or "/usr/sbin/nginx", "-p", self.folder, "-c", self.folder / "nginx.conf")
        return self.wait_until(self.connects)


class Reference(System):
    name, title = "reference", "axum + hyper-util, pass-through"

    options = ()

    def start(self):
        self.spawn(TARGET / "bench-reference", "--listen", f"127.0.0.1:{self.port}", "--upstream", f"127.0.0.1:{self.upstream_port}",
                   *self.options)
        return self.wait_until(self.connects)


class SyncedReference(Reference):
    """The same with two synced records a request: what durability costs by plain means."""

    name, title = "reference-synced", "axum + hyper-util, two syncs a request"

    def __init__(self, folder, upstream_port):
        super().__init__(folder, upstream_port)
        self.options = ("--synced", self.folder / "synced")


class Tollgate(System):
    """The gateway with its defaults: every OPENED and ENDED is on the disk before it is acted on."""

    name, title = "tollgate-sqlite", "Tollgate, books in SQLite"
    store_url = ""

    def __init__(self, folder, upstream_port, binary=GATEWAY):
        super().__init__(folder, upstream_port)
        self.binary = binary
        self.admin_port = free_port()
        (self.folder / "upstream-key").write_text("sk-upstream")
        (self.folder / "tollgate.toml").write_text(
            f'[server]\nlisten = "127.0.0.1:{self.port}"\nadmin_listen = "127.0.0.1:{self.admin_port}"\n'
            f'data_dir = "{self.folder}/data"\nshutdown_grace_ms = 2000\n[store]\nurl = "{self.store_url}"\n'
            f'[[provider]]\nname = "openai"\nbase_url = "http://127.0.0.1:{upstream_port}/v1"\nallow_private = true\n'
            f'api_key = "file:{self.folder}/upstream-key"\n')

    def start(self):
        self.spawn(self.binary, "--config", self.folder / "tollgate.toml", "serve", TOLLGATE_LOG="warn")
        took = self.wait_until(lambda: answers(self.admin_port, "/readyz"))
        if not self.headers:
            customer = json.loads(self.command("customers", "create", "Bench"))["id"]
            key = json.loads(self.command("keys", "create", "--customer", customer))["key"]
            self.headers = (f"authorization: Bearer {key}",)
        return took

    def command(self, *words):
        done = subprocess.run([self.binary, "--config", self.folder / "tollgate.toml", "--json", *words],
                              stdout=subprocess.PIPE, text=True, cwd=self.folder)
        if done.returncode:
            raise SystemExit(f"{self.name}: tollgate {' '.join(words)} failed with {done.returncode}: {done.stdout}")
        return done.stdout


class TollgateOnPostgres(Tollgate):
    """The same; its books are in a private cluster that syncs its commits."""

    name, title = "tollgate-postgres", "Tollgate, books in Postgres"

    def __init__(self, folder, upstream_port):
        self.keeper = subprocess.Popen([ROOT / "scripts/postgres.sh", "run", folder / "postgres"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True, env=os.environ | {"FSYNC": "on"}, start_new_session=True)
        self.store_url = self.keeper.stdout.readline().strip()
        if not self.store_url:
            raise SystemExit("no Postgres: scripts/setup.sh bench installs it")
        self.database_pid = int((folder / "postgres/cluster/postmaster.pid").read_text().split()[0])
        super().__init__(folder, upstream_port)

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait()


ALL = {system.name: system for system in (Direct, Nginx, Reference, SyncedReference, Tollgate, TollgateOnPostgres)}

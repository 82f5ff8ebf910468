"""The worker killed with kill -9, three times, under streams of the official SDK: every request that the gateway took has one
entry with an outcome, the gateway answers throughout, and the worker comes back. The environment is that of worker_books.py.
"""

import collections
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request

import openai

KILLS = 3
CLIENTS = 6
UNDER_LOAD_S = 1.0
BACK_WITHIN_S = 20.0

env = os.environ
client = openai.OpenAI(base_url=env["TOLLGATE_BASE_URL"], api_key=env["TOLLGATE_KEY"], max_retries=0, timeout=30)
taken, seen, lock, stop = [], collections.Counter(), threading.Lock(), threading.Event()


def admin(path):
    headers = {"authorization": f"Bearer {env['TOLLGATE_ADMIN_TOKEN']}"}
    request = urllib.request.Request(f"{env['TOLLGATE_ADMIN_URL']}/admin/v1{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def note(what, request_id=None):
    with lock:
        seen[what] += 1
        if request_id:
            taken.append((request_id, what))


def stream():
    while not stop.is_set():
        request_id = None
        try:
            raw = client.chat.completions.with_raw_response.create(
                model="tollgate-small", messages=[{"role": "user", "content": "Hello!"}], max_tokens=400, stream=True,
                extra_body={"ignore_eos": True})
            request_id = raw.headers["x-tollgate-request-id"]
            finished = [chunk.choices[0].finish_reason for chunk in raw.parse() if chunk.choices]
            note("whole" if finished and finished[-1] == "length" else "ended without a word", request_id)
        except openai.APIStatusError as error:
            note(f"refused {error.status_code}", error.response.headers.get("x-tollgate-request-id"))
            time.sleep(0.02)
        except openai.APIError:
            note("cut", request_id)


def worker():
    (found,) = admin("/workers")["data"]
    return found


def ready_again(restarts):
    deadline = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline:
        found = worker()
        if found["state"] == "ready" and found["restarts"] >= restarts:
            return True
        time.sleep(0.05)
    return False


def outcome(request_id, wait_s):
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return admin(f"/requests/{request_id}")["outcome"]
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)


def main():
    before = worker()["restarts"]
    threads = [threading.Thread(target=stream, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    back = []
    for kill in range(1, KILLS + 1):
        time.sleep(UNDER_LOAD_S)
        killed_at = time.monotonic()
        os.kill(worker()["pid"], signal.SIGKILL)
        assert ready_again(before + kill), worker()
        back.append(time.monotonic() - killed_at)
    whole_before = seen["whole"]
    time.sleep(UNDER_LOAD_S)
    stop.set()
    for thread in threads:
        thread.join()
    outcomes = collections.Counter()
    lost = []
    for request_id, what in taken:
        # A refusal before anything was opened is in no book, and is not waited for; all else is there within a second or so.
        refused = what.startswith("refused")
        found = outcome(request_id, 0 if refused else 10)
        outcomes[(what, found)] += 1
        if found is None and not refused:
            lost.append((request_id, what))
    print(f"kills {KILLS}, back after {', '.join(f'{s:.1f}' for s in back)} s; clients saw {dict(seen)}")
    print("outcomes", {f"{what} / {found}": n for (what, found), n in sorted(outcomes.items(), key=str)}, "lost", len(lost))
    good = not lost and seen["cut"] > 0 and seen["whole"] > whole_before and seen["ended without a word"] == 0
    good &= all(found in ("length", "complete") for (what, found) in outcomes if what == "whole")
    good &= all(found == "truncated" for (what, found) in outcomes if what == "cut")
    sys.exit(0 if good else 1)


main()

"""Our signatures and event-stream frames against botocore's, on random requests and frames.

`examples/sigv4.rs` and `crates/eventstream/examples/frames.rs` answer a JSON line with a JSON line. No gateway is needed.
"""

import datetime
import json
import os
import random
import struct
import subprocess
from pathlib import Path
from zlib import crc32

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "examples"
CASES = 200


def ask(example, questions):
    lines = "".join(json.dumps(question) + "\n" for question in questions)
    told = subprocess.run([EXAMPLES / example], input=lines, capture_output=True, text=True, check=True).stdout
    answers = [json.loads(line) for line in told.splitlines()]
    assert len(answers) == len(questions)
    return answers


# Signatures


MODELS = [
    "anthropic.claude-3-5-sonnet-20241022-v2%3A0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
    "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0",
    "mistral.mixtral-8x7b-instruct-v0%3A1",
    "plain",
    "w%20ith%20space~and%2Bplus",
]
OPERATIONS = ["converse", "converse-stream", "invoke", "invoke-with-response-stream"]


def random_request(rng):
    path = f"/model/{rng.choice(MODELS)}/{rng.choice(OPERATIONS)}"
    path = rng.choice([path, path, path, path + "/", "/a/../b/./c", "//double" + path, "/"])
    pairs = [f"{rng.choice('abAB')}{rng.randrange(3)}" + rng.choice(["", "=", "=1", "=%2F%3D", "=z~"]) for _ in range(rng.randrange(4))]
    host = rng.choice(["bedrock-runtime.eu-west-1.amazonaws.com", "localhost:4566", "vpce-1.amazonaws.com:443", "127.0.0.1:80"])
    headers = {}
    if rng.random() < 0.8:
        headers["content-type"] = rng.choice(["application/json", "application/json;   charset=utf-8", " application/json "])
    if rng.random() < 0.3:
        headers["x-amz-meta"] = rng.choice(["a", "two  words", "  trimmed\tand tabbed  "])
    time = datetime.datetime(2015, 1, 1) + datetime.timedelta(seconds=rng.randrange(20 * 365 * 86400), microseconds=rng.randrange(10**6))
    return {
        "method": rng.choice(["POST", "POST", "GET"]),
        "uri": f"{rng.choice(['https', 'http'])}://{host}{path}" + ("?" + "&".join(pairs) if pairs else ""),
        "headers": headers,
        "body": rng.randbytes(rng.choice([0, 1, 63, 64, 65, 1000, 70000])).hex(),
        "access_key_id": "AKIA" + "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16)),
        "secret_access_key": "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/+", k=40)),
        "session_token": "".join(rng.choices("abcXYZ019/+=", k=rng.randrange(1, 400))) if rng.random() < 0.5 else None,
        "region": rng.choice(["us-east-1", "eu-central-1", "ap-northeast-3"]),
        "unix_us": int(time.replace(tzinfo=datetime.timezone.utc).timestamp()) * 10**6 + time.microsecond,
        "time": time,
    }


def botocore_signs(request, monkeypatch):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda **_: request["time"])
    credentials = Credentials(request["access_key_id"], request["secret_access_key"], request["session_token"])
    signed = AWSRequest(method=request["method"], url=request["uri"], headers=dict(request["headers"]), data=bytes.fromhex(request["body"]))
    botocore.auth.SigV4Auth(credentials, "bedrock", request["region"]).add_auth(signed)
    return {name: signed.headers.get(name) for name in ("authorization", "x-amz-date", "x-amz-security-token")}


def test_signatures_are_those_that_botocore_makes(monkeypatch):
    rng = random.Random(20241022)
    requests = [random_request(rng) for _ in range(CASES)]
    ours = ask("sigv4", [{name: value for name, value in request.items() if name != "time"} for request in requests])
    for request, answer in zip(requests, ours):
        assert answer == botocore_signs(request, monkeypatch), request


# Frames


def random_value(rng):
    """A header's type, its bytes on the wire, and what our reader calls it."""
    kind = rng.choices(range(10), weights=[1] * 7 + [6, 1, 1])[0]
    if kind < 2:
        return kind, b"", kind == 0
    if kind in (6, 7):
        value = "".join(rng.choices("abcé \u20ac", k=rng.randrange(40))).encode() if kind == 7 else rng.randbytes(rng.randrange(40))
        return kind, struct.pack(">H", len(value)) + value, value.decode() if kind == 7 else value.hex()
    value = rng.randbytes({2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}[kind])
    return kind, value, value.hex()


def random_frame(rng):
    headers, told = b"", []
    for number in range(rng.randrange(6)):
        name = rng.choice([":event-type", ":message-type", "x"]) + str(number)
        kind, value, shown = random_value(rng)
        headers += bytes([len(name)]) + name.encode() + bytes([kind]) + value
        told.append([name, kind, shown])
    payload = rng.randbytes(rng.choice([0, 1, 30, 300, 5000]))
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    prelude += struct.pack(">I", crc32(prelude))
    frame = prelude + headers + payload
    return frame + struct.pack(">I", crc32(frame)), {"headers": told, "payload": payload.hex()}


def cut(rng, stream):
    chunks = []
    while stream:
        size = rng.choice([1, 2, 11, 100, 4000])
        chunks.append(stream[:size])
        stream = stream[size:]
    return chunks


def botocore_reads(chunks):
    """Names and payloads of the frames before the first that botocore refuses, and whether it refused one."""
    buffer, frames = EventStreamBuffer(), []
    try:
        for chunk in chunks:
            buffer.add_data(chunk)
            for event in buffer:
                frames.append((sorted(event.headers), event.payload.hex()))
    except Exception:  # botocore has an error for each kind of damage, and Python's own for headers that are none
        return frames, False
    return frames, True


def test_random_streams_are_read_as_botocore_reads_them():
    rng = random.Random(7)
    streams = [[random_frame(rng) for _ in range(rng.randrange(1, 5))] for _ in range(CASES)]
    chunked = [cut(rng, b"".join(frame for frame, _ in stream)) for stream in streams]
    ours = ask("frames", [{"read": [chunk.hex() for chunk in chunks]} for chunks in chunked])
    for stream, chunks, answer in zip(streams, chunked, ours):
        assert answer == {"frames": [told for _, told in stream], "intact": True, "whole": True}
        frames, intact = botocore_reads(chunks)
        assert intact and frames == [(sorted(name for name, _, _ in told["headers"]), told["payload"]) for _, told in stream]


def test_damage_is_found_where_botocore_finds_it():
    rng = random.Random(11)
    damaged = []
    for _ in range(CASES):
        stream = bytearray(b"".join(random_frame(rng)[0] for _ in range(rng.randrange(1, 5))))
        for _ in range(rng.choice([1, 1, 1, 3])):
            stream[rng.randrange(len(stream))] ^= 1 << rng.randrange(8)
        damaged.append(cut(rng, bytes(stream)))
    ours = ask("frames", [{"read": [chunk.hex() for chunk in chunks]} for chunks in damaged])
    found = 0
    for chunks, answer in zip(damaged, ours):
        frames, intact = botocore_reads(chunks)
        shown = [(sorted(name for name, _, _ in frame["headers"]), frame["payload"]) for frame in answer["frames"]]
        # Lengths that are too large botocore refuses before their checksum, we after it: both refuse.
        assert (answer["intact"], shown) == (intact, frames)
        found += not intact
    assert found > CASES * 0.9


@pytest.mark.parametrize("kind", ["event", "exception"])
def test_botocore_reads_what_we_write(kind):
    rng = random.Random(13)
    asked = []
    for _ in range(CASES // 2):
        headers = [[":message-type", kind], [f":{kind}-type", "".join(rng.choices("aeiou€", k=rng.randrange(30)))]]
        asked.append({"write": {"headers": headers, "payload": rng.randbytes(rng.randrange(2000)).hex()}})
    for question, answer in zip(asked, ask("frames", asked)):
        buffer = EventStreamBuffer()
        buffer.add_data(bytes.fromhex(answer["frame"]))
        (event,) = list(buffer)
        assert event.headers == dict(question["write"]["headers"]) and event.payload.hex() == question["write"]["payload"]

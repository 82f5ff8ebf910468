"""500 random requests through the gateway to a real worker, by the official SDK: plain, streamed, left early, long, wrong.

For each one the entry's usage is held against the tokenizer's own count, and in the end the costs of all entries against
the busy time of the worker's device. Everything comes from the environment:

TOLLGATE_BASE_URL, TOLLGATE_KEY, TOLLGATE_ADMIN_URL, TOLLGATE_ADMIN_TOKEN   the gateway
TOLLGATE_WORKER_URL                                                       its one worker, which nobody else uses
TOLLGATE_MODEL_DIR                                                        the model's folder
TOLLGATE_DEVICE_USD_PER_HOUR                                              the device's price, energy included
"""

import concurrent.futures
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from decimal import Decimal

import openai
from tokenizers import Tokenizer

REQUESTS = 500
# After so many the worker has grown as far as it grows.
WARM = 150
GROWTH_MAX = 1.15
CLIENTS = 6
WORDS = ["Hello!", "What", " is", " a token?", " price", " of", "\n", " ünï", "日本", "🙂", "<|end|>", "<|user|>", " 12", "."]

env = os.environ
tokenizer = Tokenizer.from_file(f"{env['TOLLGATE_MODEL_DIR']}/tokenizer.json")
plain_tokenizer = json.loads(tokenizer.to_str())
plain_tokenizer["added_tokens"] = [t for t in plain_tokenizer["added_tokens"] if not t["special"]]
plain_tokenizer = Tokenizer.from_str(json.dumps(plain_tokenizer))
client = openai.OpenAI(base_url=env["TOLLGATE_BASE_URL"], api_key=env["TOLLGATE_KEY"], max_retries=0, timeout=60)


def get(url, token=None):
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def prompt_count(messages):
    """Control tokens stand for themselves; what a user wrote is text, whatever it looks like."""
    texts = sum(len(plain_tokenizer.encode(m["content"], add_special_tokens=False).ids) for m in messages)
    return texts + 2 * len(messages) + 1


def one(number):
    dice = random.Random(number)
    messages = [{"role": "system", "content": "Be short."}] if dice.random() < 0.2 else []
    text = "".join(dice.choice(WORDS) for _ in range(120 if dice.random() < 0.08 else dice.randint(1, 60)))
    messages.append({"role": "user", "content": text})
    kind = dice.choice(["plain", "streamed", "left", "timed_out"])
    arguments = {
        "model": "tollgate-small", "messages": messages, "temperature": dice.choice([0, 0.8, 1.3]), "seed": number,
        "max_tokens": dice.randint(1, 80), "extra_body": {"return_token_ids": True, "ignore_eos": dice.random() < 0.3},
    }
    expected = {"number": number, "kind": kind, "prompt": prompt_count(messages)}
    if dice.random() < 0.06:
        arguments["temperature"] = 9
        try:
            client.chat.completions.create(**arguments)
        except openai.BadRequestError:
            return "refused"
        raise AssertionError(f"{number}: a temperature of 9 was taken")
    if kind == "plain":
        raw = client.chat.completions.with_raw_response.create(**arguments)
        answer = raw.parse()
        ids = answer.choices[0].model_extra["token_ids"]
        check_text(ids, answer.choices[0].message.content, number)
        return expected | {"id": raw.headers["x-tollgate-request-id"], "output": len(ids)}
    if kind == "timed_out":
        arguments["max_tokens"], arguments["extra_body"]["ignore_eos"] = 400, True
        try:
            raw = client.with_options(timeout=dice.uniform(0.005, 0.08)).chat.completions.with_raw_response.create(**arguments)
        except openai.APITimeoutError:
            return None
        return expected | {"id": raw.headers["x-tollgate-request-id"]}
    if kind == "left":
        arguments["max_tokens"], arguments["extra_body"]["ignore_eos"] = 400, True
    raw = client.chat.completions.with_raw_response.create(stream=True, **arguments)
    expected["id"] = raw.headers["x-tollgate-request-id"]
    stream = raw.parse()
    ids, text = [], ""
    leave_after = dice.randint(0, 30) if kind == "left" else None
    for seen, chunk in enumerate(stream):
        if seen == leave_after:
            stream.close()
            return expected | {"at_least": len(ids)}
        for choice in chunk.choices:
            ids += (choice.model_extra or {}).get("token_ids", [])
            text += choice.delta.content or ""
    check_text(ids, text, number)
    return expected | {"output": len(ids)}


def check_text(ids, text, number):
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert decoded.rstrip("\ufffd") == text.rstrip("\ufffd"), (number, decoded, text)


def resident_kib():
    """Memory of the worker's process."""
    (worker,) = get(f"{env['TOLLGATE_ADMIN_URL']}/admin/v1/workers", env["TOLLGATE_ADMIN_TOKEN"])["data"]
    with open(f"/proc/{worker['pid']}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def entry(request_id):
    deadline = time.monotonic() + 20
    while True:
        try:
            return get(f"{env['TOLLGATE_ADMIN_URL']}/admin/v1/requests/{request_id}", env["TOLLGATE_ADMIN_TOKEN"])
        except urllib.error.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main():
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(one, range(WARM)))
        warm_kib = resident_kib()
        results += list(pool.map(one, range(WARM, REQUESTS)))
        grown = resident_kib() / warm_kib
    refused = results.count("refused")
    known = [result for result in results if result and result != "refused"]
    wrong, kinds, sources = [], {}, {}
    for result in known:
        booked = entry(result["id"])
        (line,) = booked["lines"]
        usage, record = line["usage"], get(f"{env['TOLLGATE_WORKER_URL']}/v1/requests/{result['id']}.0")
        kinds[result["kind"]] = kinds.get(result["kind"], 0) + 1
        sources[booked["usage_source"]] = sources.get(booked["usage_source"], 0) + 1
        exact = (usage["input_uncached"], usage["output"]) == (
            record["usage"]["prompt_tokens"], record["usage"]["completion_tokens"])
        exact &= line["worker"] == record["usage"]["worker"] and booked["usage_source"] == "provider_final"
        whole = record["finish_reason"] != "cancelled"
        exact &= usage["input_uncached"] == result["prompt"] if whole else usage["input_uncached"] <= result["prompt"]
        exact &= usage["output"] == result.get("output", usage["output"]) and usage["output"] >= result.get("at_least", 0)
        if not exact:
            wrong.append((result, usage, line["worker"], record, booked["outcome"], booked["usage_source"]))
    # Those whose client left before it knew an id are in the sums.
    deadline = time.monotonic() + 20
    while True:
        health = get(f"{env['TOLLGATE_WORKER_URL']}/health")
        (sums,) = get(f"{env['TOLLGATE_ADMIN_URL']}/admin/v1/usage?by=model", env["TOLLGATE_ADMIN_TOKEN"])["data"]
        if sums["input_uncached"] == health["prompt_tokens_total"] or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    busy = health["prefill_busy_us_total"] + health["decode_busy_us_total"]
    device = Decimal(env["TOLLGATE_DEVICE_USD_PER_HOUR"]) * busy / health["engine_threads"] / 3_600_000_000
    share = Decimal(sums["cost_usd"]) / device
    print(f"requests {REQUESTS}: {kinds}, refused {refused}, left before an id was known {REQUESTS - len(known) - refused}; sources {sources}; wrong {len(wrong)}")
    print(f"tokens: entries {sums['input_uncached']} + {sums['output']}, worker {health['prompt_tokens_total']} + {health['completion_tokens_total']}")
    print(f"cost of entries {sums['cost_usd']} USD, of the device's busy time {device:.9f} USD: {share:.6f}")
    print(f"worker's memory {warm_kib} KiB after {WARM} requests, x {grown:.3f} after all")
    for case in wrong[:5]:
        print("wrong:", case)
    same = (sums["input_uncached"], sums["output"]) == (health["prompt_tokens_total"], health["completion_tokens_total"])
    sys.exit(0 if not wrong and same and grown < GROWTH_MAX and abs(share - 1) < Decimal("0.01") else 1)


main()

"""Sends traffic to a gateway that a Prometheus scrapes, and asks Prometheus what it made of it. Called by test-prometheus.sh.

Usage: test-prometheus.py PROMETHEUS GATEWAY KEY ADMIN TOKEN_FILE
"""
import json
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PROMETHEUS, GATEWAY, KEY, ADMIN, TOKEN_FILE = sys.argv[1:]
MODEL = "gpt-4.1-nano"
# A gateway without a worker has no rows for them.
WITHOUT_ROWS = {"tollgate_worker_ready", "tollgate_worker_restarts_total", "tollgate_worker_queued"}


def fetch(url, token=None, body=None):
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=body and json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def chat(user, model=MODEL, key=KEY):
    try:
        fetch(f"{GATEWAY}/v1/chat/completions", key, {"model": model, "user": user, "messages": [{"role": "user", "content": "hi"}]})
    except urllib.error.HTTPError as refused:
        refused.read()


def ask(path, **parameters):
    answer = json.loads(fetch(f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
    assert answer["status"] == "success", answer
    return answer["data"]


def query(expression):
    return [(row["metric"], float(row["value"][1])) for row in ask("query", query=expression)["result"]]


def until(what, seconds, check):
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.3)


def rules():
    return [rule for group in ask("rules")["groups"] for rule in group["rules"]]


until("the gateway is scraped", 20, lambda: query('up{job="tollgate"} == 1'))
for number in range(60):
    chat("fail" if number % 3 == 0 else "well")
chat("well", model="nobody-has-this")
chat("well", key="tg-000000000000-" + "0" * 64)

expected = {("2xx", "ok"): 40.0, ("5xx", "upstream_error"): 20.0, ("4xx", "model_not_found"): 1.0, ("4xx", "invalid_api_key"): 1.0}


def counted():
    rows = query("sum by (status, code) (tollgate_requests_total)")
    return {(labels["status"], labels["code"]): value for labels, value in rows} == expected


until("Prometheus has every request", 20, counted)
assert query("sum(tollgate_tokens_total)") == [({}, 320.0)], query("tollgate_tokens_total")
assert query("sum(tollgate_charge_usd_total) > 0") and query("sum(tollgate_cost_usd_total) > 0")
assert query("tollgate_upstream_seconds_count")[0][1] == 60.0
assert query("histogram_quantile(0.99, sum by (le) (tollgate_first_byte_seconds_bucket)) > 0")
until("posting has caught up", 20, lambda: query("tollgate_journal_lag_entries == 0"))

page = fetch(f"{ADMIN}/metrics", open(TOKEN_FILE).read().strip())
described = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE tollgate_")}
stored = set(ask("label/__name__/values"))
bare = {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in stored} | stored
assert described <= bare, described - bare
checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
# This one has the name that the project's metrics have had since its first day.
complaints = [line for line in checked.stderr.splitlines() if line and not line.startswith("tollgate_usage_gap_total ")]
assert not complaints, complaints

# Every rule was evaluated, without an error, after the traffic.
now = time.time()


def all_evaluated():
    found = rules()
    fresh = [rule for rule in found if not rule["lastEvaluation"].startswith("0001") and rule["evaluationTime"] >= 0]
    return found if len(fresh) == len(found) and time.time() > now + 3 else None


found = until("every rule is evaluated", 20, all_evaluated)
bad = [(rule["name"], rule["health"], rule.get("lastError")) for rule in found if rule["health"] != "ok"]
assert found and not bad, bad
# A third of the requests failed upstream: that one is noticed, and nothing else.
noticed = until("the failing provider is noticed", 60, lambda: {rule["name"] for rule in rules() if rule["state"] != "inactive"})
assert noticed == {"TollgateProviderErrors"}, noticed
# A metric that an alert reads and that no gateway has would never fire.
read = set()
for rule in found:
    read |= {word for word in rule["query"].replace("(", " ").replace("{", " ").replace(")", " ").replace("[", " ").split() if word.startswith(("tollgate_", "process_"))}
unknown = read - stored - WITHOUT_ROWS
assert not unknown, unknown
series = query('count({job="tollgate"})')[0][1]
print(f"prometheus: {len(described)} metrics, {series:.0f} series, {len(found)} rules evaluated, all with health ok; pending: {', '.join(noticed)}")

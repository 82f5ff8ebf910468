"""Clients of the gateway under test, and its books.

The environment says where everything is; a missing variable fails the run at once, nothing is skipped:

TOLLGATE_BASE_URL         data plane with /v1, its upstream being tollgate-fake-upstream
TOLLGATE_ROOT_URL         the same without a path: where the other SDKs have their base
TOLLGATE_FAKE_URL         the scripted upstream
TOLLGATE_CUSTOMER         the customer of the keys
TOLLGATE_KEY              a key with room for some hundred requests and a requests-per-minute limit
TOLLGATE_LIMITED_KEY      a key with 3 requests per minute
TOLLGATE_OTHER_KEY        a key of another customer
TOLLGATE_MODEL            a public chat model that is priced and served by the scripted upstream
TOLLGATE_EMBEDDING_MODEL  the same for embeddings
TOLLGATE_ADMIN_URL        admin plane, without a path
TOLLGATE_ADMIN_TOKEN      its bearer token
"""

import os
import time
from dataclasses import dataclass

import httpx2
import openai
import pytest

BOOKED_WITHIN_S = 2.0
SLOW = {"first_delay_ms": 600}  # longer than a client waits that has SHORT_S
SHORT_S = 0.2
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Settings:
    base_url: str
    root_url: str
    fake_url: str
    customer: str
    key: str
    limited_key: str
    other_key: str
    model: str
    embedding_model: str
    admin_url: str
    admin_token: str


NAMES = {field: f"TOLLGATE_{field.upper()}" for field in Settings.__dataclass_fields__}


def pytest_sessionstart(session):
    missing = [name for name in NAMES.values() if not os.environ.get(name)]
    if missing:
        pytest.exit("these environment variables are missing: " + ", ".join(missing), returncode=2)


@pytest.fixture(scope="session")
def settings() -> Settings:
    values = {field: os.environ[name] for field, name in NAMES.items()}
    values["admin_url"] = values["admin_url"].rstrip("/")
    return Settings(**values)


@pytest.fixture(scope="session")
def client(settings):
    with openai.OpenAI(base_url=settings.base_url, api_key=settings.key, max_retries=0, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture
async def async_client(settings):
    async with openai.AsyncOpenAI(
        base_url=settings.base_url, api_key=settings.key, max_retries=0, timeout=TIMEOUT_S
    ) as client:
        yield client


@pytest.fixture(scope="session")
def http(settings):
    """The data plane without an SDK, for bodies that no SDK would send."""
    headers = {"authorization": f"Bearer {settings.key}", "content-type": "application/json"}
    with httpx2.Client(base_url=settings.base_url, headers=headers, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture(scope="session")
def books(settings):
    """What the books say about one request; waits until they know it."""
    headers = {"authorization": f"Bearer {settings.admin_token}"}
    with httpx2.Client(base_url=settings.admin_url, headers=headers, timeout=TIMEOUT_S) as admin:

        def read(request_id: str) -> dict:
            end = time.monotonic() + BOOKED_WITHIN_S
            while True:
                answer = admin.get(f"/admin/v1/requests/{request_id}")
                if answer.status_code == 200:
                    entry = answer.json()
                    assert entry["request_id"] == request_id
                    return entry
                assert answer.status_code == 404, answer.text
                assert time.monotonic() < end, f"request {request_id} is not in the books after {BOOKED_WITHIN_S} s"
                time.sleep(0.02)

        yield read


class Fake:
    """The scripted upstream, for SDKs that cannot send a script and for what arrived there."""

    def __init__(self, http):
        self.http = http

    def script(self, **fields):
        """For requests that bring none; also forgets what arrived."""
        self.http.post("/__fake/script", json=fields).raise_for_status()
        self.http.post("/__fake/reset").raise_for_status()

    def plan(self, **fields):
        """How what is kept behaves from now on; without fields, as usual."""
        self.http.post("/__fake/plan", json=fields).raise_for_status()

    def count(self) -> int:
        return self.http.get("/__fake/count").json()["count"]

    def last_body(self) -> dict:
        return self.http.get("/__fake/last_body").json()


@pytest.fixture
def fake(settings):
    with httpx2.Client(base_url=settings.fake_url) as http:
        fake = Fake(http)
        fake.script()
        yield fake
        fake.script()
        fake.plan()


@pytest.fixture(scope="session")
def admin(settings):
    headers = {"authorization": f"Bearer {settings.admin_token}"}
    with httpx2.Client(base_url=f"{settings.admin_url}/admin/v1", headers=headers, timeout=TIMEOUT_S) as admin:
        yield admin


@pytest.fixture(scope="session")
def new_key(settings, admin):
    """Makes keys; the answer has `key` and `id`."""

    def make(**fields) -> dict:
        answer = admin.post("/keys", json={"customer_id": settings.customer, **fields})
        assert answer.is_success, answer.text
        return answer.json()

    return make


@pytest.fixture(scope="session")
def limited_key(new_key):
    """Makes keys with so many requests a minute."""
    return lambda requests_per_minute: new_key(requests_per_minute=requests_per_minute)["key"]


class Ledger:
    """A key of its own, and all that the books say about it: requests that their client has no id of are there, too."""

    def __init__(self, admin, made):
        self.admin = admin
        self.key = made["key"]
        self.key_id = made["id"]

    def sums(self, requests: int) -> dict:
        """Waits for so many requests; more are a failure."""
        end = time.monotonic() + BOOKED_WITHIN_S
        while True:
            rows = self.admin.get("/usage", params={"by": "key", "limit": 1000}).json()["data"]
            found = next((row for row in rows if row["key_id"] == self.key_id), {"requests": 0})
            if found["requests"] >= requests:
                assert found["requests"] == found["attempts"] == requests, found
                return found
            assert time.monotonic() < end, f"{found} after {BOOKED_WITHIN_S} s"
            time.sleep(0.02)

    def has_retried(self, output: int = 8):
        """Two requests are booked, and only one of them cost something: an answer of so many tokens."""
        sums = self.sums(2)
        assert (sums["output"], sums["estimated"]) == (output, 0), sums
        assert float(sums["charge_usd"]) > 0

    def has_left(self, output: int = 8):
        """One request is booked, of a client that did not wait: the gateway did, and the provider said so many tokens."""
        sums = self.sums(1)
        assert (sums["output"], sums["estimated"]) == (output, 0), sums
        assert float(sums["charge_usd"]) > 0


@pytest.fixture
def ledger(admin, new_key):
    return Ledger(admin, new_key())

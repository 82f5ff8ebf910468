"""The official SDKs on what a customer keeps at a provider: files, batches, responses, conversations."""

import json
import time

import anthropic
import openai
import pytest

MESSAGES = [{"role": "user", "content": "one two three"}]
BATCHES_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def other(settings):
    with openai.OpenAI(base_url=settings.base_url, api_key=settings.other_key, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def claude(settings):
    with anthropic.Anthropic(base_url=settings.root_url, api_key=settings.key, max_retries=0, timeout=20) as client:
        yield client


def until(done, what):
    end = time.monotonic() + BATCHES_WITHIN_S
    while not (found := done()):
        assert time.monotonic() < end, f"{what} after {BATCHES_WITHIN_S} s"
        time.sleep(0.05)
    return found


def lines(model, names, **fake):
    body = {"model": model, "messages": MESSAGES, "x_fake": fake}
    row = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    return "".join(json.dumps({"custom_id": name, **row}) + "\n" for name in names).encode()


def output_tokens(settings):
    """Of everything that is in the books."""
    import httpx2

    headers = {"authorization": f"Bearer {settings.admin_token}"}
    answer = httpx2.get(f"{settings.admin_url}/admin/v1/usage", params={"by": ""}, headers=headers)
    rows = answer.json()["data"]
    return rows[0]["output"] if rows else 0


def settled(settings):
    """The same, when nothing of what went before is on its way to the books any more."""
    seen = output_tokens(settings)
    quiet_since = time.monotonic()

    def is_quiet():
        nonlocal seen, quiet_since
        now = output_tokens(settings)
        if now != seen:
            seen, quiet_since = now, time.monotonic()
        return time.monotonic() - quiet_since > 1.5

    until(is_quiet, "the books do not come to rest")
    return seen


class TestFiles:
    def test_a_file_comes_back_as_it_was_and_goes_away(self, client):
        made = client.files.create(file=("notes.txt", b"some text"), purpose="user_data")
        assert client.files.retrieve(made.id).purpose == "user_data"
        assert client.files.content(made.id).text == "some text"
        assert made.id in [file.id for file in client.files.list(limit=2)]
        assert client.files.delete(made.id).deleted
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(made.id)

    def test_another_customer_finds_nothing_and_nothing_is_asked(self, client, other, fake):
        made = client.files.create(file=("notes.txt", b"some text"), purpose="user_data")
        fake.script()
        for call in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                call(made.id)
        assert made.id not in [file.id for file in other.files.list()]
        assert fake.count() == 0

    def test_a_batch_file_that_could_not_be_metered_is_refused(self, client, settings, fake):
        fake.script()
        bad = lines(settings.model, ["a"]).replace(b"/v1/chat/completions", b"/v1/videos")
        with pytest.raises(openai.BadRequestError) as caught:
            client.files.create(file=("requests.jsonl", bad), purpose="batch")
        assert caught.value.param == "url" and fake.count() == 0


class TestBatches:
    def test_a_batch_is_done_and_each_of_its_results_is_booked(self, client, settings, books, fake):
        before = settled(settings)
        file = client.files.create(file=("r.jsonl", lines(settings.model, ["a", "b"], chunks=3)), purpose="batch")
        raw = client.batches.with_raw_response.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"x": "y"}
        )
        batch = raw.parse()
        done = until(lambda: (b := client.batches.retrieve(batch.id)).status == "completed" and b, "the batch is not done")
        results = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
        assert {result["custom_id"] for result in results} == {"a", "b"}
        assert done.metadata == {"x": "y"} and batch.id in [b.id for b in client.batches.list(limit=1)]
        entry = books(raw.headers["x-tollgate-request-id"])
        assert (entry["outcome"], entry["usage_source"]) == ("pending", "deferred")
        until(lambda: output_tokens(settings) == before + 6, "the results are not booked")

    def test_a_batch_can_be_cancelled(self, client, settings, fake):
        fake.plan(hold=True)
        file = client.files.create(file=("r.jsonl", lines(settings.model, ["a", "b"])), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert client.batches.cancel(batch.id).status == "cancelled"

    def test_another_customer_cannot_use_a_file_or_see_a_batch(self, client, other, settings):
        file = client.files.create(file=("r.jsonl", lines(settings.model, ["a"])), purpose="batch")
        wanted = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        with pytest.raises(openai.NotFoundError) as caught:
            other.batches.create(**wanted)
        assert caught.value.param == "input_file_id"
        batch = client.batches.create(**wanted)
        for call in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                call(batch.id)


class TestResponses:
    def test_a_stored_response_can_be_read_gone_on_with_and_deleted(self, client, other, settings):
        for stream in (False, True):
            made = client.responses.create(model=settings.model, input="one two three", stream=stream)
            answer = list(made)[-1].response if stream else made
            assert client.responses.retrieve(answer.id).id == answer.id
            assert client.responses.input_items.list(answer.id).data
            further = client.responses.create(model=settings.model, input="four", previous_response_id=answer.id)
            assert further.output_text
            with pytest.raises(openai.NotFoundError):
                other.responses.retrieve(answer.id)
            with pytest.raises(openai.NotFoundError) as caught:
                other.responses.create(model=settings.model, input="four", previous_response_id=answer.id)
            assert caught.value.code == "previous_response_not_found"
            client.responses.delete(answer.id)
            with pytest.raises(openai.NotFoundError):
                client.responses.retrieve(answer.id)

    def test_a_conversation_keeps_items_and_is_its_customers(self, client, other, settings):
        item = {"type": "message", "role": "user", "content": "hello"}
        made = client.conversations.create(metadata={"topic": "x"}, items=[item])
        assert client.conversations.retrieve(made.id).metadata == {"topic": "x"}
        assert client.conversations.update(made.id, metadata={"topic": "y"}).metadata == {"topic": "y"}
        added = client.conversations.items.create(made.id, items=[item])
        assert len(client.conversations.items.list(made.id).data) == 2
        assert client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id).id == added.data[0].id
        assert client.responses.create(model=settings.model, input="four", conversation=made.id).output_text
        with pytest.raises(openai.NotFoundError):
            other.conversations.items.list(made.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.create(model=settings.model, input="four", conversation=made.id)
        client.conversations.items.delete(added.data[0].id, conversation_id=made.id)
        assert client.conversations.delete(made.id).deleted


class TestMessageBatches:
    def requests(self, *names, **fake):
        params = {"model": "claude-test", "max_tokens": 64, "messages": MESSAGES, "x_fake": fake}
        return [{"custom_id": name, "params": params} for name in names]

    def test_results_come_through_the_gateway_and_are_booked(self, claude, settings, books, fake):
        before = settled(settings)
        raw = claude.messages.batches.with_raw_response.create(requests=self.requests("a", "b", chunks=4))
        batch = raw.parse()
        until(lambda: claude.messages.batches.retrieve(batch.id).processing_status == "ended", "the batch has not ended")
        # The SDK follows the address of the results that the batch tells.
        results = list(claude.messages.batches.results(batch.id))
        assert {result.custom_id for result in results} == {"a", "b"}
        assert all(result.result.message.usage.output_tokens == 4 for result in results)
        until(lambda: output_tokens(settings) == before + 8, "the results are not booked")
        assert books(raw.headers["x-tollgate-request-id"])["outcome"] == "pending"
        assert batch.id in [b.id for b in claude.messages.batches.list(limit=1)]
        assert claude.messages.batches.delete(batch.id).id == batch.id
        with pytest.raises(anthropic.NotFoundError):
            claude.messages.batches.retrieve(batch.id)

    def test_a_batch_can_be_cancelled_and_is_its_customers(self, claude, settings, fake):
        fake.plan(hold=True)
        batch = claude.messages.batches.create(requests=self.requests("a", "b"))
        with anthropic.Anthropic(base_url=settings.root_url, api_key=settings.other_key, max_retries=0) as other:
            for call in (other.messages.batches.retrieve, other.messages.batches.cancel, other.messages.batches.results):
                with pytest.raises(anthropic.NotFoundError):
                    call(batch.id)
        assert claude.messages.batches.cancel(batch.id).processing_status == "ended"

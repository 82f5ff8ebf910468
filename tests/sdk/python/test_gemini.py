"""The official Gemini SDK against the gateway."""

import json

import httpx2
import pytest
from conftest import SHORT_S, SLOW
from google import genai
from google.genai import _interactions_errors as told  # they have no public place in this version
from google.genai import errors, types
from google.genai import interactions as kinds

CALL = {"tool_call": {"name": "weather", "arguments": {"city": "Oslo"}}}
WEATHER = types.FunctionDeclaration(name="weather", parameters_json_schema={"type": "object"})
MODEL = "gemini-test"
PROMPT = "one two three"


def make(settings, key, **options):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=settings.root_url, **options))


@pytest.fixture(scope="module")
def client(settings):
    return make(settings, settings.key)


@pytest.fixture
def own_client(settings, ledger):
    """With a key of its own, and one more try soon after the first."""
    retries = types.HttpRetryOptions(attempts=2, initial_delay=0.05, jitter=0.01)
    return make(settings, ledger.key, retry_options=retries)


def config(fields=None, timeout_ms=None, **more):
    options = types.HttpOptions(extra_body={"x_fake": fields} if fields else None, timeout=timeout_ms)
    return types.GenerateContentConfig(http_options=options, **more)


def booked(books, answer):
    entry = books(answer.sdk_http_response.headers["x-tollgate-request-id"])
    (line,) = entry["lines"]
    assert (entry["dialect"], entry["usage_source"]) == ("gemini", "provider_final")
    return entry, line["usage"]


def test_a_plain_answer_is_booked_as_its_usage_says(client, books):
    answer = client.models.generate_content(model=MODEL, contents=PROMPT, config=config({"reasoning_tokens": 5}))
    assert answer.text.startswith("alpha beta") and answer.usage_metadata.total_token_count == 16
    entry, usage = booked(books, answer)
    assert (usage["input_uncached"], usage["output"], usage["reasoning"]) == (3, 13, 5)
    assert entry["endpoint"] == "/v1beta/models/{model}:generateContent"


def test_a_stream_is_whole_and_booked(client, books):
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=PROMPT))
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    _, usage = booked(books, chunks[-1])
    assert (usage["input_uncached"], usage["output"]) == (3, 8)


async def test_the_async_client_gets_the_same(client, books):
    answer = await client.aio.models.generate_content(model=MODEL, contents=PROMPT)
    assert booked(books, answer)[1]["output"] == 8
    stream = await client.aio.models.generate_content_stream(model=MODEL, contents=PROMPT)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.text or "" for chunk in chunks) == answer.text
    assert booked(books, chunks[-1])[1]["output"] == 8
    with pytest.raises(errors.ServerError):
        await client.aio.models.generate_content(model=MODEL, contents=PROMPT, config=config({"status": 503}))


def test_tools_come_through_plain_and_streamed(client, books, fake):
    fields = config(CALL, tools=[types.Tool(function_declarations=[WEATHER])])
    answer = client.models.generate_content(model=MODEL, contents=PROMPT, config=fields)
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=PROMPT, config=fields))
    for calls in (answer.function_calls, [call for chunk in chunks for call in chunk.function_calls or []]):
        assert [(call.name, call.args) for call in calls] == [("weather", {"city": "Oslo"})]
    assert fake.last_body()["tools"][0]["functionDeclarations"][0]["name"] == "weather"
    assert [booked(books, answer)[1]["output"], booked(books, chunks[-1])[1]["output"]] == [8, 8]


def test_structured_output_comes_through(client):
    structured = config({"text": '["Oslo"]'}, response_mime_type="application/json", response_schema=list[str])
    assert client.models.generate_content(model=MODEL, contents=PROMPT, config=structured).parsed == ["Oslo"]
    chunks = client.models.generate_content_stream(model=MODEL, contents=PROMPT, config=structured)
    assert json.loads("".join(chunk.text or "" for chunk in chunks)) == ["Oslo"]


def test_counting_and_embedding(client, books):
    counted = client.models.count_tokens(model=MODEL, contents=PROMPT)
    assert counted.total_tokens == 3
    entry = books(counted.sdk_http_response.headers["x-tollgate-request-id"])
    assert (entry["counters"], float(entry["charge_usd"])) == ({"counted_input_tokens": 3}, 0)
    contents = [types.Content(parts=[types.Part(text=text)]) for text in ("one two", "three")]
    embedded = client.models.embed_content(model=MODEL, contents=contents)
    assert [len(item.values) for item in embedded.embeddings] == [4, 4]


@pytest.mark.parametrize("fault", ["cut", "clean_cut", "error_mid_stream"])
def test_a_stream_that_is_not_whole_raises_or_has_no_finish(client, fault):
    fields = config({"fault": fault, "at": 4})
    reasons = []
    with pytest.raises(errors.APIError):
        for chunk in client.models.generate_content_stream(model=MODEL, contents=PROMPT, config=fields):
            reasons.append(chunk.candidates[0].finish_reason)
    assert reasons == [None] * 4


def test_errors_are_the_types_that_the_sdk_has_for_them(client, settings):
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="no-such-model", contents=PROMPT)
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    wrong = make(settings, "wrong")
    with pytest.raises(errors.ClientError) as caught:
        wrong.models.generate_content(model=MODEL, contents=PROMPT)
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    for status, kind in [(400, errors.ClientError), (409, errors.ClientError), (429, errors.ClientError), (500, errors.ServerError), (503, errors.ServerError)]:
        with pytest.raises(kind) as caught:
            client.models.generate_content(model=MODEL, contents=PROMPT, config=config({"status": status}))
        assert caught.value.code == status


def test_a_model_beyond_the_keys_scope_is_denied(settings, new_key):
    narrow = make(settings, new_key(models=[settings.model])["key"])
    with pytest.raises(errors.ClientError) as caught:
        narrow.models.generate_content(model=MODEL, contents=PROMPT)
    assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")


def test_a_limited_key_is_told_when_to_come_back(settings, limited_key):
    limited = make(settings, limited_key(1))
    limited.models.generate_content(model=MODEL, contents=PROMPT)
    with pytest.raises(errors.ClientError) as caught:
        limited.models.generate_content(model=MODEL, contents=PROMPT)
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    assert any("retryDelay" in detail for detail in caught.value.details["error"]["details"])


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"fault": "html"}])
def test_a_retry_succeeds_and_each_try_is_booked_once(own_client, books, fake, ledger, fault):
    fake.script(**fault, times=1)
    answer = own_client.models.generate_content(model=MODEL, contents=PROMPT)
    assert (booked(books, answer)[1]["output"], fake.count()) == (8, 2)
    ledger.has_retried()


async def test_the_async_client_tries_again(own_client, fake, ledger):
    fake.script(status=503, times=1)
    await own_client.aio.models.generate_content(model=MODEL, contents=PROMPT)
    assert fake.count() == 2
    ledger.has_retried()


def test_a_timeout_is_one_and_is_booked(settings, ledger):
    own = make(settings, ledger.key)
    with pytest.raises(httpx2.ReadTimeout):
        own.models.generate_content(model=MODEL, contents=PROMPT, config=config(SLOW, timeout_ms=int(SHORT_S * 1000)))
    ledger.has_left()


class TestInteractions:
    @staticmethod
    def ask(client, fields=None, **more):
        body = {"x_fake": fields} if fields else None
        return client.interactions.create(model=MODEL, input=PROMPT, extra_body=body, **more)

    def test_a_plain_one_is_booked_as_its_usage_says(self, own_client, ledger):
        answer = self.ask(own_client, {"reasoning_tokens": 5})
        assert answer.output_text.startswith("alpha beta") and answer.status == "completed"
        assert (answer.usage.total_output_tokens, answer.usage.total_thought_tokens) == (8, 5)
        sums = ledger.sums(1)
        assert [sums[name] for name in ("input_uncached", "output", "reasoning", "estimated")] == [3, 13, 5, 0]

    def test_a_stream_is_whole_and_booked(self, own_client, ledger):
        events = list(self.ask(own_client, stream=True))
        assert [events[0].event_type, events[-1].event_type] == ["interaction.created", "interaction.completed"]
        text = "".join(event.delta.text for event in events if isinstance(event, kinds.StepDelta))
        assert text.startswith("alpha beta") and events[-1].interaction.usage.total_output_tokens == 8
        sums = ledger.sums(1)
        assert (sums["input_uncached"], sums["output"], sums["estimated"]) == (3, 8, 0)

    async def test_the_async_client_streams(self, own_client, ledger):
        body = {"x_fake": {"chunks": 5}}
        stream = await own_client.aio.interactions.create(model=MODEL, input=PROMPT, stream=True, extra_body=body)
        events = [event async for event in stream]
        assert events[-1].interaction.usage.total_output_tokens == ledger.sums(1)["output"] == 5

    def test_tools_and_structured_output_come_through(self, client):
        tools = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
        answer = self.ask(client, CALL, tools=tools)
        assert answer.status == "requires_action"
        assert [(step.name, step.arguments) for step in answer.steps] == [("weather", {"city": "Oslo"})]
        deltas = [event.delta for event in self.ask(client, CALL, tools=tools, stream=True) if isinstance(event, kinds.StepDelta)]
        assert json.loads("".join(delta.arguments for delta in deltas)) == {"city": "Oslo"}
        form = {"type": "text", "mime_type": "application/json", "schema": {"type": "array"}}
        assert json.loads(self.ask(client, {"text": '["Oslo"]'}, response_format=form).output_text) == ["Oslo"]

    @pytest.mark.parametrize("fault", ["cut", "clean_cut", "error_mid_stream"])
    def test_a_stream_that_is_not_whole_ends_with_an_error(self, own_client, ledger, fault):
        events = list(self.ask(own_client, {"fault": fault, "at": 4}, stream=True))
        assert isinstance(events[-1], kinds.ErrorEvent) and events[-1].error.message
        assert not any(isinstance(event, kinds.InteractionCompletedEvent) for event in events)
        sums = ledger.sums(1)
        assert sums["output"] > 0 and sums["estimated"] == 1

    def test_errors_are_the_types_that_the_sdk_has_for_them(self, client):
        with pytest.raises(told.NotFoundError):
            client.interactions.create(model="no-such-model", input=PROMPT)
        with pytest.raises(told.BadRequestError):
            self.ask(client, {"status": 400})

    def test_a_retry_succeeds_and_a_timeout_is_one(self, own_client, fake, ledger):
        fake.script(status=503, times=1)
        assert self.ask(own_client).usage.total_output_tokens == 8
        assert fake.count() == 2
        ledger.has_retried()
        with pytest.raises(told.APITimeoutError):
            self.ask(own_client, SLOW, timeout=SHORT_S)
        assert ledger.sums(3)["output"] == 16

"""The official Cohere SDK against the gateway."""

import json

import cohere
import httpx
import pytest
from conftest import SHORT_S, SLOW

MODEL = "command-test"
CALL = {"tool_call": {"name": "weather", "arguments": {"city": "Oslo"}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
MESSAGES = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def client(settings):
    return cohere.ClientV2(api_key=settings.key, base_url=settings.root_url)


@pytest.fixture
def own_client(settings, ledger):
    return cohere.ClientV2(api_key=ledger.key, base_url=settings.root_url)


def options(**fields):
    return {"additional_body_parameters": {"x_fake": fields}, "max_retries": 0}


def booked(books, raw):
    entry = books(raw.headers["x-tollgate-request-id"])
    assert (entry["dialect"], entry["outcome"]) == ("cohere", "complete")
    return entry


def test_chat_is_booked_by_what_is_billed(client, books):
    raw = client.with_raw_response.chat(model=MODEL, messages=MESSAGES, request_options=options())
    assert raw.data.message.content[0].text.startswith("alpha beta")
    (line,) = booked(books, raw)["lines"]
    assert (line["usage"]["input_uncached"], line["usage"]["output"]) == (3, 8)


def test_a_stream_is_whole_and_booked(own_client, ledger):
    events = list(own_client.chat_stream(model=MODEL, messages=MESSAGES))
    assert (events[0].type, events[-1].type) == ("message-start", "message-end")
    assert events[-1].delta.usage.billed_units.output_tokens == 8
    assert (ledger.sums(1)["input_uncached"], ledger.sums(1)["output"]) == (3, 8)


def test_a_tool_call_comes_through_plain_and_streamed(own_client, fake, ledger):
    asked = {"model": MODEL, "messages": MESSAGES, "tools": TOOLS, "request_options": options(**CALL)}
    answer = own_client.chat(**asked)
    (call,) = answer.message.tool_calls
    assert (answer.finish_reason, call.function.name, json.loads(call.function.arguments)) == ("TOOL_CALL", "weather", {"city": "Oslo"})
    assert fake.last_body()["tools"] == TOOLS
    events = list(own_client.chat_stream(**asked))
    begun = next(event for event in events if event.type == "tool-call-start")
    parts = [event.delta.message.tool_calls.function.arguments for event in events if event.type == "tool-call-delta"]
    assert (begun.delta.message.tool_calls.function.name, json.loads("".join(parts))) == ("weather", {"city": "Oslo"})
    assert ledger.sums(2)["output"] == 16


def test_structured_output_comes_through(client, fake):
    form = {"type": "json_object", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    text = options(text='{"city":"Oslo"}')
    answer = client.chat(model=MODEL, messages=MESSAGES, response_format=form, request_options=text)
    assert json.loads(answer.message.content[0].text) == {"city": "Oslo"}
    assert fake.last_body()["response_format"] == form


def test_embedding_and_reranking(client, books):
    raw = client.with_raw_response.embed(
        model=MODEL, texts=["one two", "three"], input_type="search_query", embedding_types=["float"]
    )
    assert len(raw.data.embeddings.float_) == 2
    assert booked(books, raw)["lines"][0]["usage"]["input_uncached"] == 3
    raw = client.with_raw_response.rerank(model=MODEL, query="one", documents=["two", "three"])
    assert [result.index for result in raw.data.results] == [0, 1]
    assert booked(books, raw)["counters"] == {"rerank_units": 1}


@pytest.mark.parametrize("fault", ["cut", "clean_cut"])
def test_a_stream_that_is_not_whole_raises(own_client, ledger, fault):
    seen = []
    with pytest.raises(httpx.RemoteProtocolError):
        for event in own_client.chat_stream(model=MODEL, messages=MESSAGES, request_options=options(fault=fault, at=4)):
            seen.append(event.type)
    assert "message-end" not in seen and seen.count("content-delta") == 4
    sums = ledger.sums(1)
    assert sums["output"] > 0 and sums["estimated"] == 1


def test_an_error_in_a_stream_is_told_and_booked(own_client, ledger):
    """The SDK does not raise it: it is the reason why the stream ended."""
    fields = options(fault="error_mid_stream", at=4)
    events = list(own_client.chat_stream(model=MODEL, messages=MESSAGES, request_options=fields))
    assert (events[-1].type, events[-1].delta.finish_reason) == ("message-end", "ERROR")
    assert events[-1].delta.error
    sums = ledger.sums(1)
    assert sums["output"] > 0 and sums["estimated"] == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "retry_after": "0"}, {"fault": "html"}])
def test_a_retry_succeeds_and_each_try_is_booked_once(own_client, fake, ledger, fault):
    fake.script(**fault, times=1)
    answer = own_client.chat(model=MODEL, messages=MESSAGES)
    assert (answer.usage.billed_units.output_tokens, fake.count()) == (8, 2)
    ledger.has_retried()


def test_a_timeout_is_one_and_is_booked(own_client, ledger):
    with pytest.raises(httpx.ReadTimeout):
        own_client.chat(model=MODEL, messages=MESSAGES, request_options={**options(**SLOW), "timeout": SHORT_S})
    ledger.has_left()


def test_errors_are_the_types_that_the_sdk_has_for_them(client, settings, limited_key, new_key):
    with pytest.raises(cohere.NotFoundError):
        client.chat(model="no-such-model", messages=MESSAGES)
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2(api_key="wrong", base_url=settings.root_url).chat(model=MODEL, messages=MESSAGES)
    with pytest.raises(cohere.BadRequestError) as caught:
        client.chat(model=settings.model, messages=MESSAGES)
    assert "does not translate" in caught.value.body["message"]
    for status, kind in [
        (400, cohere.BadRequestError),
        (422, cohere.UnprocessableEntityError),
        (429, cohere.TooManyRequestsError),
        (500, cohere.InternalServerError),
        (503, cohere.ServiceUnavailableError),
    ]:
        with pytest.raises(kind):
            client.chat(model=MODEL, messages=MESSAGES, request_options=options(status=status))
    narrow = cohere.ClientV2(api_key=new_key(models=[settings.model])["key"], base_url=settings.root_url)
    with pytest.raises(cohere.ForbiddenError):
        narrow.chat(model=MODEL, messages=MESSAGES)
    limited = cohere.ClientV2(api_key=limited_key(1), base_url=settings.root_url)
    limited.chat(model=MODEL, messages=MESSAGES)
    with pytest.raises(cohere.TooManyRequestsError):
        limited.chat(model=MODEL, messages=MESSAGES, request_options={"max_retries": 0})

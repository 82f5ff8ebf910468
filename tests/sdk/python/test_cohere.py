"""The official Cohere SDK against the gateway."""

import cohere
import pytest

MODEL = "command-test"
MESSAGES = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def client(settings):
    return cohere.ClientV2(api_key=settings.key, base_url=settings.root_url)


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


def test_a_stream_is_whole(client):
    events = list(client.chat_stream(model=MODEL, messages=MESSAGES))
    assert (events[0].type, events[-1].type) == ("message-start", "message-end")
    assert events[-1].delta.usage.billed_units.output_tokens == 8


def test_a_tool_call_comes_through(client):
    call = options(tool_call={"name": "weather", "arguments": {"city": "Oslo"}})
    answer = client.chat(model=MODEL, messages=MESSAGES, request_options=call)
    assert answer.message.tool_calls[0].function.arguments == '{"city":"Oslo"}'


def test_embedding_and_reranking(client, books):
    raw = client.with_raw_response.embed(
        model=MODEL, texts=["one two", "three"], input_type="search_query", embedding_types=["float"]
    )
    assert len(raw.data.embeddings.float_) == 2
    assert booked(books, raw)["lines"][0]["usage"]["input_uncached"] == 3
    raw = client.with_raw_response.rerank(model=MODEL, query="one", documents=["two", "three"])
    assert [result.index for result in raw.data.results] == [0, 1]
    assert booked(books, raw)["counters"] == {"rerank_units": 1}


def test_a_stream_that_is_not_whole_raises(client):
    for fault in ("cut", "clean_cut"):
        seen = []
        with pytest.raises(Exception, match="incomplete|closed|peer"):
            for event in client.chat_stream(model=MODEL, messages=MESSAGES, request_options=options(fault=fault, at=4)):
                seen.append(event.type)
        assert "message-end" not in seen


def test_errors_are_the_types_that_the_sdk_has_for_them(client, settings, limited_key):
    with pytest.raises(cohere.NotFoundError):
        client.chat(model="no-such-model", messages=MESSAGES)
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2(api_key="wrong", base_url=settings.root_url).chat(model=MODEL, messages=MESSAGES)
    with pytest.raises(cohere.BadRequestError) as caught:
        client.chat(model=settings.model, messages=MESSAGES)
    assert "does not translate" in caught.value.body["message"]
    with pytest.raises(cohere.InternalServerError):
        client.chat(model=MODEL, messages=MESSAGES, request_options=options(status=500))
    limited = cohere.ClientV2(api_key=limited_key(1), base_url=settings.root_url)
    limited.chat(model=MODEL, messages=MESSAGES)
    with pytest.raises(cohere.TooManyRequestsError):
        limited.chat(model=MODEL, messages=MESSAGES, request_options={"max_retries": 0})

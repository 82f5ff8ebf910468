"""The official Gemini SDK against the gateway."""

import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini-test"
PROMPT = "one two three"


@pytest.fixture(scope="module")
def client(settings):
    return genai.Client(api_key=settings.key, http_options=types.HttpOptions(base_url=settings.root_url))


def config(fields=None, **more):
    options = types.HttpOptions(extra_body={"x_fake": fields} if fields else None)
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


def test_tools_and_structured_output_come_through(client):
    call = {"tool_call": {"name": "weather", "arguments": {"city": "Oslo"}}}
    answer = client.models.generate_content(model=MODEL, contents=PROMPT, config=config(call))
    assert answer.function_calls[0].args == {"city": "Oslo"}
    structured = config({"text": '["Oslo"]'}, response_mime_type="application/json", response_schema=list[str])
    assert client.models.generate_content(model=MODEL, contents=PROMPT, config=structured).parsed == ["Oslo"]


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
    wrong = genai.Client(api_key="wrong", http_options=types.HttpOptions(base_url=settings.root_url))
    with pytest.raises(errors.ClientError) as caught:
        wrong.models.generate_content(model=MODEL, contents=PROMPT)
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ServerError) as caught:
        client.models.generate_content(model=MODEL, contents=PROMPT, config=config({"status": 503}))
    assert caught.value.status == "UNAVAILABLE"


def test_a_limited_key_is_told_when_to_come_back(settings, limited_key):
    options = types.HttpOptions(base_url=settings.root_url)
    limited = genai.Client(api_key=limited_key(1), http_options=options)
    limited.models.generate_content(model=MODEL, contents=PROMPT)
    with pytest.raises(errors.ClientError) as caught:
        limited.models.generate_content(model=MODEL, contents=PROMPT)
    assert caught.value.status == "RESOURCE_EXHAUSTED"
    assert any("retryDelay" in detail for detail in caught.value.details["error"]["details"])

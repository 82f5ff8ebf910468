"""The official Ollama SDK against the gateway."""

import json

import httpx
import ollama
import pytest
from conftest import SHORT_S, SLOW

MODEL = "llama-test"
MESSAGES = [{"role": "user", "content": "one two three"}]


def make(settings, key, **more):
    return ollama.Client(host=settings.root_url, headers={"Authorization": f"Bearer {key}"}, **more)


@pytest.fixture(scope="module")
def client(settings):
    return make(settings, settings.key)


@pytest.fixture
def own_client(settings, ledger):
    return make(settings, ledger.key)


def test_chat_is_booked_as_its_counts_say(own_client, ledger):
    answer = own_client.chat(model=MODEL, messages=MESSAGES)
    assert answer.message.content.startswith("alpha beta")
    assert (answer.prompt_eval_count, answer.eval_count, answer.done_reason) == (3, 8, "stop")
    sums = ledger.sums(1)
    assert (sums["input_uncached"], sums["output"], sums["estimated"]) == (3, 8, 0)
    assert float(sums["charge_usd"]) > 0


def test_streams_are_whole_and_booked(own_client, ledger):
    parts = list(own_client.chat(model=MODEL, messages=MESSAGES, stream=True))
    assert parts[-1].done and parts[-1].eval_count == 8 and len(parts) == 9
    parts = list(own_client.generate(model=MODEL, prompt="one two three", stream=True))
    assert parts[-1].done and "".join(part.response for part in parts).startswith("alpha beta")
    sums = ledger.sums(2)
    assert (sums["input_uncached"], sums["output"], sums["estimated"]) == (6, 16, 0)


def test_options_and_embeddings(own_client, ledger):
    answer = own_client.generate(model=MODEL, prompt="one two three", options={"num_predict": 3})
    assert (answer.eval_count, answer.done_reason) == (3, "length")
    assert len(own_client.embed(model=MODEL, input=["one two", "three"]).embeddings) == 2
    sums = ledger.sums(2)
    assert (sums["input_uncached"], sums["output"]) == (6, 3)


def test_a_tool_call_comes_through_plain_and_streamed(own_client, fake, ledger):
    fake.script(tool_call={"name": "weather", "arguments": {"city": "Oslo"}})
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    asked = {"model": MODEL, "messages": MESSAGES, "tools": tools}
    streamed = [part.message.tool_calls for part in own_client.chat(**asked, stream=True) if part.message.tool_calls]
    for (call,) in (own_client.chat(**asked).message.tool_calls, *streamed):
        assert (call.function.name, call.function.arguments) == ("weather", {"city": "Oslo"})
    assert len(streamed) == 1 and fake.last_body()["tools"][0]["function"]["name"] == "weather"
    assert ledger.sums(2)["output"] == 16


def test_structured_output_comes_through(client, fake):
    fake.script(text='{"city":"Oslo"}')
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    answer = client.chat(model=MODEL, messages=MESSAGES, format=schema)
    assert json.loads(answer.message.content) == {"city": "Oslo"} and fake.last_body()["format"] == schema
    parts = client.chat(model=MODEL, messages=MESSAGES, format=schema, stream=True)
    assert json.loads("".join(part.message.content for part in parts)) == {"city": "Oslo"}


def test_models_are_listed(client):
    assert MODEL in {model.model for model in client.list().models}


@pytest.mark.parametrize("fault", ["cut", "clean_cut", "error_mid_stream"])
def test_a_stream_that_is_not_whole_raises_and_is_booked(own_client, fake, ledger, fault):
    fake.script(fault=fault, at=4, times=1)
    seen = []
    with pytest.raises(ollama.ResponseError):
        for part in own_client.chat(model=MODEL, messages=MESSAGES, stream=True):
            seen.append(part.done)
    assert seen == [False] * 4
    sums = ledger.sums(1)
    assert sums["output"] > 0 and sums["estimated"] == 1


def test_errors_are_the_type_that_the_sdk_has_for_them(client, settings, fake, limited_key, new_key):
    def refused(asked, model=MODEL):
        with pytest.raises(ollama.ResponseError) as caught:
            asked.chat(model=model, messages=MESSAGES)
        return caught.value.status_code

    with pytest.raises(ollama.ResponseError, match="no-such-model"):
        client.chat(model="no-such-model", messages=MESSAGES)
    assert refused(client, "no-such-model") == 404
    assert refused(make(settings, "wrong")) == 401
    assert refused(make(settings, new_key(models=[settings.model])["key"])) == 403
    limited = make(settings, limited_key(1))
    limited.chat(model=MODEL, messages=MESSAGES)
    assert refused(limited) == 429
    for status in (400, 429, 500, 503):
        fake.script(status=status, times=1)
        assert refused(client) == status


def test_a_timeout_is_one_and_is_booked(settings, fake, ledger):
    """The SDK tries nothing again."""
    fake.script(**SLOW)
    with pytest.raises(httpx.ReadTimeout):
        make(settings, ledger.key, timeout=SHORT_S).chat(model=MODEL, messages=MESSAGES)
    assert fake.count() == 1
    ledger.has_left()

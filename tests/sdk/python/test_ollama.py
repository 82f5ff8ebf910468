"""The official Ollama SDK against the gateway."""

import ollama
import pytest

MODEL = "llama-test"
MESSAGES = [{"role": "user", "content": "one two three"}]


@pytest.fixture(scope="module")
def client(settings):
    return ollama.Client(host=settings.root_url, headers={"Authorization": f"Bearer {settings.key}"})


def test_chat_says_its_counts(client):
    answer = client.chat(model=MODEL, messages=MESSAGES)
    assert answer.message.content.startswith("alpha beta")
    assert (answer.prompt_eval_count, answer.eval_count, answer.done_reason) == (3, 8, "stop")


def test_streams_are_whole(client):
    parts = list(client.chat(model=MODEL, messages=MESSAGES, stream=True))
    assert parts[-1].done and parts[-1].eval_count == 8 and len(parts) == 9
    parts = list(client.generate(model=MODEL, prompt="one two three", stream=True))
    assert parts[-1].done and "".join(part.response for part in parts).startswith("alpha beta")


def test_options_and_embeddings(client, fake):
    answer = client.generate(model=MODEL, prompt="one two three", options={"num_predict": 3})
    assert (answer.eval_count, answer.done_reason) == (3, "length")
    assert len(client.embed(model=MODEL, input=["one two", "three"]).embeddings) == 2
    fake.script(tool_call={"name": "weather", "arguments": {"city": "Oslo"}}, times=1)
    call = client.chat(model=MODEL, messages=MESSAGES).message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Oslo"})


def test_models_are_listed(client):
    assert MODEL in {model.model for model in client.list().models}


def test_a_stream_that_is_not_whole_raises(client, fake):
    for fault in ("cut", "clean_cut", "error_mid_stream"):
        fake.script(fault=fault, at=4, times=1)
        seen = []
        with pytest.raises(ollama.ResponseError):
            for part in client.chat(model=MODEL, messages=MESSAGES, stream=True):
                seen.append(part.done)
        assert seen == [False] * 4, fault


def test_errors_are_the_type_that_the_sdk_has_for_them(client, settings):
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat(model="no-such-model", messages=MESSAGES)
    assert (caught.value.status_code, "no-such-model" in caught.value.error) == (404, True)
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(host=settings.root_url, headers={"Authorization": "Bearer wrong"}).chat(model=MODEL, messages=MESSAGES)
    assert caught.value.status_code == 401

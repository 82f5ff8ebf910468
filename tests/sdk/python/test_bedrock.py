"""boto3 against the gateway, with the key as the bearer token that it sends to Bedrock."""

import json
from contextlib import contextmanager

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import ChecksumMismatch
from botocore.exceptions import ClientError, EventStreamError, ReadTimeoutError
from conftest import SHORT_S, SLOW
from tls_front import TlsFront, certificate

MODEL = "us.anthropic.claude-test-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "one two three"}]}]
TOOLS = {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}]}
INVOKED = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "one two three"}]})


@contextmanager
def with_key(key):
    """boto3 asks for the variable at every call, too. No AWS credentials are there."""
    with pytest.MonkeyPatch.context() as env:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            env.delenv(name, raising=False)
        env.setenv("AWS_BEARER_TOKEN_BEDROCK", key)
        yield


@pytest.fixture(autouse=True, scope="module")
def environment(settings):
    with with_key(settings.key):
        yield


@pytest.fixture(scope="module")
def client_of(settings, tmp_path_factory):
    """Clients keep the key that was there when they were made."""
    cert, tls_key = certificate(tmp_path_factory.mktemp("tls"))
    front = TlsFront(settings.root_url, cert, tls_key)
    where = {"region_name": "us-east-1", "endpoint_url": front.url, "verify": str(cert)}

    def make(key, retries=0, read_timeout=20):
        config = Config(retries={"max_attempts": retries, "mode": "standard"}, read_timeout=read_timeout)
        with with_key(key):
            return boto3.Session().client("bedrock-runtime", config=config, **where)

    yield make
    front.stop()


@pytest.fixture(scope="module")
def client(settings, client_of):
    return client_of(settings.key)


def booked(books, answer, outcome="complete", source="provider_final"):
    entry = books(answer["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-request-id"])
    assert (entry["dialect"], entry["model"], entry["outcome"], entry["usage_source"]) == ("bedrock", MODEL, outcome, source)
    return entry


def tokens(entry):
    (line,) = entry["lines"]
    return line["usage"]["input_uncached"], line["usage"]["cache_read"], line["usage"]["output"]


def text_of(events):
    return "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)


def test_converse_is_booked_as_it_says(client, books):
    answer = client.converse(modelId=MODEL, messages=MESSAGES)
    assert answer["output"]["message"]["content"][0]["text"].startswith("alpha beta")
    assert answer["ResponseMetadata"]["RequestId"] == answer["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-request-id"]
    assert tokens(booked(books, answer)) == (answer["usage"]["inputTokens"], 0, answer["usage"]["outputTokens"]) == (3, 0, 8)


def test_cached_tokens_are_beside_the_input(client, books, fake):
    fake.script(cached_tokens=2)
    assert tokens(booked(books, client.converse(modelId=MODEL, messages=MESSAGES))) == (1, 2, 8)


def test_a_stream_is_whole_and_its_usage_comes_behind_its_end(client, books):
    answer = client.converse_stream(modelId=MODEL, messages=MESSAGES)
    events = list(answer["stream"])
    kinds = [next(iter(event)) for event in events]
    assert (kinds[0], kinds[-2], kinds[-1]) == ("messageStart", "messageStop", "metadata")
    assert text_of(events).startswith("alpha beta")
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 8
    assert tokens(booked(books, answer)) == (3, 0, 8)


def test_tools_come_through_in_both_forms(client, fake):
    fake.script(tool_call={"name": "weather", "arguments": {"city": "Oslo"}})
    answer = client.converse(modelId=MODEL, messages=MESSAGES, toolConfig=TOOLS)
    assert answer["stopReason"] == "tool_use"
    assert answer["output"]["message"]["content"][0]["toolUse"]["input"] == {"city": "Oslo"}
    events = list(client.converse_stream(modelId=MODEL, messages=MESSAGES, toolConfig=TOOLS)["stream"])
    parts = [event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in events if "contentBlockDelta" in event]
    assert json.loads("".join(parts)) == {"city": "Oslo"}


def test_an_invocation_speaks_its_vendors_dialect(client, books, fake):
    fake.script(cached_tokens=1)
    answer = client.invoke_model(modelId=MODEL, body=INVOKED)
    body = json.loads(answer["body"].read())
    assert body["content"][0]["text"].startswith("alpha beta") and body["usage"]["output_tokens"] == 8
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-output-token-count"] == "8"
    assert tokens(booked(books, answer)) == (2, 1, 8)


def test_an_invocation_whose_body_tells_nothing_is_booked_by_its_headers(client, books, fake):
    fake.script(fault="no_usage")
    answer = client.invoke_model(modelId=MODEL, body=INVOKED)
    answer["body"].read()
    assert tokens(booked(books, answer, source="provider_headers")) == (3, 0, 8)


def test_a_streamed_invocation_is_whole(client, books):
    answer = client.invoke_model_with_response_stream(modelId=MODEL, body=INVOKED)
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 8
    assert tokens(booked(books, answer)) == (3, 0, 8)


def test_an_embedding_is_booked_by_its_input(client, books):
    answer = client.invoke_model(modelId="amazon.titan-embed-test", body=json.dumps({"inputText": "one two three"}))
    assert json.loads(answer["body"].read())["embedding"] == [0.25, 0.5, -0.25, 0.125]
    entry = books(answer["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-request-id"])
    assert (tokens(entry), entry["usage_source"], float(entry["charge_usd"]) > 0) == ((3, 0, 0), "provider_final", True)


CALLS = {
    "converse": lambda client: client.converse(modelId=MODEL, messages=MESSAGES),
    "converse_stream": lambda client: client.converse_stream(modelId=MODEL, messages=MESSAGES),
    "invoke": lambda client: client.invoke_model(modelId=MODEL, body=INVOKED),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"fault": "html"}], ids=["503", "429", "html"])
def test_a_retry_succeeds_and_each_try_is_booked_once(client_of, fake, ledger, fault, call):
    fake.script(**fault, times=1)
    with with_key(ledger.key):
        answer = call(client_of(ledger.key, retries=2))
    list(answer.get("stream") or [])
    assert (answer["ResponseMetadata"]["RetryAttempts"], fake.count()) == (1, 2)
    ledger.has_retried()


def test_a_read_timeout_is_one_and_is_booked(client_of, fake, ledger):
    fake.script(**SLOW)
    with with_key(ledger.key), pytest.raises(ReadTimeoutError):
        CALLS["converse"](client_of(ledger.key, read_timeout=SHORT_S))
    assert fake.count() == 1
    ledger.has_left()


@pytest.mark.parametrize("status, code", [(400, "ValidationException"), (429, "ThrottlingException"), (503, "ServiceUnavailableException"), (424, "ModelErrorException")])
def test_errors_of_the_upstream_are_typed(client, fake, status, code):
    fake.script(status=status)
    for call in (client.converse, client.converse_stream):
        with pytest.raises(ClientError) as caught:
            call(modelId=MODEL, messages=MESSAGES)
        assert caught.value.response["Error"]["Code"] == code
        assert isinstance(caught.value, getattr(client.exceptions, code))


def test_errors_of_the_gateway_are_typed(client, client_of, settings, limited_key):
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.converse(modelId="no-such-model", messages=MESSAGES)
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId=settings.model, messages=MESSAGES)
    # Each client has exceptions of its own.
    wrong = client_of("tg-wrong")
    with pytest.raises(wrong.exceptions.AccessDeniedException):
        wrong.converse(modelId=MODEL, messages=MESSAGES)
    limited = client_of(limited_key(1))
    limited.converse(modelId=MODEL, messages=MESSAGES)
    with pytest.raises(limited.exceptions.ThrottlingException):
        limited.converse(modelId=MODEL, messages=MESSAGES)


def test_an_exception_within_a_stream_raises_and_is_booked(client, books, fake):
    fake.script(fault="error_mid_stream", at=3)
    for answer in (client.converse_stream(modelId=MODEL, messages=MESSAGES), client.invoke_model_with_response_stream(modelId=MODEL, body=INVOKED)):
        with pytest.raises(EventStreamError, match="modelStreamErrorException"):
            list(answer.get("stream") or answer["body"])
        entry = books(answer["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-request-id"])
        assert entry["outcome"] == "error_mid_stream"


@pytest.mark.parametrize("fault", ["cut", "clean_cut"])
def test_a_stream_that_is_not_whole_raises(client, books, fake, fault):
    fake.script(fault=fault, at=4)
    answer = client.converse_stream(modelId=MODEL, messages=MESSAGES)
    events = []
    with pytest.raises(EventStreamError, match="ended the stream early"):
        for event in answer["stream"]:
            events.append(event)
    assert text_of(events) and not any("messageStop" in event for event in events)
    entry = books(answer["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-request-id"])
    assert (entry["outcome"], entry["usage_source"]) == ("truncated", "estimated")


def test_a_damaged_frame_is_found_by_both_sides(client, books, fake):
    fake.script(fault="damage", at=4)
    answer = client.converse_stream(modelId=MODEL, messages=MESSAGES)
    with pytest.raises(ChecksumMismatch):
        list(answer["stream"])
    # What follows is not read by this client; the connection stays until it is closed, so the entry comes to its end.
    entry = books(answer["ResponseMetadata"]["HTTPHeaders"]["x-tollgate-request-id"])
    assert (entry["outcome"], entry["flags"]) == ("invalid_body", ["frame_damaged"])

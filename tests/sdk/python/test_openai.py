"""The official OpenAI SDK against the gateway: what it reads, what it raises, and that the books agree with it.

Prompts have three words and answers eight chunks unless a script (`x_fake`) says otherwise: 3 and 8 tokens.
"""

import asyncio
import json
import time
from decimal import Decimal

import httpx2
import openai
import pydantic
import pytest
from conftest import SHORT_S, SLOW

MESSAGES = [{"role": "user", "content": "one two three"}]
UPSTREAM_LIMIT = "77777"  # what the scripted upstream says about its own account
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"usage": {"type": "object"}}}}}
ARGUMENTS = {"city": "Oslo", "usage": {"prompt_tokens": 999999}}
CALL = {"tool_call": {"name": "weather", "arguments": ARGUMENTS}}
PLAIN = {"chunks": 8, "cached_tokens": 2, "reasoning_tokens": 1}


def script(**fields):
    return {"x_fake": fields}


def request_id(response) -> str:
    """The id of a raw response or of an error's response; both headers carry it."""
    headers = response.headers
    assert headers["x-tollgate-request-id"]
    assert headers["x-request-id"] == headers["x-tollgate-request-id"]
    return headers["x-tollgate-request-id"]


def assert_booked(entry, prompt, completion, cached=0, reasoning=0):
    """One line whose exclusive buckets add up to what the SDK was told."""
    (line,) = entry["lines"]
    usage = line["usage"]
    assert usage["input_uncached"] + usage["cache_read"] == prompt
    assert (usage["cache_read"], usage["output"], usage["reasoning"]) == (cached, completion, reasoning)
    assert entry["usage_source"] == "provider_final"
    assert Decimal(entry["charge_usd"]) == Decimal(line["charge_usd"]) > 0
    assert all(isinstance(entry[name], str) for name in ("charge_usd", "cost_usd")), "money is never a float"


def assert_booked_as(entry, usage):
    cached = usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details.reasoning_tokens
    assert_booked(entry, usage.prompt_tokens, usage.completion_tokens, cached, reasoning)


def assert_free(entry):
    assert Decimal(entry["charge_usd"]) == 0
    assert all(line["usage"]["output"] == 0 for line in entry.get("lines", []))


def assert_asked_stream(chunks):
    """The usage chunk is the last one and alone has no choices."""
    *others, last = chunks
    assert last.choices == [] and last.usage.prompt_tokens == 3 and last.usage.completion_tokens == 8
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in others)
    assert others[-1].choices[0].finish_reason == "stop"


def assert_unasked_stream(chunks):
    """A client that did not ask sees no sign that the gateway did."""
    assert all(len(chunk.choices) == 1 for chunk in chunks), "an empty choices list reached a client that did not ask"
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len([chunk for chunk in chunks if chunk.choices[0].delta.content]) == 8


class TestPlain:
    def test_a_plain_answer_is_booked_as_its_usage_says(self, client, settings, books):
        raw = client.chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES, extra_body=script(**PLAIN)
        )
        answer = raw.parse()
        assert answer.choices[0].message.content.startswith("alpha beta")
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (3, 8, 11)
        entry = books(request_id(raw))
        assert_booked_as(entry, answer.usage)
        assert (entry["outcome"], entry["stream"], entry["model"]) == ("complete", False, settings.model)
        assert Decimal(raw.headers["x-tollgate-charge-usd"]) == Decimal(entry["charge_usd"])

    async def test_the_async_client_gets_the_same(self, async_client, settings, books):
        raw = await async_client.chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES, extra_body=script(**PLAIN)
        )
        assert_booked_as(books(request_id(raw)), raw.parse().usage)

    def test_headers_are_the_gateways_own(self, client, settings):
        raw = client.chat.completions.with_raw_response.create(model=settings.model, messages=MESSAGES)
        assert raw.parse()._request_id == request_id(raw)
        assert Decimal(raw.headers["x-tollgate-charge-usd"]) > 0
        assert int(raw.headers["x-ratelimit-limit-requests"]) > 0
        assert raw.headers["x-ratelimit-limit-requests"] != UPSTREAM_LIMIT
        assert "fake-upstream-account" not in raw.headers.values()

    def test_an_output_maximum_reaches_the_upstream(self, client, settings, books):
        raw = client.chat.completions.with_raw_response.create(model=settings.model, messages=MESSAGES, max_tokens=3)
        answer = raw.parse()
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 3)
        entry = books(request_id(raw))
        assert entry["outcome"] == "length"
        assert_booked_as(entry, answer.usage)

    def test_legacy_completions_are_metered(self, client, settings, books):
        raw = client.completions.with_raw_response.create(model=settings.model, prompt="one two three")
        assert_booked_as(books(request_id(raw)), raw.parse().usage)

    def test_the_end_user_and_tags_are_recorded(self, client, settings, books):
        raw = client.chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES, user="user-7", extra_headers={"x-tollgate-tags": "team=a"}
        )
        entry = books(request_id(raw))
        assert (entry["end_user"], entry["tags"]) == ("user-7", {"team": "a"})


class TestStream:
    @staticmethod
    def create(client, settings, asked, **fields):
        extra = {"stream_options": {"include_usage": True}} if asked else {}
        return client.chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES, stream=True, extra_body=script(**fields), **extra
        )

    def test_usage_that_was_asked_for_comes_last_and_is_booked(self, client, settings, books):
        raw = self.create(client, settings, asked=True)
        chunks = list(raw.parse())
        assert_asked_stream(chunks)
        entry = books(request_id(raw))
        assert_booked_as(entry, chunks[-1].usage)
        assert (entry["outcome"], entry["stream"]) == ("complete", True)

    def test_usage_that_was_not_asked_for_is_booked_but_not_shown(self, client, settings, books):
        raw = self.create(client, settings, asked=False)
        assert_unasked_stream(list(raw.parse()))
        assert_booked(books(request_id(raw)), prompt=3, completion=8)

    async def test_the_async_client_streams_both_ways(self, async_client, settings, books):
        for asked, check in ((True, assert_asked_stream), (False, assert_unasked_stream)):
            raw = await self.create(async_client, settings, asked)
            check([chunk async for chunk in raw.parse()])
            assert_booked(books(request_id(raw)), prompt=3, completion=8)

    @pytest.mark.parametrize("fields", [{"one_byte": True}, {"crlf": True}, {"comments": True}, {"usage_twice": True}])
    def test_the_form_of_the_stream_does_not_change_the_bill(self, client, settings, books, fields):
        raw = self.create(client, settings, asked=True, **fields)
        assert [chunk.usage for chunk in raw.parse()][-1].completion_tokens == 8
        assert_booked(books(request_id(raw)), prompt=3, completion=8)

    @pytest.mark.parametrize("asked", [True, False])
    def test_text_that_quotes_usage_is_only_text(self, client, settings, books, asked):
        raw = self.create(client, settings, asked, quote_usage=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)
        assert '"usage":{"prompt_tokens":999999' in text and "data: [DONE]" in text and text.endswith(" theta")
        assert_booked(books(request_id(raw)), prompt=3, completion=8)

    def test_legacy_completions_stream(self, client, settings, books):
        raw = client.completions.with_raw_response.create(model=settings.model, prompt="one two three", stream=True)
        chunks = list(raw.parse())
        assert all(len(chunk.choices) == 1 for chunk in chunks)
        assert "".join(chunk.choices[0].text for chunk in chunks).startswith("alpha beta")
        assert_booked(books(request_id(raw)), prompt=3, completion=8)

    def test_the_stream_helper_of_the_sdk_works(self, client, settings):
        with client.chat.completions.stream(model=settings.model, messages=MESSAGES) as stream:
            assert stream.get_final_completion().choices[0].message.content.endswith("theta")

    async def test_streams_at_once_are_booked_apart(self, async_client, settings, books):
        async def one(chunks):
            raw = await self.create(async_client, settings, chunks % 2 == 0, chunks=chunks, gap_ms=2)
            async for _ in raw.parse():
                pass
            return chunks, request_id(raw)

        ended = await asyncio.gather(*(one(chunks) for chunks in range(1, 25)))
        assert len({identity for _, identity in ended}) == 24
        for chunks, identity in ended:
            assert_booked(books(identity), prompt=3, completion=chunks)


class City(pydantic.BaseModel):
    name: str


class TestToolsAndStructure:
    def test_a_tool_call_keeps_its_arguments(self, client, settings, books, fake):
        raw = client.chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES, tools=[TOOL], tool_choice="required", extra_body=script(**CALL)
        )
        (choice,) = raw.parse().choices
        (call,) = choice.message.tool_calls
        assert (choice.finish_reason, choice.message.content, call.function.name) == ("tool_calls", None, "weather")
        assert json.loads(call.function.arguments) == ARGUMENTS
        assert (fake.last_body()["tools"], fake.last_body()["tool_choice"]) == ([TOOL], "required")
        entry = books(request_id(raw))
        assert entry["outcome"] == "complete"
        assert_booked(entry, prompt=3, completion=8)

    @pytest.mark.parametrize("asked", [True, False])
    def test_a_streamed_tool_call_is_put_together(self, client, settings, books, asked):
        raw = TestStream.create(client, settings, asked, **CALL)
        chunks = [chunk for chunk in raw.parse() if chunk.choices]
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
        assert (calls[0].id, calls[0].function.name, len(calls)) == ("call_fake", "weather", 8)
        assert json.loads("".join(call.function.arguments for call in calls)) == ARGUMENTS
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        assert_booked(books(request_id(raw)), prompt=3, completion=8)

    def test_the_stream_helper_parses_a_tool_call(self, client, settings):
        tool = openai.pydantic_function_tool(City, name="weather")
        body = script(tool_call={"name": "weather", "arguments": {"name": "Oslo"}})
        with client.chat.completions.stream(
            model=settings.model, messages=MESSAGES, tools=[tool], extra_body=body
        ) as stream:
            (call,) = stream.get_final_completion().choices[0].message.tool_calls
        assert call.function.parsed_arguments == City(name="Oslo")

    def test_structured_output_is_parsed_plain_and_streamed(self, client, settings, books, fake):
        asked = {"model": settings.model, "messages": MESSAGES, "response_format": City}
        body = script(text='{"name":"Oslo"}')
        raw = client.chat.completions.with_raw_response.parse(**asked, extra_body=body)
        assert raw.parse().choices[0].message.parsed == City(name="Oslo")
        assert fake.last_body()["response_format"]["json_schema"]["strict"] is True
        assert_booked(books(request_id(raw)), prompt=3, completion=8)
        with client.chat.completions.stream(**asked, extra_body=body) as stream:
            assert stream.get_final_completion().choices[0].message.parsed == City(name="Oslo")


class TestRetriesAndTimeouts:
    @pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429, "retry_after": "0"}, {"status": 409}, {"fault": "html"}])
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_retry_succeeds_and_each_try_is_booked_once(self, client, settings, books, fake, ledger, fault, stream):
        fake.script(**fault, times=1)
        raw = client.with_options(api_key=ledger.key, max_retries=2).chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES, stream=stream
        )
        list(raw.parse())
        assert (raw.retries_taken, fake.count()) == (1, 2)
        assert_booked(books(request_id(raw)), prompt=3, completion=8)
        ledger.has_retried()

    def test_a_retry_waits_as_long_as_the_upstream_asks(self, client, settings, fake, ledger):
        fake.script(status=429, retry_after="1", times=1)
        begun = time.monotonic()
        client.with_options(api_key=ledger.key, max_retries=1).chat.completions.create(model=settings.model, messages=MESSAGES)
        # By itself the SDK waits at most half a second the first time.
        assert (time.monotonic() - begun >= 1, fake.count()) == (True, 2)
        ledger.has_retried()

    async def test_the_async_client_tries_again(self, async_client, settings, fake, ledger):
        fake.script(status=503, times=1)
        raw = await async_client.with_options(api_key=ledger.key, max_retries=1).chat.completions.with_raw_response.create(
            model=settings.model, messages=MESSAGES
        )
        assert (raw.retries_taken, fake.count()) == (1, 2)
        ledger.has_retried()

    @pytest.mark.parametrize("status", [400, 404, 422])
    def test_what_will_not_succeed_is_not_tried_again(self, client, settings, fake, ledger, status):
        with pytest.raises(openai.APIStatusError) as caught:
            client.with_options(api_key=ledger.key, max_retries=2).chat.completions.create(
                model=settings.model, messages=MESSAGES, extra_body=script(status=status)
            )
        assert (caught.value.status_code, fake.count()) == (status, 1)
        assert_free(ledger.sums(1))

    def test_retries_that_all_fail_raise_the_last_error(self, client, settings, fake, ledger):
        with pytest.raises(openai.RateLimitError):
            client.with_options(api_key=ledger.key, max_retries=1).chat.completions.create(
                model=settings.model, messages=MESSAGES, extra_body=script(status=429, retry_after="0")
            )
        assert fake.count() == 2
        assert_free(ledger.sums(2))

    def test_a_timeout_is_one_and_is_booked(self, client, settings, ledger):
        with pytest.raises(openai.APITimeoutError):
            client.with_options(api_key=ledger.key, timeout=SHORT_S).chat.completions.create(
                model=settings.model, messages=MESSAGES, extra_body=script(**SLOW)
            )
        ledger.has_left()

    async def test_a_timeout_of_the_async_client_is_one(self, async_client, settings, ledger):
        with pytest.raises(openai.APITimeoutError):
            await async_client.with_options(api_key=ledger.key, timeout=SHORT_S).chat.completions.create(
                model=settings.model, messages=MESSAGES, extra_body=script(**SLOW)
            )
        ledger.has_left()

    def test_a_stream_that_stalls_times_out_and_is_booked(self, client, settings, books):
        raw = TestStream.create(client.with_options(timeout=SHORT_S), settings, True, fault="stall", at=3)
        with pytest.raises(openai.APITimeoutError):
            list(raw.parse())
        entry = books(request_id(raw))
        assert (entry["outcome"], entry["usage_source"]) == ("client_disconnect", "estimated")
        assert Decimal(entry["charge_usd"]) > 0


class TestOtherEndpoints:
    @pytest.mark.parametrize("extra", [{}, {"encoding_format": "float"}])
    def test_embeddings_are_metered_by_input_only(self, client, settings, books, extra):
        raw = client.embeddings.with_raw_response.create(
            model=settings.embedding_model, input=["one two", "three"], **extra
        )
        answer = raw.parse()
        assert [len(item.embedding) for item in answer.data] == [8, 8]
        assert answer.usage.prompt_tokens == 3
        assert_booked(books(request_id(raw)), prompt=3, completion=0)
        assert Decimal(raw.headers["x-tollgate-charge-usd"]) > 0

    def test_models_are_listed_and_found(self, client, settings):
        names = {model.id for model in client.models.list()}
        assert {settings.model, settings.embedding_model} <= names
        model = client.models.retrieve(settings.model)
        assert (model.id, model.object) == (settings.model, "model")

    def test_a_model_that_is_not_there_is_not_found(self, client):
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve("no-such-model")
        assert caught.value.code == "model_not_found"


class TestRefusals:
    @pytest.mark.parametrize("key", ["wrong", "tg-aaaaaaaaaaaa-" + "b" * 43])
    def test_a_wrong_key_is_an_authentication_error(self, client, settings, key):
        with pytest.raises(openai.AuthenticationError) as caught:
            client.with_options(api_key=key).chat.completions.create(model=settings.model, messages=MESSAGES)
        assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
        assert key not in str(caught.value.body), "a key must not be echoed"

    def test_the_limited_key_is_told_when_to_come_back(self, client, settings):
        limited = client.with_options(api_key=settings.limited_key)
        with pytest.raises(openai.RateLimitError) as caught:
            for _ in range(4):
                limited.chat.completions.create(model=settings.model, messages=MESSAGES)
        headers = caught.value.response.headers
        assert 0 < float(headers["retry-after"]) <= 60
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == "0"

    def test_a_model_beyond_the_keys_scope_is_denied(self, client, settings, new_key):
        narrow = client.with_options(api_key=new_key(models=[settings.embedding_model])["key"])
        with pytest.raises(openai.PermissionDeniedError) as caught:
            narrow.chat.completions.create(model=settings.model, messages=MESSAGES)
        assert (caught.value.status_code, caught.value.code) == (403, "model_not_allowed")

    def test_an_unknown_model_is_not_found(self, client):
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="no-such-model", messages=MESSAGES)
        assert (caught.value.status_code, caught.value.code) == (404, "model_not_found")

    def test_a_body_that_the_upstream_refuses_is_a_bad_request(self, client, settings):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=settings.model, messages=[])
        assert caught.value.type == "invalid_request_error"

    @pytest.mark.parametrize(
        "body",
        [
            '{"model": ',
            "[]",
            '{"messages": [{"role": "user", "content": "a"}]}',
            '{"model": "MODEL", "model": "MODEL", "messages": [{"role": "user", "content": "a"}]}',
            '{"model": "MODEL", "stream": false, "stream": true, "messages": [{"role": "user", "content": "a"}]}',
            '{"model": "MODEL", "max_tokens": 1, "max_tokens": 9, "messages": [{"role": "user", "content": "a"}]}',
        ],
        ids=["cut", "list", "no_model", "two_models", "two_streams", "two_maxima"],
    )
    def test_a_malformed_or_ambiguous_body_is_a_bad_request(self, http, settings, body):
        answer = http.post("/chat/completions", content=body.replace("MODEL", settings.model))
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["type"] == "invalid_request_error" and error["message"]
        assert set(error) == {"message", "type", "param", "code"}
        request_id(answer)


class TestUpstreamFaults:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (400, openai.BadRequestError),
            (404, openai.NotFoundError),
            (409, openai.ConflictError),
            (422, openai.UnprocessableEntityError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
            (503, openai.InternalServerError),
        ],
    )
    def test_an_upstream_error_keeps_its_class_and_costs_nothing(
        self, client, settings, books, status, expected, stream
    ):
        with pytest.raises(expected) as caught:
            client.chat.completions.create(
                model=settings.model, messages=MESSAGES, stream=stream, extra_body=script(fault="status", status=status)
            )
        assert caught.value.status_code == status
        response = caught.value.response
        assert response.headers.get("x-ratelimit-limit-requests") != UPSTREAM_LIMIT
        assert_free(books(request_id(response)))

    def test_an_error_in_the_stream_is_raised(self, client, settings, books):
        raw = TestStream.create(client, settings, True, fault="error_mid_stream", at=3)
        chunks = []
        with pytest.raises(openai.APIError) as caught:
            for chunk in raw.parse():
                chunks.append(chunk)
        assert not isinstance(caught.value, (openai.APIConnectionError, openai.APIStatusError))
        assert len(chunks) == 1 + 3, "what came before the error is delivered"
        assert books(request_id(raw))["outcome"] == "error_mid_stream"

    def test_a_cut_stream_is_raised(self, client, settings, books):
        """The SDK wraps a body that breaks off in APIConnectionError; an error event would be a plain APIError."""
        raw = TestStream.create(client, settings, True, fault="cut", at=3)
        chunks = []
        with pytest.raises(openai.APIError) as caught:
            for chunk in raw.parse():
                chunks.append(chunk)
        if isinstance(caught.value, openai.APIConnectionError):
            assert isinstance(caught.value.__cause__, httpx2.RemoteProtocolError)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "alpha beta gamma"
        entry = books(request_id(raw))
        assert (entry["outcome"], entry["usage_source"]) == ("truncated", "estimated")

    async def test_a_cut_stream_is_raised_by_the_async_client(self, async_client, settings):
        raw = await TestStream.create(async_client, settings, True, fault="cut", at=3)
        with pytest.raises(openai.APIError):
            async for _ in raw.parse():
                pass

    def test_a_stream_that_just_stops_is_never_taken_for_finished(self, client, settings, books):
        """The SDK does not miss `[DONE]`: a body that ends properly ends the loop, so the gateway adds an error."""
        raw = TestStream.create(client, settings, True, fault="clean_cut", at=3)
        reasons = []
        with pytest.raises(openai.APIError, match="ended the stream early"):
            for chunk in raw.parse():
                reasons.extend(choice.finish_reason for choice in chunk.choices)
        assert reasons == [None] * (1 + 3)
        assert books(request_id(raw))["outcome"] == "truncated"

    def test_a_client_that_leaves_early_is_booked_once(self, client, settings, books):
        raw = TestStream.create(client, settings, True, chunks=50, gap_ms=5)
        stream = raw.parse()
        next(stream)
        stream.close()
        entry = books(request_id(raw))
        assert entry["outcome"] == "client_disconnect"
        assert Decimal(entry["charge_usd"]) > 0

    @pytest.mark.parametrize("fault", ["html", "empty"])
    def test_an_answer_that_is_no_answer_is_an_error(self, client, settings, books, fault):
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=settings.model, messages=MESSAGES, extra_body=script(fault=fault))
        json.dumps(caught.value.body)
        assert_free(books(request_id(caught.value.response)))

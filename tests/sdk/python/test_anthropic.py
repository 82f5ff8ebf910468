"""The official Anthropic SDK against the gateway: what it reads, what it raises, and that the books agree with it.

Prompts have three words and answers eight chunks unless a script (`x_fake`) says otherwise: 3 and 8 tokens.
"""

from decimal import Decimal

import anthropic
import pydantic
import pytest
from conftest import SHORT_S, SLOW

MESSAGES = [{"role": "user", "content": "one two three"}]
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"usage": {"type": "object"}}}}


def script(**fields):
    return {"x_fake": fields}


@pytest.fixture(scope="module")
def client(settings):
    with anthropic.Anthropic(base_url=settings.root_url, api_key=settings.key, max_retries=0, timeout=20) as client:
        yield client


def ask(client, **more):
    return client.messages.with_raw_response.create(
        **{"model": "claude-test", "max_tokens": 64, "messages": MESSAGES, **more}
    )


def request_id(raw):
    assert raw.headers["request-id"] == raw.headers["x-tollgate-request-id"]
    return raw.headers["request-id"]


def line_of(entry):
    assert (entry["dialect"], entry["usage_source"]) == ("anthropic", "provider_final")
    (line,) = entry["lines"]
    return line["usage"]


class TestMessages:
    def test_a_plain_answer_is_booked_as_its_usage_says(self, client, books):
        raw = ask(client, metadata={"user_id": "user-7"})
        message = raw.parse()
        assert message.content[0].text.startswith("alpha beta")
        assert (message.usage.input_tokens, message.usage.output_tokens, message.stop_reason) == (3, 8, "end_turn")
        entry = books(request_id(raw))
        usage = line_of(entry)
        assert (usage["input_uncached"], usage["output"], entry["end_user"]) == (3, 8, "user-7")
        assert Decimal(raw.headers["x-tollgate-charge-usd"]) == Decimal(entry["charge_usd"]) > 0
        assert message._request_id == entry["request_id"]

    def test_each_cache_is_booked_in_a_bucket_of_its_own(self, client, books):
        fields = {"cached_tokens": 100, "cache_write_5m": 20, "cache_write_1h": 30}
        text = " ".join(["word"] * 160)
        for stream in (False, True):
            raw = ask(client, messages=[{"role": "user", "content": text}], stream=stream, extra_body=script(**fields))
            list(raw.parse()) if stream else raw.parse()
            usage = line_of(books(request_id(raw)))
            found = [usage[name] for name in ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h")]
            assert found == [10, 100, 20, 30]

    def test_an_output_maximum_reaches_the_upstream(self, client, books):
        raw = ask(client, max_tokens=3)
        message = raw.parse()
        assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)
        assert books(request_id(raw))["outcome"] == "length"

    def test_a_tool_call_keeps_its_input(self, client, books):
        arguments = {"city": "Oslo", "usage": {"input_tokens": 999999}}
        call = script(tool_call={"name": "weather", "arguments": arguments})
        raw = ask(client, tools=[TOOL], extra_body=call)
        block = raw.parse().content[0]
        assert (block.type, block.name, block.input) == ("tool_use", "weather", arguments)
        assert line_of(books(request_id(raw)))["output"] == 8
        with client.messages.stream(
            model="claude-test", max_tokens=64, messages=MESSAGES, tools=[TOOL], extra_body=call
        ) as stream:
            assert stream.get_final_message().content[0].input == arguments

    @pytest.mark.parametrize("stream", [False, True])
    def test_structured_output_is_parsed(self, client, fake, stream):
        class City(pydantic.BaseModel):
            name: str

        asked = {"model": "claude-test", "max_tokens": 64, "messages": MESSAGES, "output_format": City}
        body = script(text='{"name":"Oslo"}')
        if stream:
            with client.messages.stream(**asked, extra_body=body) as events:
                answer = events.get_final_message()
        else:
            answer = client.messages.parse(**asked, extra_body=body)
        assert answer.parsed_output == City(name="Oslo")
        assert fake.last_body()["output_config"]["format"]["type"] == "json_schema"

    def test_counting_is_free_and_recorded(self, client, books):
        raw = client.messages.with_raw_response.count_tokens(model="claude-test", messages=MESSAGES)
        assert raw.parse().input_tokens == 3
        entry = books(request_id(raw))
        assert Decimal(entry["charge_usd"]) == 0 and entry["counters"] == {"counted_input_tokens": 3}


class TestStream:
    def test_a_stream_is_whole_and_booked(self, client, books):
        raw = ask(client, stream=True)
        events = list(raw.parse())
        assert [events[0].type, events[-1].type] == ["message_start", "message_stop"]
        entry = books(request_id(raw))
        usage = line_of(entry)
        assert (usage["input_uncached"], usage["output"], entry["outcome"]) == (3, 8, "complete")

    def test_the_stream_helper_works(self, client):
        with client.messages.stream(model="claude-test", max_tokens=64, messages=MESSAGES) as stream:
            assert "".join(stream.text_stream).startswith("alpha beta")
            assert stream.get_final_message().usage.output_tokens == 8

    @pytest.mark.parametrize("fields", [{"one_byte": True}, {"crlf": True}, {"comments": True}, {"quote_usage": True}])
    def test_the_form_of_the_stream_does_not_change_the_bill(self, client, books, fields):
        raw = ask(client, stream=True, extra_body=script(**fields))
        assert list(raw.parse())[-1].type == "message_stop"
        assert line_of(books(request_id(raw)))["output"] == 8

    @pytest.mark.parametrize("fault", ["cut", "clean_cut", "error_mid_stream"])
    def test_a_stream_that_is_not_whole_raises(self, client, books, fault):
        raw = ask(client, stream=True, extra_body=script(fault=fault, at=4))
        seen = []
        with pytest.raises(anthropic.APIError):
            for event in raw.parse():
                seen.append(event.type)
        assert "message_stop" not in seen and seen.count("content_block_delta") == 4
        entry = books(request_id(raw))
        assert entry["outcome"] == ("error_mid_stream" if fault == "error_mid_stream" else "truncated")
        (line,) = entry["lines"]
        assert line["usage"]["input_uncached"] == 3 and line["usage"]["output"] > 0


class TestRefusals:
    def test_errors_are_the_types_that_the_sdk_has_for_them(self, client, settings):
        with pytest.raises(anthropic.AuthenticationError):
            ask(client.with_options(api_key="wrong"))
        with pytest.raises(anthropic.NotFoundError) as caught:
            ask(client, model="no-such-model")
        assert caught.value.body["error"]["type"] == "not_found_error"
        assert caught.value.request_id == caught.value.response.headers["x-tollgate-request-id"]
        with pytest.raises(anthropic.BadRequestError) as caught:
            ask(client, model=settings.model)
        assert "does not translate" in str(caught.value)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, anthropic.BadRequestError),
            (404, anthropic.NotFoundError),
            (409, anthropic.ConflictError),
            (422, anthropic.UnprocessableEntityError),
            (429, anthropic.RateLimitError),
            (500, anthropic.InternalServerError),
            (529, anthropic.InternalServerError),
        ],
    )
    def test_an_upstream_error_keeps_its_class_and_costs_nothing(self, client, books, status, kind, stream):
        with pytest.raises(kind) as caught:
            ask(client, stream=stream, extra_body=script(status=status))
        assert caught.value.status_code == status
        assert Decimal(books(request_id(caught.value.response))["charge_usd"]) == 0

    def test_a_model_beyond_the_keys_scope_is_denied(self, client, settings, new_key):
        narrow = client.with_options(api_key=new_key(models=[settings.model])["key"])
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            ask(narrow)
        assert caught.value.body["error"]["type"] == "permission_error"

    def test_a_limited_key_is_told_when_to_come_back(self, client, limited_key):
        limited = client.with_options(api_key=limited_key(1))
        ask(limited)
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(limited)
        headers = caught.value.response.headers
        assert headers["anthropic-ratelimit-requests-limit"] == "1"
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
        assert float(headers["retry-after"]) > 0


class TestRetriesAndTimeouts:
    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fault", [{"status": 529}, {"status": 429, "retry_after": "0"}, {"fault": "html"}])
    def test_a_retry_succeeds_and_each_try_is_booked_once(self, client, books, fake, ledger, fault, stream):
        fake.script(**fault, times=1)
        raw = ask(client.with_options(api_key=ledger.key, max_retries=2), stream=stream)
        list(raw.parse()) if stream else raw.parse()
        assert (raw.retries_taken, fake.count()) == (1, 2)
        assert line_of(books(request_id(raw)))["output"] == 8
        ledger.has_retried()

    def test_what_will_not_succeed_is_not_tried_again(self, client, fake):
        with pytest.raises(anthropic.NotFoundError) as caught:
            ask(client.with_options(max_retries=2), model="no-such-model")
        assert caught.value.response.request.headers.get("x-stainless-retry-count") == "0"
        assert fake.count() == 0

    def test_a_timeout_of_the_client_is_one_and_is_booked(self, client, ledger):
        with pytest.raises(anthropic.APITimeoutError):
            ask(client.with_options(api_key=ledger.key, timeout=SHORT_S), extra_body=script(**SLOW))
        ledger.has_left()

    async def test_the_async_client_retries_and_times_out(self, settings, fake, ledger):
        async with anthropic.AsyncAnthropic(base_url=settings.root_url, api_key=ledger.key, max_retries=1) as client:
            fake.script(status=503, times=1)
            raw = await ask(client)
            assert (raw.retries_taken, fake.count(), (await raw.parse()).usage.output_tokens) == (1, 2, 8)
            ledger.has_retried()
            with pytest.raises(anthropic.APITimeoutError):
                await ask(client.with_options(timeout=SHORT_S, max_retries=0), extra_body=script(**SLOW))
        assert ledger.sums(3)["output"] == 16

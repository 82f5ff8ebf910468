"""The official OpenAI SDK on what is not chat: responses, pictures, sound, moderations."""

from decimal import Decimal

import openai
import pydantic
import pytest

INPUT = "one two three"


def script(**fields):
    return {"x_fake": fields}


def ask(client, settings, **more):
    return client.responses.with_raw_response.create(**{"model": settings.model, "input": INPUT, **more})


def usage_of(books, raw):
    entry = books(raw.headers["x-tollgate-request-id"])
    (line,) = entry["lines"]
    assert entry["usage_source"] == "provider_final"
    return entry, line["usage"]


class TestResponses:
    def test_a_plain_answer_is_booked_as_its_usage_says(self, client, settings, books):
        raw = ask(client, settings, safety_identifier="user-7", extra_body=script(cached_tokens=2, reasoning_tokens=1))
        answer = raw.parse()
        assert answer.output_text.startswith("alpha beta") and answer.usage.total_tokens == 11
        entry, usage = usage_of(books, raw)
        found = [usage[name] for name in ("input_uncached", "cache_read", "output", "reasoning")]
        assert (found, entry["end_user"], entry["endpoint"]) == ([1, 2, 8, 1], "user-7", "/v1/responses")

    def test_a_stream_is_whole_and_booked(self, client, settings, books):
        raw = ask(client, settings, stream=True)
        events = list(raw.parse())
        assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
        _, usage = usage_of(books, raw)
        assert (usage["input_uncached"], usage["output"]) == (3, 8)

    def test_an_output_maximum_makes_it_incomplete(self, client, settings, books):
        raw = ask(client, settings, max_output_tokens=3)
        assert raw.parse().incomplete_details.reason == "max_output_tokens"
        assert usage_of(books, raw)[0]["outcome"] == "length"

    def test_tools_and_structured_output_come_through(self, client, settings, books):
        call = script(tool_call={"name": "weather", "arguments": {"city": "Oslo"}})
        raw = ask(client, settings, extra_body=call)
        assert raw.parse().output[0].arguments == '{"city":"Oslo"}'
        raw = ask(client, settings, stream=True, extra_body=call)
        events = list(raw.parse())
        parts = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
        assert len(parts) == 8 and "".join(parts) == '{"city":"Oslo"}'
        assert events[-1].response.output[0].arguments == '{"city":"Oslo"}'
        assert usage_of(books, raw)[1]["output"] == 8

        class City(pydantic.BaseModel):
            name: str

        parsed = client.responses.parse(
            model=settings.model, input=INPUT, text_format=City, extra_body=script(text='{"name":"Oslo"}')
        )
        assert parsed.output_parsed == City(name="Oslo")

    @pytest.mark.parametrize("fault", ["cut", "clean_cut", "error_mid_stream"])
    def test_a_stream_that_is_not_whole_has_no_end(self, client, settings, books, fault):
        raw = ask(client, settings, stream=True, extra_body=script(fault=fault, at=4))
        seen = []
        try:
            for event in raw.parse():
                seen.append(event.type)
        except openai.APIError:
            seen.append("error")
        assert "response.completed" not in seen and seen[-1] == "error"
        outcome = books(raw.headers["x-tollgate-request-id"])["outcome"]
        assert outcome == ("error_mid_stream" if fault == "error_mid_stream" else "truncated")

    def test_what_leads_past_the_meter_is_refused_by_name(self, client, settings):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, settings, background=True)
        assert caught.value.param == "background"
        for fields in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}):
            with pytest.raises(openai.NotFoundError) as caught:
                ask(client, settings, **fields)
            assert caught.value.param in fields


class TestOthers:
    def test_speech_is_metered_by_characters(self, client, settings, books):
        raw = client.audio.speech.with_raw_response.create(model=settings.model, voice="alloy", input="né Ω 🧮")
        assert raw.content.startswith(b"\xff\xf3")
        assert books(raw.headers["x-tollgate-request-id"])["counters"] == {"characters": 6}

    def test_a_transcription_is_metered_by_time(self, client, settings, books):
        raw = client.audio.transcriptions.with_raw_response.create(
            model=settings.model, file=("a.wav", b"RIFF\r\n--boundary", "audio/wav")
        )
        assert raw.parse().text.startswith("alpha")
        assert books(raw.headers["x-tollgate-request-id"])["counters"] == {"audio_input_millis": 3000}

    def test_pictures_are_metered_by_their_tokens(self, client, settings, books):
        for raw in (
            client.images.with_raw_response.generate(model=settings.model, prompt=INPUT),
            client.images.with_raw_response.edit(model=settings.model, prompt=INPUT, image=("a.png", b"\x89PNG", "image/png")),
        ):
            assert raw.parse().data[0].b64_json
            entry = books(raw.headers["x-tollgate-request-id"])
            assert entry["lines"][0]["usage"]["output"] == 272 and Decimal(entry["charge_usd"]) > 0

    def test_moderations_pass(self, client, settings, books):
        raw = client.moderations.with_raw_response.create(model=settings.model, input=INPUT)
        assert raw.parse().results[0].flagged is False
        assert books(raw.headers["x-tollgate-request-id"])["endpoint"] == "/v1/moderations"

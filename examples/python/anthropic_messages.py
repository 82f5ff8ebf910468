"""Anthropic's SDK: a stream and its usage."""

import os

import anthropic

client = anthropic.Anthropic(
    base_url=os.environ.get("TOLLGATE_URL", "http://127.0.0.1:8080"), api_key=os.environ["TOLLGATE_KEY"]
)
messages = [{"role": "user", "content": "Hello!"}]
with client.messages.stream(model=os.environ["TOLLGATE_MODEL"], max_tokens=100, messages=messages) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    print()
    print(stream.get_final_message().usage.output_tokens, "output tokens")

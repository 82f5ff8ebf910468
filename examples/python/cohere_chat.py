"""Cohere's SDK."""

import os

import cohere

client = cohere.ClientV2(
    base_url=os.environ.get("TOLLGATE_URL", "http://127.0.0.1:8080"), api_key=os.environ["TOLLGATE_KEY"]
)
answer = client.chat(model=os.environ["TOLLGATE_MODEL"], messages=[{"role": "user", "content": "Hello!"}])
print(answer.message.content[0].text)
print(answer.usage.billed_units.output_tokens, "output tokens")

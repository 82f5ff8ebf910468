"""OpenAI's SDK: an answer with its charge, then a stream."""

import os

from openai import OpenAI

url = os.environ.get("TOLLGATE_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["TOLLGATE_KEY"])
model = os.environ["TOLLGATE_MODEL"]
messages = [{"role": "user", "content": "Hello!"}]

raw = client.chat.completions.with_raw_response.create(model=model, messages=messages)
print(raw.parse().choices[0].message.content)
print("charged:", raw.headers["x-tollgate-charge-usd"], "USD for request", raw.headers["x-tollgate-request-id"])

for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

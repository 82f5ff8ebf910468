"""OpenAI's SDK, the responses API."""

import os

from openai import OpenAI

url = os.environ.get("TOLLGATE_URL", "http://127.0.0.1:8080")
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ["TOLLGATE_KEY"])
answer = client.responses.create(model=os.environ["TOLLGATE_MODEL"], input="Hello!")
print(answer.output_text)
print(answer.usage.total_tokens, "tokens")

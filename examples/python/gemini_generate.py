"""Google's SDK."""

import os

from google import genai
from google.genai import types

url = os.environ.get("TOLLGATE_URL", "http://127.0.0.1:8080")
client = genai.Client(api_key=os.environ["TOLLGATE_KEY"], http_options=types.HttpOptions(base_url=url))
answer = client.models.generate_content(model=os.environ["TOLLGATE_MODEL"], contents="Hello!")
print(answer.text)
print(answer.usage_metadata.total_token_count, "tokens")

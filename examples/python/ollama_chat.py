"""Ollama's SDK; the key goes in a header."""

import os

import ollama

client = ollama.Client(
    host=os.environ.get("TOLLGATE_URL", "http://127.0.0.1:8080"),
    headers={"authorization": f"Bearer {os.environ['TOLLGATE_KEY']}"},
)
for part in client.chat(
    model=os.environ["TOLLGATE_MODEL"], messages=[{"role": "user", "content": "Hello!"}], stream=True
):
    print(part.message.content, end="", flush=True)
print()

// Anthropic's SDK.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: process.env.TOLLGATE_URL ?? "http://127.0.0.1:8080",
  apiKey: process.env.TOLLGATE_KEY,
});
const answer = await client.messages.create({
  model: process.env.TOLLGATE_MODEL,
  max_tokens: 100,
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(answer.content[0].text);
console.log(answer.usage.output_tokens, "output tokens");

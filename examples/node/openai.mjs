// OpenAI's SDK: a stream.
import OpenAI from "openai";

const url = process.env.TOLLGATE_URL ?? "http://127.0.0.1:8080";
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: process.env.TOLLGATE_KEY });
const stream = await client.chat.completions.create({
  model: process.env.TOLLGATE_MODEL,
  messages: [{ role: "user", content: "Hello!" }],
  stream: true,
});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
console.log();

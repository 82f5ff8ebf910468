// The `ai` package with its OpenAI provider.
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";

const url = process.env.TOLLGATE_URL ?? "http://127.0.0.1:8080";
const openai = createOpenAI({ baseURL: `${url}/v1`, apiKey: process.env.TOLLGATE_KEY });
const answer = streamText({ model: openai.chat(process.env.TOLLGATE_MODEL), prompt: "Hello!" });
for await (const text of answer.textStream) process.stdout.write(text);
console.log();
console.log((await answer.usage).outputTokens, "output tokens");

// The official SDKs of OpenAI and Anthropic in Node on what a customer keeps at a provider.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { toFile } from "openai";
import { booked, key, messages, model, openaiUrl, rootUrl } from "./gateway.mjs";

const openai = new OpenAI({ baseURL: openaiUrl, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: rootUrl, apiKey: key, maxRetries: 0 });

const until = async done => {
  for (let tries = 0; tries < 400; tries++) {
    const found = await done();
    if (found) return found;
    await new Promise(passed => setTimeout(passed, 50));
  }
  throw new Error("it was not done after twenty seconds");
};

test("OpenAI: a file, a batch of it, and its results", async () => {
  const row = { method: "POST", url: "/v1/chat/completions", body: { model, messages } };
  const lines = ["a", "b"].map(custom_id => JSON.stringify({ custom_id, ...row })).join("\n");
  const file = await openai.files.create({ file: await toFile(Buffer.from(lines), "r.jsonl"), purpose: "batch" });
  const { data: batch, response } = await openai.batches
    .create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" })
    .withResponse();
  const done = await until(async () => {
    const now = await openai.batches.retrieve(batch.id);
    return now.status === "completed" && now;
  });
  const results = await (await openai.files.content(done.output_file_id)).text();
  assert.deepEqual(results.trim().split("\n").map(line => JSON.parse(line).custom_id).sort(), ["a", "b"]);
  const entry = await booked(response.headers.get("x-tollgate-request-id"));
  assert.deepEqual([entry.outcome, entry.usage_source], ["pending", "deferred"]);
  const listed = [];
  for await (const one of openai.batches.list({ limit: 1 })) {
    listed.push(one.id);
    if (listed.length === 2) break;
  }
  assert.equal(listed[0], batch.id);
  await assert.rejects(openai.files.retrieve("file-of-somebody-else"), OpenAI.NotFoundError);
});

test("OpenAI: a stored response is gone on with and deleted", async () => {
  const first = await openai.responses.create({ model, input: "one two three" });
  const second = await openai.responses.create({ model, input: "four", previous_response_id: first.id });
  assert.equal((await openai.responses.retrieve(second.id)).previous_response_id, first.id);
  await openai.responses.delete(first.id);
  await assert.rejects(openai.responses.retrieve(first.id), OpenAI.NotFoundError);
  await assert.rejects(
    openai.responses.create({ model, input: "five", previous_response_id: first.id }), OpenAI.NotFoundError);
});

test("Anthropic: a batch, and its results through the gateway", async () => {
  const params = { model: "claude-test", max_tokens: 64, messages };
  const batch = await anthropic.messages.batches.create({ requests: [{ custom_id: "a", params }] });
  await until(async () => (await anthropic.messages.batches.retrieve(batch.id)).processing_status === "ended");
  const results = [];
  for await (const result of await anthropic.messages.batches.results(batch.id)) results.push(result.custom_id);
  assert.deepEqual(results, ["a"]);
  await assert.rejects(anthropic.messages.batches.retrieve("msgbatch_of_somebody_else"), Anthropic.NotFoundError);
});

// The official SDKs of OpenAI and Anthropic in Node: what they read, what they throw, and that the books agree with them.

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { booked, key, messages, model, openaiUrl, rootUrl, scripted } from "./gateway.mjs";

const openai = (script, more = {}) => {
  const { fetch, told } = scripted(script);
  return { client: new OpenAI({ baseURL: openaiUrl, apiKey: key, maxRetries: 0, fetch, ...more }), told };
};
const anthropic = (script, more = {}) => {
  const { fetch, told } = scripted(script);
  return { client: new Anthropic({ baseURL: rootUrl, apiKey: key, maxRetries: 0, fetch, ...more }), told };
};
const claude = { model: "claude-test", max_tokens: 64, messages };

const usageOf = async told => {
  const entry = await booked(told.requestId);
  assert.equal(entry.usage_source, "provider_final");
  return entry.lines[0].usage;
};

test("OpenAI: plain and streamed answers are booked as their usage says", async () => {
  const { client, told } = openai();
  const answer = await client.chat.completions.create({ model, messages });
  assert.equal(answer.usage.completion_tokens, 8);
  assert.equal((await usageOf(told)).output, 8);
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  let chunks = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.choices.length, 1, "an empty choices list reached a client that did not ask");
    chunks += 1;
  }
  assert.equal(chunks, 10);
  assert.equal((await usageOf(told)).output, 8);
});

test("OpenAI: responses, plain and streamed", async () => {
  const { client, told } = openai();
  const answer = await client.responses.create({ model, input: "one two three" });
  assert.match(answer.output_text, /^alpha beta/);
  assert.equal((await usageOf(told)).input_uncached, 3);
  const types = [];
  for await (const event of await client.responses.create({ model, input: "one two three", stream: true })) {
    types.push(event.type);
  }
  assert.equal(types.at(-1), "response.completed");
  assert.equal((await usageOf(told)).output, 8);
});

test("OpenAI: errors are the classes that the SDK has for them", async () => {
  const { client } = openai();
  await assert.rejects(client.chat.completions.create({ model: "no-such-model", messages }), OpenAI.NotFoundError);
  await assert.rejects(
    openai({ status: 500 }).client.chat.completions.create({ model, messages }), OpenAI.InternalServerError);
  await assert.rejects(async () => {
    const cut = openai({ fault: "cut", at: 4 }).client;
    for await (const _ of await cut.chat.completions.create({ model, messages, stream: true }));
  }, OpenAI.APIError);
});

test("what will not succeed is not tried again", async () => {
  for (const [make, call] of [
    [openai, client => client.chat.completions.create({ model: "no-such-model", messages })],
    [anthropic, client => client.messages.create({ ...claude, model: "no-such-model" })],
  ]) {
    const { client, told } = make({}, { maxRetries: 2 });
    await assert.rejects(call(client));
    assert.equal(told.calls, 1);
  }
});

test("Anthropic: plain, streamed and tool answers are booked as their usage says", async () => {
  const { client, told } = anthropic();
  const answer = await client.messages.create(claude);
  assert.equal(answer.usage.output_tokens, 8);
  assert.equal((await usageOf(told)).output, 8);
  const final = await client.messages.stream(claude).finalMessage();
  assert.match(final.content[0].text, /^alpha beta/);
  assert.deepEqual([(await usageOf(told)).input_uncached, (await usageOf(told)).output], [3, 8]);
  const called = anthropic({ tool_call: { name: "weather", arguments: { city: "Oslo" } } });
  const tools = [{ name: "weather", input_schema: { type: "object" } }];
  const message = await called.client.messages.stream({ ...claude, tools }).finalMessage();
  assert.deepEqual(message.content[0].input, { city: "Oslo" });
});

test("Anthropic: errors are the classes that the SDK has for them", async () => {
  await assert.rejects(anthropic({}, { apiKey: "wrong" }).client.messages.create(claude), Anthropic.AuthenticationError);
  await assert.rejects(anthropic({ status: 400 }).client.messages.create(claude), Anthropic.BadRequestError);
  await assert.rejects(anthropic({ status: 500 }).client.messages.create(claude), Anthropic.InternalServerError);
  for (const fault of ["cut", "clean_cut", "error_mid_stream"]) {
    await assert.rejects(anthropic({ fault, at: 4 }).client.messages.stream(claude).finalMessage(), fault);
  }
});

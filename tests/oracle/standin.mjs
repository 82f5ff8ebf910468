// llama.cpp itself behind the worker's wire (docs/worker.md), whole or with one known fault: shows that the comparison
// passes what is right and catches what is wrong, without a worker.
//
//   node standin.mjs MODEL [FAULT]     prints its URL
import { createServer } from "node:http";
import { Llama } from "./llama.mjs";

const FAULTS = {
  none: {},
  // Control tokens in user text are obeyed.
  specials: { feed: (llama, text) => [llama.model.tokens.bos, ...llama.model.tokenize(text, true)] },
  // Other models' habit: a space is put before every text.
  space: { feed: (llama, text) => llama.fed(` ${text}`) },
  // The first token is forgotten, in what is fed and in what is counted.
  bos: { feed: (llama, text) => llama.ids(text) },
  // The prompt is counted without its first token.
  count: { count: (fed) => fed.length - 1 },
  // The cache forgets what is further back than half of the sliding window.
  window: { remember: (fed) => fed.slice(-256) },
  // The sampled end token is not counted, nor the last one of a length.
  completion: { completion: (ids) => ids.length - 1 },
  // Every eighth token is the second best.
  second: { second: 8 },
};

const [modelPath, name = "none"] = process.argv.slice(2);
if (!modelPath || !Object.hasOwn(FAULTS, name)) {
  console.error(`usage: node standin.mjs MODEL [${Object.keys(FAULTS).join("|")}]`);
  process.exit(2);
}
const fault = FAULTS[name];
const llama = await Llama.load(modelPath);

// The file's word on `</s>`, which llama.cpp overrides (see scripts/oracle.mjs).
function feed(text) {
  if (fault.feed) return text.includes("</s>") ? byFile(text, (part) => fault.feed(llama, part)) : fault.feed(llama, text);
  return text.includes("</s>") ? [llama.model.tokens.bos, ...byFile(text, (part) => llama.ids(part))] : llama.fed(text);
}

function byFile(text, ids) {
  return text.split("</s>").map(ids).reduce((all, part) => [...all, 212, ...part]);
}

const routes = {
  "GET /v1/models": () => ({ data: [{ id: "standin" }] }),
  "POST /tokenize": ({ prompt }) => ({ tokens: feed(prompt), count: feed(prompt).length }),
  async "POST /v1/completions"({ prompt, max_tokens }) {
    const fed = feed(prompt);
    const ids = await llama.complete(fault.remember?.(fed) ?? fed, max_tokens, fault.second);
    const ended = llama.ends(ids.at(-1));
    const usage = { prompt_tokens: fault.count?.(fed) ?? fed.length, completion_tokens: fault.completion?.(ids) ?? ids.length };
    return { choices: [{ text: llama.detokenize(ended ? ids.slice(0, -1) : ids), finish_reason: ended ? "stop" : "length" }], usage };
  },
};

const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  try {
    const answer = await routes[`${request.method} ${request.url}`](body && JSON.parse(body));
    response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.once("SIGTERM", () => process.exit(0));

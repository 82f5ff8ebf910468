// llama.cpp behind JSON lines: one request a line on standard input, one answer a line on standard output, in order.
//
//   node oracle.mjs MODEL
//   {"op": "info"}                                         -> load_ms, rss_bytes, bos, eos, features
//   {"op": "tokenize", "text"}                             -> ids (the user's text), fed (what the model sees)
//   {"op": "detokenize", "ids"}                            -> text
//   {"op": "greedy", "prompt", "max_tokens"}               -> prompt_tokens, ids, text; with "gaps": true also gaps
//                                                             (top-1 minus top-2 logit, a token)
//   {"op": "judge", "prompt", "ids"}                       -> best, regrets (best logit minus the given token's)
//   {"op": "bench", "prompts", "output_tokens", "threads"} -> samples [[ms, tokens so far]] a prompt, rss_bytes
//
// A request that fails is answered with {"error"}; the next one is served.
import { createInterface } from "node:readline";
import { Llama } from "./llama.mjs";

const modelPath = process.argv[2];
if (!modelPath) {
  console.error("usage: node oracle.mjs MODEL < requests > answers");
  process.exit(2);
}
const llama = await Llama.load(modelPath);

const operations = {
  info: () => ({ load_ms: llama.loadMs, ...rss(), bos: llama.model.tokens.bos, eos: llama.model.tokens.eos, features: llama.features }),
  tokenize: ({ text }) => ({ ids: llama.ids(text), fed: llama.fed(text) }),
  detokenize: ({ ids }) => ({ text: llama.detokenize(ids) }),
  async greedy({ prompt, max_tokens, gaps }) {
    const fed = llama.fed(prompt);
    const answer = gaps ? await llama.greedyWithGaps(fed, max_tokens) : { ids: await llama.greedy(fed, max_tokens) };
    return { prompt_tokens: fed.length, text: llama.detokenize(answer.ids.filter((id) => !llama.ends(id))), ...answer };
  },
  judge: ({ prompt, ids }) => llama.judge(llama.fed(prompt), ids),
  async bench({ prompts, output_tokens, threads }) {
    const samples = await llama.bench(prompts.map((prompt) => llama.fed(prompt)), output_tokens, threads);
    return { samples, prompt_tokens: prompts.map((prompt) => llama.fed(prompt).length), ...rss() };
  },
};

function rss() {
  const { now, before } = llama.rss();
  return { rss_bytes: now, rss_before_load_bytes: before };
}

async function answer(line) {
  try {
    const request = JSON.parse(line);
    if (!Object.hasOwn(operations, request.op)) throw new Error(`no such op: ${request.op}`);
    return await operations[request.op](request);
  } catch (error) {
    return { error: String(error.message ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
process.exit(0);

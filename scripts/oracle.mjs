// `make oracle`: the candle worker held against llama.cpp on the same model file. Exit 1 on any difference.
//
//   node scripts/oracle.mjs [--worker PROGRAM | --url URL] [--model FILE] [--scale 0.0-1.0] [--seed N]
//
// 1. Token ids of hard texts are equal, one by one.
// 2. `usage.prompt_tokens` is what llama.cpp counts, and `usage.completion_tokens` what it reads in the answer.
// 3. Greedy completions agree but for near ties: at every step llama.cpp is given the worker's own history, and the token
//    that the worker chose must be within NEAR_TIE_LOGITS of llama.cpp's best. That includes the first difference, and
//    goes on after it. Two correct programs round differently (activations in 8 bits, keys and values in f16 or f32):
//    llama.cpp differs from itself by up to 0.7 logits when its own flash attention is on; a wrong formula by far more.
import { parseArgs } from "node:util";
import { PROMPTS, PROMPT_SIZES, promptOfSize, texts } from "../tests/oracle/corpus.mjs";
import { Oracle, Refused, Worker } from "../tests/oracle/processes.mjs";

const NEAR_TIE_LOGITS = 1.0;
const COMPLETION_TOKENS = 48;
const DIFFERENCES_SHOWN = 8; // of each sort
// `</s>` closes a strike-through in this vocabulary, and the model file says so: user-defined, token 212. llama.cpp knows
// `</s>` as other models' end of text, overrides the file (it warns at load) and reads it as plain characters.
const STRIKE_END = { text: "</s>", id: 212 };

const { values: options } = parseArgs({
  options: {
    worker: { type: "string", default: "target/release/tollgate-worker" },
    url: { type: "string" },
    model: { type: "string", default: ".cache/gemma-3-270m.gguf" },
    scale: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
  },
});
const scale = Number(options.scale);
const differences = [];

const oracle = await Oracle.start(options.model);
const worker = options.url ? new Worker(options.url)
  : await Worker.start(options.worker, ["serve", "--model", options.model]);
try {
  await compareTokens();
  await compareCompletions();
} finally {
  await worker.stop();
  await oracle.stop();
}
for (const what of new Set(differences.map((difference) => difference.what))) {
  const sort = differences.filter((difference) => difference.what === what);
  for (const difference of sort.slice(0, DIFFERENCES_SHOWN)) console.log(JSON.stringify(difference));
  console.log(`${what}: ${sort.length} differences`);
}
if (differences.length === 0) console.log("no difference");
process.exit(differences.length === 0 ? 0 : 1);

async function compareTokens() {
  const corpus = texts(Number(options.seed), scale);
  let tokens = 0;
  const before = differences.length;
  for (const { kind, text } of corpus) {
    const expected = await fed(text);
    tokens += expected.length;
    const { tokens: got, count, refusal } = await worker.tokenize(text).catch(asRefusal);
    if (refusal) {
      differences.push({ what: "refused", kind, text: text.slice(0, 200), refusal });
      continue;
    }
    const at = expected.findIndex((id, index) => got[index] !== id);
    if (at >= 0 || got.length !== expected.length) {
      const from = Math.max(0, (at < 0 ? expected.length : at) - 2);
      differences.push({ what: "tokens", kind, text: text.slice(0, 200), from, llama: expected.slice(from, from + 8), worker: got.slice(from, from + 8),
        counts: [expected.length, got.length] });
    } else if (count !== got.length) {
      differences.push({ what: "count", kind, text: text.slice(0, 200), count, tokens: got.length });
    }
  }
  console.log(`tokens: ${corpus.length - (differences.length - before)} of ${corpus.length} texts equal (${tokens} tokens)`);
}

async function compareCompletions() {
  const prompts = PROMPTS.slice(0, Math.max(4, Math.round(PROMPTS.length * scale)));
  const count = async (text) => (await fed(text)).length;
  for (const size of PROMPT_SIZES.filter((_, at) => scale >= 1 || at % 5 === 0)) prompts.push(await promptOfSize(size, count));
  const seen = { whole: 0, steps: 0, apart: 0, worst: 0 };
  for (const prompt of prompts) await compareCompletion(prompt, seen);
  console.log(`completions: ${prompts.length} prompts, ${seen.whole} equal to llama.cpp's own to the end; of ${seen.steps} steps judged, `
    + `${seen.apart} chose another token, the worst ${seen.worst.toFixed(2)} logits below the best (allowed: ${NEAR_TIE_LOGITS})`);
}

async function compareCompletion(prompt, seen) {
  const note = (what, detail) => differences.push({ what, prompt: prompt.slice(-80), prompt_tokens: expected.prompt_tokens, ...detail });
  const expected = await oracle.ask({ op: "greedy", prompt, max_tokens: COMPLETION_TOKENS });
  const got = await worker.complete(prompt, COMPLETION_TOKENS).catch(asRefusal);
  if (got.refusal) return note("refused", got);
  if (got.usage.prompt_tokens !== expected.prompt_tokens) note("usage.prompt_tokens", { worker: got.usage.prompt_tokens });
  const ids = await completionIds(got, expected);
  if (ids.length !== got.usage.completion_tokens) {
    note("usage.completion_tokens", { worker: got.usage.completion_tokens, llama: ids.length, text: got.text, finish_reason: got.finish_reason });
  }
  if (ids.length === 0) return;
  const { best, regrets } = await oracle.ask({ op: "judge", prompt, ids });
  const wrong = regrets.findIndex((regret) => regret > NEAR_TIE_LOGITS);
  if (wrong >= 0) {
    note("choice", { step: wrong, worker: ids[wrong], llama: best[wrong], logits_below: regrets[wrong], worker_text: got.text, llama_text: expected.text });
  }
  seen.steps += ids.length;
  seen.apart += regrets.filter((regret) => regret > 0).length;
  seen.worst = Math.max(seen.worst, ...regrets);
  if (ids.every((id, at) => id === expected.ids[at]) && ids.length === expected.ids.length) seen.whole += 1;
}

function asRefusal(error) {
  if (error instanceof Refused) return { refusal: error.message };
  throw error;
}

/**
 * The tokens that the worker sampled, read back from its text: llama.cpp's own as far as the texts agree, and the rest as
 * the tokenizer reads it. A text can be written in several ways, so the first that has the worker's count is taken.
 */
async function completionIds({ text, finish_reason, usage }, expected) {
  if (text === expected.text) return expected.ids;
  const ended = finish_reason === "stop" ? [oracle.info.eos] : [];
  for (let shared = expected.ids.length - 1; shared > 0; shared -= 1) {
    const { text: start } = await oracle.ask({ op: "detokenize", ids: expected.ids.slice(0, shared) });
    if (!text.startsWith(start)) continue;
    const ids = [...expected.ids.slice(0, shared), ...(await userIds(text.slice(start.length))), ...ended];
    if (ids.length === usage.completion_tokens) return ids;
  }
  return [...(await userIds(text)), ...ended];
}

/** What the model is to be fed for a text, by llama.cpp, but for `</s>`. */
async function fed(text) {
  const { ids, fed: whole } = await oracle.ask({ op: "tokenize", text });
  if (!text.includes(STRIKE_END.text)) return whole;
  return [...whole.slice(0, whole.length - ids.length), ...(await userIds(text))];
}

async function userIds(text) {
  const parts = [];
  for (const part of text.split(STRIKE_END.text)) parts.push((await oracle.ask({ op: "tokenize", text: part })).ids);
  return parts.reduce((all, part) => [...all, STRIKE_END.id, ...part]);
}

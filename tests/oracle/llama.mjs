// llama.cpp through node-llama-cpp's prebuilt processor library: tokens, greedy text, judged text and speed.
// Knows nothing of the worker. Everything here is llama.cpp's own word.
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

// Holds the longest prompt that is compared and its completion.
const CONTEXT_TOKENS = 2048;
const SILENT = { gpu: false, build: "never", skipDownload: true, maxThreads: 0, logLevel: LlamaLogLevel.error };

export class Llama {
  /** Loads the model file; `loadMs` and `rssBytes` say what that took. */
  static async load(modelPath) {
    const rssBefore = process.memoryUsage.rss();
    const start = performance.now();
    const llama = await getLlama(SILENT);
    const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
    const self = new Llama();
    Object.assign(self, { model, loadMs: performance.now() - start, rssBefore, features: llama.systemInfo.trim() });
    return self;
  }

  /** Ids of user text: control tokens in it are text. */
  ids(text) {
    return this.model.tokenize(text, false);
  }

  /** What the model is fed for a prompt: with the beginning-of-sequence token if the file asks for one. */
  fed(text) {
    const { shouldPrependBosToken, bos } = this.model.tokens;
    return shouldPrependBosToken ? [bos, ...this.ids(text)] : this.ids(text);
  }

  detokenize(ids) {
    return this.model.detokenize(ids, true);
  }

  /** Most probable tokens from `prompt` (ids) on. */
  async greedy(prompt, tokensMax) {
    const { choices } = await this.#follow(await this.#fresh(), prompt, tokensMax, (row) => row[0].token, 0);
    return choices;
  }

  /** As `greedy`, with top-1 minus top-2 logits, one a token, the end token included. Three times slower. */
  async greedyWithGaps(prompt, tokensMax) {
    const { choices, rows } = await this.#follow(await this.#fresh(), prompt, tokensMax, (row) => row[0].token, 2);
    return { ids: choices, gaps: rows.map(([first, second]) => first.logit - second.logit) };
  }

  /** As `greedy`, but with the library's defaults (flash attention, f16 cache); every `second`th token is the second best. */
  async complete(prompt, tokensMax, second) {
    this.plain ??= (await this.model.createContext({ contextSize: CONTEXT_TOKENS, sequences: 1, threads: 1 })).getSequence();
    await this.plain.clearHistory();
    const pick = (row, at) => row[second && (at + 1) % second === 0 ? 1 : 0].token;
    return (await this.#follow(this.plain, prompt, tokensMax, pick, second ? 2 : 0)).choices;
  }

  /**
   * How far each of `chosen` is from being llama.cpp's own choice after `prompt` and the chosen tokens before it:
   * the best token's logit minus the chosen one's; 0 where they are the same. `best` are llama.cpp's choices.
   */
  async judge(prompt, chosen) {
    const sequence = await this.#fresh();
    const wanted = chosen.map((token, at) => [prompt.length - 1 + at, [token]]);
    const rows = await logits(sequence, [...prompt, ...chosen.slice(0, -1)], wanted, 0);
    const best = rows.map(([first]) => first.token);
    const regrets = rows.map((row, at) => row[0].logit - row.find(({ token }) => token === chosen[at]).logit);
    return { best, regrets };
  }

  async #follow(sequence, prompt, tokensMax, pick, top) {
    const choices = [], rows = [];
    let input = prompt;
    while (choices.length < tokensMax && !this.ends(choices.at(-1))) {
      const [row] = await logits(sequence, input, [[input.length - 1, []]], top);
      rows.push(row);
      choices.push(pick(row, choices.length));
      input = choices.slice(-1);
    }
    return { choices, rows };
  }

  /** By the model file's end token or its end of turn. llama.cpp's own list also has `</s>`, see the corpus. */
  ends(token) {
    return token === this.model.tokens.eos || token === this.model.tokens.eot;
  }

  /**
   * Completes all `prompts` (ids) at once, greedily. `samples[i]` are [ms since the start, tokens so far] of sequence i;
   * batching is llama.cpp's own: the sequences of one context share each step.
   */
  async bench(prompts, tokensMax, threads) {
    const context = await this.#benchContext(threads, prompts.length);
    const sequences = prompts.map(() => context.getSequence());
    const start = performance.now();
    const samples = await Promise.all(sequences.map(async (sequence, at) => {
      const seen = [];
      for await (const _ of sequence.evaluate(prompts[at], { temperature: 0, yieldEogToken: true })) {
        seen.push([performance.now() - start, seen.length + 1]);
        if (seen.length === tokensMax) break;
      }
      return seen;
    }));
    await Promise.all(sequences.map((sequence) => sequence.dispose()));
    return samples;
  }

  /** Resident bytes of this process, and what was resident before the model was loaded (the JavaScript engine). */
  rss() {
    return { now: process.memoryUsage.rss(), before: this.rssBefore };
  }

  // The reference: no flash attention, and keys and values in f32, so that its own rounding is as small as it gets.
  async #fresh() {
    if (!this.sequence) {
      const context = await this.model.createContext({
        contextSize: CONTEXT_TOKENS, sequences: 1, threads: 1, flashAttention: false,
        experimentalKvCacheKeyType: "F32", experimentalKvCacheValueType: "F32",
      });
      this.sequence = context.getSequence();
    }
    await this.sequence.clearHistory();
    return this.sequence;
  }

  // As anybody would run it: the library's defaults. One context at a time, so that resident memory means something.
  async #benchContext(threads, sequences) {
    const key = `${threads}/${sequences}`;
    if (this.benchKey !== key) {
      await this.benchContext?.dispose();
      this.benchContext = await this.model.createContext({ contextSize: 512, sequences, threads });
      this.benchKey = key;
    }
    return this.benchContext;
  }
}

/** Feeds `input`; gives, for each wanted [position, tokens], the best token, the `top` best, and those tokens, best first. */
async function logits(sequence, input, wanted, top) {
  const at = new Map(wanted);
  // Without `includeTop` the library need not sort the whole vocabulary; the greedy choice is the best token.
  const items = input.map((token, position) => at.has(position) ? [token, {
    generateNext: { options: { temperature: 0 }, logits: { filter: { tokens: at.get(position), includeSelected: true, includeTop: top } } },
  }] : token);
  const results = await sequence.controlledEvaluate(items);
  return wanted.map(([position]) => [...results[position].next.logits]
    .map(([token, logit]) => ({ token, logit }))
    .sort((a, b) => b.logit - a.logit));
}

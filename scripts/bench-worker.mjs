// `make bench-worker`: the candle worker's speed beside llama.cpp's, same model file, same prompts, same number of threads.
//
//   node scripts/bench-worker.mjs [--worker PROGRAM] [--model FILE] [--repeats N] [--out FILE] [--seed N]
//
// One run, alternating: every repeat measures both parties on the same new prompts, one right after the other, so that what
// else the machine does falls on both. Figures are medians over the repeats; ratios are medians of the repeats' ratios.
// llama.cpp runs inside node-llama-cpp, without HTTP; the worker is measured over HTTP, as a caller sees it.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { promptOfSize } from "../tests/oracle/corpus.mjs";
import { Oracle, Worker } from "../tests/oracle/processes.mjs";
import { randomFrom } from "../tests/oracle/random.mjs";

const PREFILL_TOKENS = 256;
const DECODE_PROMPT_TOKENS = 64;
const DECODE_TOKENS = 128;
// A text that ends before this many tokens is measured again with other prompts.
const WINDOW_TOKENS_MIN = 64;
const DRAWS_MAX = 8;
const PROMPT_START_CHARS = 5_000;
// Load, threads, and what else runs: [threads, sequences at once, spinning neighbours].
const SETTINGS = [[1, 1, 0], [1, 2, 0], [1, 4, 0], [2, 1, 0], [2, 2, 0], [2, 4, 0], [1, 1, 2], [2, 2, 2]];

const { values: options } = parseArgs({
  options: {
    worker: { type: "string", default: "target/release/tollgate-worker" },
    model: { type: "string", default: ".cache/gemma-3-270m.gguf" },
    repeats: { type: "string", default: "5" },
    out: { type: "string", default: "target/bench-worker.json" },
    seed: { type: "string", default: "1" },
  },
});
const repeats = Number(options.repeats);
const { below } = randomFrom(Number(options.seed));
const loads = { worker: [], llama: [] };
const loadAverages = [];
const neighbours = [];

for (let at = 1; at < repeats; at += 1) {
  await (await startWorker(1)).stop();
  await (await startLlama()).stop();
}
const llama = await startLlama();
const workers = { 1: await startWorker(1), 2: await startWorker(2) };
const rows = [];
const memory = { llama: 0, worker: {} };
try {
  await warmUp();
  const samples = SETTINGS.map(() => []);
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const [at, setting] of SETTINGS.entries()) samples[at].push(await measure(setting, repeat % 2 === 0));
    console.error(`repeat ${repeat + 1} of ${repeats}, load ${loadavg()[0].toFixed(1)}`);
  }
  for (const [at, [threads, sequences, spinning]] of SETTINGS.entries()) rows.push({ threads, sequences, spinning, ...summary(samples[at]) });
  for (const threads of [1, 2]) memory.worker[threads] = workers[threads].rss();
  report(samples);
} finally {
  quiet();
  for (const party of [workers[1], workers[2], llama]) await party.stop();
}

async function startWorker(threads) {
  const worker = await Worker.start(options.worker, ["serve", "--model", options.model, "--engine-threads", String(threads)]);
  loads.worker.push(worker.loadMs);
  return worker;
}

async function startLlama() {
  const oracle = await Oracle.start(options.model);
  loads.llama.push(oracle.info.load_ms);
  return oracle;
}

async function warmUp() {
  const [prompt] = await prompts(1, DECODE_PROMPT_TOKENS);
  for (const threads of [1, 2]) {
    await workers[threads].stream(prompt, 8, performance.now());
    await llama.ask({ op: "bench", prompts: [prompt], output_tokens: 8, threads });
  }
}

/** Both parties, in one order or the other, on the same prompts: tokens a second of prefill and decode. */
async function measure([threads, sequences, spinning], workerFirst) {
  while (neighbours.length < spinning) neighbours.push(spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }));
  const order = workerFirst ? ["worker", "llama"] : ["llama", "worker"];
  const result = { worker: {}, llama: {} };
  const prefill = await prompts(sequences, PREFILL_TOKENS);
  for (const party of order) Object.assign(result[party], prefillRates(await run(party, threads, prefill, 1)));
  let texts, runs;
  let draws = 0;
  do {
    if (draws++ === DRAWS_MAX) throw new Error(`no ${sequences} prompts found that go on for ${WINDOW_TOKENS_MIN} tokens`);
    texts = await prompts(sequences, DECODE_PROMPT_TOKENS);
    runs = {};
    for (const party of order) runs[party] = await run(party, threads, texts, DECODE_TOKENS);
  } while (Object.values(runs).some(({ samples }) => decodeWindow(samples).tokens < WINDOW_TOKENS_MIN * sequences));
  for (const party of order) Object.assign(result[party], decodeRates(runs[party]));
  loadAverages.push(loadavg()[0]);
  quiet();
  return result;
}

/** Stops the neighbours. */
function quiet() {
  for (const neighbour of neighbours.splice(0)) neighbour.kill("SIGKILL");
}

/** Completes all prompts at once: samples [[ms, tokens so far]] a prompt, and the worker's own account where there is one. */
async function run(party, threads, texts, tokensMax) {
  if (party === "llama") {
    const { samples, rss_bytes, rss_before_load_bytes } = await llama.ask({ op: "bench", prompts: texts, output_tokens: tokensMax, threads });
    memory.llama = Math.max(memory.llama, rss_bytes - rss_before_load_bytes);
    return { samples };
  }
  const start = performance.now();
  const streams = await Promise.all(texts.map((text) => workers[threads].stream(text, tokensMax, start)));
  if (streams.some(({ usage }) => usage.prompt_tokens_details?.cached_tokens > 0)) throw new Error("the worker had a prompt in its cache");
  return { samples: streams.map(({ samples }) => samples), usages: streams.map(({ usage }) => usage) };
}

function prefillRates({ samples, usages }) {
  const seconds = Math.max(...samples.map(([[ms]]) => ms)) / 1_000;
  const busy = usages && sum(usages, (usage) => usage.worker.prefill_busy_us) / 1e6;
  return { prefill: samples.length * PREFILL_TOKENS / seconds, ...(busy && { prefillBusy: samples.length * PREFILL_TOKENS / busy }) };
}

function decodeRates({ samples, usages }) {
  const { tokens, seconds } = decodeWindow(samples);
  const busy = usages && sum(usages, (usage) => usage.worker.decode_busy_us) / 1e6;
  return { decode: tokens / seconds, ...(busy && { decodeBusy: sum(usages, (usage) => usage.completion_tokens) / busy }) };
}

/** The time in which every sequence was decoding: from the last one's first token to the first one's last. */
function decodeWindow(samples) {
  const from = Math.max(...samples.map((sequence) => sequence[0][0]));
  const to = Math.min(...samples.map((sequence) => sequence.at(-1)[0]));
  const until = (sequence, ms) => sequence.findLast(([at]) => at <= ms)?.[1] ?? 0;
  return { tokens: to > from ? sum(samples, (sequence) => until(sequence, to) - until(sequence, from)) : 0, seconds: (to - from) / 1_000 };
}

/** Prompts that neither party has seen: other places in the licence. */
function prompts(count, size) {
  const tokens = async (text) => (await llama.ask({ op: "tokenize", text })).fed.length;
  return Promise.all(Array.from({ length: count }, () => promptOfSize(size, tokens, 1 + below(PROMPT_START_CHARS))));
}

function summary(samples) {
  const of = (party, figure) => median(samples.map((sample) => sample[party][figure]));
  const ratio = (figure) => median(samples.map(({ worker, llama: other }) => worker[figure] / other[figure]));
  const figures = ["prefill", "decode"];
  return {
    worker: Object.fromEntries([...figures, "prefillBusy", "decodeBusy"].map((figure) => [figure, of("worker", figure)])),
    llama: Object.fromEntries(figures.map((figure) => [figure, of("llama", figure)])),
    ratio: Object.fromEntries(figures.map((figure) => [figure, ratio(figure)])),
  };
}

function report(samples) {
  const at = (threads, sequences) => SETTINGS.findIndex((setting) => setting.join() === `${threads},${sequences},0`);
  const [one, two] = [samples[at(1, 2)], samples[at(2, 2)]];
  const scaling = (figure) => median(two.map((sample, repeat) => sample.worker[figure] / one[repeat].worker[figure]));
  const result = {
    machine: { cpu: cpus()[0].model.trim(), cpus: cpus().length, load: [Math.min(...loadAverages), Math.max(...loadAverages)] },
    llama_features: llama.info.features,
    repeats, rows,
    two_threads_over_one: { prefill: scaling("prefill"), decode: scaling("decode") },
    load_ms: { worker: median(loads.worker), llama: median(loads.llama) },
    rss_bytes: { worker: memory.worker, llama_without_node: memory.llama },
  };
  writeFileSync(options.out, `${JSON.stringify(result, null, 1)}\n`);
  console.log(table(result));
}

function table({ machine, two_threads_over_one: scaling, load_ms: load, rss_bytes: rss }) {
  const whole = (rate) => rate.toFixed(0).padStart(5);
  const cell = ({ worker, llama: other, ratio }, figure) => `${whole(worker[figure])} / ${whole(other[figure])} = ${ratio[figure].toFixed(2)}`;
  const lines = rows.map((row) => `| ${row.threads} | ${row.sequences} | ${row.spinning || "-"} | ${cell(row, "prefill")} | ${cell(row, "decode")} `
    + `| ${whole(row.worker.prefillBusy)} | ${whole(row.worker.decodeBusy)} |`);
  const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
  return [
    "Tokens a second, worker / llama.cpp = ratio; all sequences together. Busy: by the worker's own processor time, a thread.",
    "",
    "| threads | at once | spinning neighbours | prefill of 256 | decode | prefill, busy | decode, busy |",
    "|---|---|---|---|---|---|---|",
    ...lines,
    "",
    `Two engine threads over one, two sequences: prefill ${scaling.prefill.toFixed(2)}, decode ${scaling.decode.toFixed(2)}.`,
    `Resident: worker ${megabytes(rss.worker[1].now)} MB (peak ${megabytes(rss.worker[1].peak)}) with one engine thread, `
      + `${megabytes(rss.worker[2].now)} MB (peak ${megabytes(rss.worker[2].peak)}) with two; llama.cpp ${megabytes(rss.llama_without_node)} MB without node.`,
    `Load: worker ${load.worker.toFixed(0)} ms from start to ready, llama.cpp ${load.llama.toFixed(0)} ms without node.`,
    `${repeats} repeats, medians; ${machine.cpus} x ${machine.cpu}, load average ${machine.load.map((value) => value.toFixed(1)).join(" to ")}.`,
  ].join("\n");
}

function sum(list, of) {
  return list.reduce((total, item) => total + of(item), 0);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

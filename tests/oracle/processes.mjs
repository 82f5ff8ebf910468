// The two parties of a comparison as processes of their own: the oracle (llama.cpp) and the worker under test.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const READY_WAIT_MS = 60_000;
const STOP_WAIT_MS = 10_000;

/** Answers of `oracle.mjs`, asked one after the other. */
export class Oracle {
  static async start(modelPath) {
    const oracle = new Oracle();
    const command = fileURLToPath(new URL("oracle.mjs", import.meta.url));
    oracle.child = spawn(process.execPath, [command, modelPath], { stdio: ["pipe", "pipe", "inherit"] });
    oracle.lines = createInterface({ input: oracle.child.stdout })[Symbol.asyncIterator]();
    oracle.info = await oracle.ask({ op: "info" });
    return oracle;
  }

  /** Sends one request and gives its answer; requests asked together wait for each other. */
  ask(request) {
    const answer = (this.last ?? Promise.resolve()).then(async () => {
      this.child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await this.lines.next();
      if (done) throw new Error("the oracle ended; is the model file whole, and is this an x86-64 Linux?");
      const parsed = JSON.parse(value);
      if (parsed.error) throw new Error(`oracle ${request.op}: ${parsed.error}`);
      return parsed;
    });
    this.last = answer.catch(() => {});
    return answer;
  }

  async stop() {
    this.child.stdin.end();
    await ended(this.child);
  }
}

/** The worker answered, and not with success. */
export class Refused extends Error {}

/** A worker as the gateway would use it: over HTTP (docs/worker.md). */
export class Worker {
  /** Starts `command` with `arguments_` and `--listen`, and waits until it is ready; `loadMs` says how long that took. */
  static async start(command, arguments_) {
    const port = await freePort();
    const start = performance.now();
    const child = spawn(command, [...arguments_, "--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "pipe"] });
    const worker = new Worker(`http://127.0.0.1:${port}`, child);
    let log = "";
    for (const output of [child.stdout, child.stderr]) output.on("data", (data) => { log = (log + data).slice(-4_000); });
    const failed = new Promise((_, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the worker ended with ${code}; its log says:\n${log}`)));
    });
    failed.catch(() => {});
    await Promise.race([worker.#ready(), failed]);
    worker.loadMs = performance.now() - start;
    return worker;
  }

  constructor(url, child) {
    this.url = url;
    this.child = child;
  }

  async health() {
    return (await this.#get("/health")).json();
  }

  /** Ids as the model would see them. */
  async tokenize(prompt) {
    return (await this.#post("/tokenize", { prompt })).json();
  }

  /** A plain greedy completion: text, finish_reason, usage. */
  async complete(prompt, tokensMax) {
    const body = await (await this.#post("/v1/completions", await this.#greedy(prompt, tokensMax))).json();
    return { text: body.choices[0].text, finish_reason: body.choices[0].finish_reason, usage: body.usage };
  }

  /** A streamed greedy completion; `samples` are [ms since `start`, tokens so far] of every chunk that brought tokens. */
  async stream(prompt, tokensMax, start) {
    const response = await this.#post("/v1/completions", { ...await this.#greedy(prompt, tokensMax), stream: true });
    const samples = [];
    let usage;
    for await (const event of events(response)) {
      if (event.error) throw new Error(`the stream failed: ${JSON.stringify(event.error)}`);
      usage = event.usage ?? usage;
      const tokens = usage?.completion_tokens ?? 0;
      if (tokens > (samples.at(-1)?.[1] ?? 0)) samples.push([performance.now() - start, tokens]);
    }
    return { samples, usage };
  }

  /** Resident bytes, now and at most. */
  rss() {
    const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
    const bytes = (name) => Number(status.match(new RegExp(`${name}:\\s+(\\d+) kB`))[1]) * 1024;
    return { now: bytes("VmRSS"), peak: bytes("VmHWM") };
  }

  async stop() {
    if (!this.child) return;
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), STOP_WAIT_MS);
    await ended(this.child);
    clearTimeout(timer);
  }

  async #greedy(prompt, tokensMax) {
    this.model ??= (await (await this.#get("/v1/models")).json()).data[0].id;
    return { model: this.model, prompt, max_tokens: tokensMax, temperature: 0 };
  }

  async #ready() {
    const deadline = performance.now() + READY_WAIT_MS;
    while (performance.now() < deadline) {
      const ready = await fetch(`${this.url}/ready`).then((response) => response.ok, () => false);
      if (ready) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`the worker was not ready within ${READY_WAIT_MS} ms`);
  }

  #get(path) {
    return this.#checked(path, fetch(this.url + path));
  }

  #post(path, body) {
    const headers = { "content-type": "application/json" };
    return this.#checked(path, fetch(this.url + path, { method: "POST", headers, body: JSON.stringify(body) }));
  }

  async #checked(path, pending) {
    const response = await pending;
    if (!response.ok) throw new Refused(`${path} answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
    return response;
  }
}

async function* events(response) {
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}

function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once("exit", resolve));
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

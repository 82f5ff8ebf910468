// The comparison held against llama.cpp itself: whole it must pass, with any one fault it must fail and name it.
// Run: node --test tests/oracle (after scripts/gemma.sh and npm ci)
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const model = `${root}.cache/gemma-3-270m.gguf`;

/** Runs the comparison, on few texts and prompts, against the stand-in with `fault`. */
async function compared(fault) {
  const standin = spawn(process.execPath, [`${root}tests/oracle/standin.mjs`, model, fault], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const { value: url } = await createInterface({ input: standin.stdout })[Symbol.asyncIterator]().next();
    const run = spawnSync(process.execPath, [`${root}scripts/oracle.mjs`, "--url", url, "--model", model, "--scale", "0.1"], { encoding: "utf8" });
    return { status: run.status, output: run.stdout + run.stderr };
  } finally {
    standin.kill();
  }
}

test("llama_cpp_agrees_with_itself", async () => {
  const { status, output } = await compared("none");
  assert.equal(status, 0, output);
  assert.match(output, /^no difference$/m);
});

for (const [fault, named] of Object.entries({
  specials: /"what":"tokens".*<(start_of_turn|eos|unused\d+|bos)>/, space: /"what":"tokens"/, bos: /"what":"usage.prompt_tokens"/,
  count: /"what":"usage.prompt_tokens"/, completion: /"what":"usage.completion_tokens"/, window: /"what":"choice"/, second: /"what":"choice"/,
})) {
  test(`the_fault_${fault}_is_found_and_named`, async () => {
    const { status, output } = await compared(fault);
    assert.equal(status, 1, output);
    assert.match(output, named);
  });
}

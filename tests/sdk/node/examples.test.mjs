// Every Node example runs as it stands. They are copied here, where the packages are.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { key, model, rootUrl } from "./gateway.mjs";

const examples = new URL("../../../examples/node/", import.meta.url).pathname;
const models = { "anthropic.mjs": "claude-test" };

for (const name of await readdir(examples)) {
  test(`examples/node/${name} runs`, async () => {
    const folder = await mkdtemp(join(import.meta.dirname, ".example-"));
    try {
      const copy = join(folder, name);
      await copyFile(join(examples, name), copy);
      const env = { ...process.env, TOLLGATE_URL: rootUrl, TOLLGATE_KEY: key, TOLLGATE_MODEL: models[name] ?? model };
      const { stdout } = await promisify(execFile)(process.execPath, [copy], { env, timeout: 60_000 });
      assert.match(stdout, /alpha/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
}

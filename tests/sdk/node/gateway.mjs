// The gateway under test and its books. The environment says where everything is (see ../python/conftest.py).

const env = name => {
  const value = process.env[name];
  if (!value) throw new Error(`the environment variable ${name} is missing`);
  return value;
};

export const rootUrl = env("TOLLGATE_ROOT_URL");
export const openaiUrl = env("TOLLGATE_BASE_URL");
export const key = env("TOLLGATE_KEY");
export const model = env("TOLLGATE_MODEL");
export const embeddingModel = env("TOLLGATE_EMBEDDING_MODEL");
export const messages = [{ role: "user", content: "one two three" }];

// Longer than a client waits that has shortMs.
export const slow = { first_delay_ms: 600 };
export const shortMs = 200;

const admin = async (path, body) => {
  const headers = { authorization: `Bearer ${env("TOLLGATE_ADMIN_TOKEN")}`, "content-type": "application/json" };
  const init = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
  return fetch(`${env("TOLLGATE_ADMIN_URL")}/admin/v1${path}`, init);
};

// Asks until there is something; the books know a request soon after its end.
async function until(what, find) {
  for (let tries = 0; tries < 100; tries++) {
    const found = await find();
    if (found) return found;
    await new Promise(done => setTimeout(done, 20));
  }
  throw new Error(`${what} is not in the books after two seconds`);
}

// What the books say about one request.
export const booked = requestId => until(`request ${requestId}`, async () => {
  const answer = await admin(`/requests/${requestId}`);
  return answer.status === 200 && answer.json();
});

// A key of its own, and all that the books say about it: requests that their client has no id of are there, too.
export async function ledger(limits = {}) {
  const { key, id } = await (await admin("/keys", { customer_id: env("TOLLGATE_CUSTOMER"), ...limits })).json();
  const sums = async requests => {
    const row = await until(`${requests} requests of one key`, async () => {
      const { data } = await (await admin("/usage?by=key&limit=1000")).json();
      return data.find(row => row.key_id === id && row.requests >= requests);
    });
    return { requests: row.requests, output: row.output, estimated: row.estimated, isFree: Number(row.charge_usd) === 0 };
  };
  return { key, sums };
}

// A fetch that adds a script for the upstream to the body and remembers the id of the last request. Of several scripts, each
// request takes the next; the last one stays.
export function scripted(...scripts) {
  const told = { requestId: null, calls: 0, body: null };
  const fetching = async (url, init) => {
    const script = scripts[Math.min(told.calls, scripts.length - 1)] ?? {};
    told.calls += 1;
    told.body = JSON.parse(init.body);
    const body = { ...told.body, x_fake: script };
    const headers = new Headers(init.headers);
    headers.delete("content-length");
    const answer = await fetch(url, { ...init, headers, body: JSON.stringify(body) });
    told.requestId = answer.headers.get("x-tollgate-request-id");
    return answer;
  };
  return { fetch: fetching, told };
}

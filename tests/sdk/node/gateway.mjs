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
export const messages = [{ role: "user", content: "one two three" }];

// What the books say about one request; waits until they know it.
export async function booked(requestId) {
  const headers = { authorization: `Bearer ${env("TOLLGATE_ADMIN_TOKEN")}` };
  for (let tries = 0; tries < 100; tries++) {
    const answer = await fetch(`${env("TOLLGATE_ADMIN_URL")}/admin/v1/requests/${requestId}`, { headers });
    if (answer.status === 200) return answer.json();
    await new Promise(done => setTimeout(done, 20));
  }
  throw new Error(`request ${requestId} is not in the books after two seconds`);
}

// A fetch that adds a script for the upstream to the body and remembers the id of the last request.
export function scripted(script = {}) {
  const told = { requestId: null, calls: 0 };
  const fetching = async (url, init) => {
    const body = { ...JSON.parse(init.body), x_fake: script };
    const headers = new Headers(init.headers);
    headers.delete("content-length");
    const answer = await fetch(url, { ...init, headers, body: JSON.stringify(body) });
    told.requestId = answer.headers.get("x-tollgate-request-id");
    told.calls += 1;
    return answer;
  };
  return { fetch: fetching, told };
}

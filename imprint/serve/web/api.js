// Functions to send requests to the server and to receive its events.

// Status codes of failures that may be over when the user tries again; 0 is no response.
const passing = [0, 503, 507];

// A Refusal is the error of a failed request. Its message, the error and a hint, is shown to
// the user. Its status is 0 if there was no response. If it makes sense, again() sends the request again.
export class Refusal extends Error {
  constructor(error, hint, status = 0) {
    super([error, hint].filter(Boolean).join("; "));
    this.error = error;
    this.status = status;
  }
}

// ask sends a request, with body as JSON if there is one. signal, if given, cancels it.
export function ask(method, path, body, signal) {
  const init = { method, signal };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  return request(path, init);
}

// send posts a photo, or a form of photos.
export const send = (path, body) => request(path, { method: "POST", body });

async function request(path, init) {
  const fail = (...why) => {
    const e = new Refusal(...why);
    if (passing.includes(e.status)) e.again = () => request(path, init);
    throw e;
  };
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    fail("Can't reach the server; check that imprint serve runs and that this device is in its network");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) fail(value.error ?? `The server answered ${answer.status}.`, value.hint, answer.status);
  return value;
}

// listen calls on[kind] for each event, and on.connection when the connection is made or
// lost. It reconnects for as long as the page is open; a plain EventSource gives up when
// the server is down. It returns a function that reconnects at once.
export function listen(on) {
  let source, timer;
  const connect = () => {
    clearTimeout(timer);
    source?.close();
    source = new EventSource("/v1/events");
    source.onopen = () => on.connection(true);
    source.onerror = async () => {
      source.close();
      clearTimeout(timer);
      timer = setTimeout(connect, 1500);
      let status = 0;
      try { status = (await fetch("/v1/labels")).status; } catch { /* the server is down */ }
      on.connection(false, status);
    };
    for (const kind of Object.keys(on)) {
      if (kind !== "connection") source.addEventListener(kind, (e) => on[kind](JSON.parse(e.data)));
    }
  };
  connect();
  return connect;
}

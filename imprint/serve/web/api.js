// Functions to send requests to the server and to receive its events.

// A Refusal is the error of a failed request. Its message is shown to the user.
export class Refusal extends Error {}

export async function ask(method, path, body) {
  const init = { method };
  if (body !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new Refusal("Can't reach the server.");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal([value.error ?? `The server answered ${answer.status}.`, value.hint].filter(Boolean).join("; "));
  return value;
}

// listen calls on[kind] for each event, and on.connection when the connection is made or
// lost. It reconnects for as long as the page is open; a plain EventSource gives up when
// the server is down.
export function listen(on) {
  let source, timer;
  const connect = () => {
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
}

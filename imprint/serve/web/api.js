// What the page asks of the server, and what the server tells it.

// A Refusal is an answer of the server that says why not, in a sentence.
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
    throw new Refusal("The server does not answer.");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refusal([value.error ?? `The server answers ${answer.status}.`, value.hint].filter(Boolean).join("; "));
  return value;
}

// listen calls on[kind] with each event of the server, and on.connection with true or
// false. It connects again for as long as the page is open: the browser does so by
// itself only while the server answers.
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
      try { status = (await fetch("/v1/labels")).status; } catch { /* it does not answer */ }
      on.connection(false, status);
    };
    for (const kind of Object.keys(on)) {
      if (kind !== "connection") source.addEventListener(kind, (e) => on[kind](JSON.parse(e.data)));
    }
  };
  connect();
}

// The page /v1/docs: all requests of the server, from openapi.json.
const make = (tag, props = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};

const main = document.getElementById("requests");
let api;

// find returns what a reference stands for.
const find = (v) => (v.$ref ? find(v.$ref.slice(2).split("/").reduce((at, key) => at[key], api)) : v);

// shape describes a schema in one line; nested is its depth.
function shape(schema, nested = 0) {
  const s = find(schema);
  if (s.allOf) return s.allOf.map((part) => shape(part, nested)).join(" and ");
  if (s.enum) return s.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (s.type === "array") return `[${shape(s.items ?? {}, nested)}, …]`;
  if (s.type === "object" && s.properties) {
    if (nested === 2) return "{…}";
    return `{${Object.entries(s.properties).map(([name, v]) => `"${name}"${s.required?.includes(name) ? "" : "?"}: ${shape(v, nested + 1)}`).join(", ")}}`;
  }
  return s.format ?? s.type ?? "any";
}

const content = (of) => Object.entries(of ?? {}).map(([kind, { schema }]) => make("p", {}, make("strong", { textContent: kind }), " ", make("code", { textContent: schema ? shape(schema) : "" })));

function operation(method, path, o) {
  const lines = [];
  if (o.description) lines.push(make("p", { textContent: o.description }));
  for (const p of (o.parameters ?? []).map(find)) {
    lines.push(make("p", {}, make("strong", { textContent: p.name }), ` in the ${p.in}, `, make("code", { textContent: shape(p.schema) }), `. ${p.description ?? ""}`));
  }
  if (o.requestBody) lines.push(make("h3", { textContent: "Body" }), ...content(find(o.requestBody).content));
  for (const [status, r] of Object.entries(o.responses)) {
    const answer = find(r);
    lines.push(make("h3", { textContent: status === "default" ? "Errors" : `Status ${status}` }), make("p", { textContent: answer.description }), ...content(answer.content));
  }
  return make("details", { className: "card" }, make("summary", {}, make("code", { textContent: `${method.toUpperCase()} ${path}` }), ` ${o.summary}`), ...lines);
}

try {
  const answer = await fetch("/v1/openapi.json");
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  api = await answer.json();
  main.append(make("p", { textContent: api.info.description }));
  for (const { name } of api.tags) {
    main.append(make("h2", { textContent: name }));
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, o] of Object.entries(item)) if (o.tags?.includes(name)) main.append(operation(method, path, o));
    }
  }
} catch (e) {
  main.append(make("p", { textContent: `Can't read openapi.json: ${e.message}` }));
}

// The calls of the hub, from its own description, each to be tried.

import { call, HubError, remember, send } from "/pages/hub.js";
import { make } from "/pages/text.js";

const at = (id) => document.getElementById(id);

function fill(path, given) {
  return path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(given.get(`path ${name}`)));
}

async function attempt(form, method, path) {
  const given = new FormData(form);
  const query = new URLSearchParams();
  const headers = {};
  for (const [key, value] of given) {
    const [place, name] = key.split(" ");
    if (place === "query" && value) query.set(name, value);
    if (place === "header" && value) headers[name] = value;
  }
  const file = given.get("file");
  const text = given.get("text");
  const kind = given.get("kind");
  let body;
  if (kind === "multipart/form-data") {
    body = new FormData();
    if (file?.size) body.set(file.type.startsWith("image/") ? "image" : "file", file);
  } else if (kind) {
    body = file?.size ? file : text;
    headers["Content-Type"] = kind;
  }
  const address = fill(path, given) + (query.size ? `?${query}` : "");
  return send(method, address, method === "GET" ? undefined : body || undefined, headers);
}

async function show(output, answering) {
  output.hidden = false;
  output.textContent = "…";
  try {
    const response = await answering;
    const kind = response.headers.get("Content-Type") ?? "";
    const readable = /json|text|yaml|bibtex|xml/.test(kind) && !kind.includes("event-stream");
    let body = readable ? await response.text() : `${response.headers.get("Content-Length") ?? "some"} bytes of ${kind}`;
    if (!readable) await response.body?.cancel();
    if (kind.includes("json") && body) body = JSON.stringify(JSON.parse(body), null, 2);
    output.textContent = `${response.status} ${response.statusText}\n${body}`;
  } catch (error) {
    output.textContent = error.message;
  }
}

function field(parameter) {
  const name = `${parameter.in} ${parameter.name}`;
  const input = make("input", { name, required: parameter.required });
  return make("label", {}, parameter.in === "header" ? `header ${parameter.name}` : parameter.name, input);
}

function bodyFields(kinds) {
  const choice = make("select", { name: "kind" }, ...kinds.map((kind) => make("option", { value: kind }, kind)));
  return [
    make("label", {}, "body", choice),
    make("label", {}, "as text", make("textarea", { name: "text", spellcheck: "false" })),
    make("label", {}, "or a file", make("input", { name: "file", type: "file" })),
  ];
}

function operation(path, method, described) {
  const output = make("pre", { hidden: true, role: "status" });
  const kinds = method === "GET" ? [] : Object.keys(described.requestBody?.content ?? {});
  const form = make(
    "form",
    {},
    ...(described.parameters ?? []).map(field),
    ...(kinds.length ? bodyFields(kinds) : []),
    make("button", { type: "submit" }, "Try it"),
    output,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(output, attempt(form, method, path));
  });
  const head = make("summary", {}, make("b", {}, method), make("code", {}, path), make("span", {}, described.summary));
  return make("details", {}, head, form);
}

async function begin() {
  const described = await call("GET", "/openapi.json");
  const groups = new Map();
  for (const [path, operations] of Object.entries(described.paths)) {
    for (const [method, one] of Object.entries(operations)) {
      const group = groups.get(one.tags[0]) ?? [];
      groups.set(one.tags[0], [...group, operation(path, method.toUpperCase(), one)]);
    }
  }
  at("login").hidden = true;
  at("calls").replaceChildren(
    ...[...groups].map(([tag, calls]) => make("section", { class: "card" }, make("h2", {}, tag), ...calls)),
  );
}

async function tryToBegin() {
  at("notice").hidden = true;
  try {
    await begin();
  } catch (error) {
    const asks = error instanceof HubError && error.status === 401;
    at("login").hidden = !asks;
    at("notice").hidden = asks;
    at("notice").textContent = error.message;
  }
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  remember(at("token").value);
  tryToBegin();
});
tryToBegin();

// Calls on the hub, with the token of this tab.

const KEY = "mlhub-token";

export class HubError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function remember(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function refused(response) {
  let detail = `The hub answers ${response.status}.`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch {
    // Not from the hub itself, but from something in between.
  }
  return new HubError(response.status, detail);
}

export async function call(method, path, body) {
  const options = { method, headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }) };
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new HubError(0, "The hub cannot be reached.");
  }
  if (!response.ok) throw await refused(response);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

// Any call as it is, whatever it answers.
export async function send(method, path, body, more) {
  try {
    return await fetch(path, { method, headers: headers(more), body });
  } catch {
    throw new HubError(0, "The hub cannot be reached.");
  }
}

// Server-sent events by fetch: EventSource sends no token.
export async function follow(path, told, signal) {
  const response = await fetch(path, { headers: headers({ Accept: "text/event-stream" }), signal });
  if (!response.ok) throw await refused(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      let name = "message";
      const data = [];
      for (const line of block.split(/\r?\n/)) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) told(name, JSON.parse(data.join("\n")));
    }
  }
}

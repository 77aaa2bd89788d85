// The parts of the monitor page, each drawn from what the hub's calls say.

import { ago, bytes, count, counted, duration, make, rate, show, since } from "./text.js";

const LIVES = { true: ["good", "well"], false: ["bad", "not well"], null: ["unknown", "unknown"] };
const POOLS = {
  predict: "carry predictions to the servers",
  jobs: "asynchronous predictions, uploads",
  servers: "model servers",
};

function table(columns, rows) {
  const head = make("tr", {}, ...columns.map(([label, name]) => make("th", { scope: "col", class: name }, label)));
  const body = rows.map((cells) =>
    make(
      "tr",
      {},
      ...cells.map((cell, index) =>
        make("td", { class: columns[index][1], data: { label: columns[index][0] } }, cell),
      ),
    ),
  );
  return make("div", { class: "table" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

const nothing = (text) => make("p", { class: "empty" }, text);
const pill = (kind, text) => make("span", { class: "pill", data: { state: kind } }, text);

export function links(element, all) {
  show(element, all, () =>
    Object.entries(all).map(([name, address]) => make("a", { href: address, rel: "noreferrer" }, name)),
  );
}

export function tiles(element, state, point) {
  const waiting = state.queues?.filter((queue) => queue.backend).reduce((sum, queue) => sum + queue.ready, 0);
  const letters = state.queues?.find((queue) => !queue.backend)?.ready;
  const values = [
    ["Predictions", rate(point?.requests), "a second", ""],
    ["Answered within", duration(point?.slow), "95 of 100", ""],
    ["In flight", count(state.in_flight), "predictions", ""],
    ["Waiting", count(waiting), "messages", waiting > 500 ? "warn" : ""],
    ["Workers", count(state.workers?.length), "processes", state.workers?.length === 0 ? "bad" : ""],
    ["Failing", rate(point?.failures), "a second", point?.failures > 0 ? "bad" : ""],
    ["Dead letters", count(letters), "messages", letters > 0 ? "bad" : ""],
  ];
  show(element, values, () =>
    values.map(([name, value, unit, kind]) =>
      make("div", { data: { state: kind, tile: name } }, make("dt", {}, name), make("dd", {}, value, make("small", {}, unit))),
    ),
  );
}

export function backends(element, all, resize) {
  show(element, all.map((backend) => ({ ...backend, queues: null })), () =>
    all.map((backend) => {
      const [kind, word] = LIVES[backend.healthy];
      return make(
        "article",
        { class: "backend", data: { backend: backend.name } },
        make("div", { class: "head" }, make("h3", {}, backend.name), pill(kind, word)),
        make("p", { class: "facts" }, [backend.types.join(", "), backend.protocol, ...backend.addresses].filter(Boolean).join(" · ")),
        backend.detail ? make("p", { class: "bad" }, backend.detail) : null,
        make("div", { class: "pools" }, ...pools(backend, resize)),
      );
    }),
  );
}

function pools(backend, resize) {
  const known = { ...Object.fromEntries(Object.entries(backend.workers).map(([kind, actual]) => [kind, { actual }])), ...backend.pools };
  return Object.entries(known).map(([kind, pool]) => {
    const scalable = pool.desired !== undefined;
    const differs = scalable && pool.desired !== pool.actual;
    const note = pool.automatic ? `follows its load, ${pool.minimum} to ${pool.maximum}` : POOLS[kind];
    return make(
      "div",
      { class: "pool", data: { pool: kind } },
      make("div", { class: "name" }, kind, make("small", {}, note ?? "")),
      make(
        "div",
        { class: "size" },
        make("span", { data: { actual: pool.actual } }, String(pool.actual)),
        differs ? make("small", {}, ` of ${pool.desired}`) : null,
      ),
      scalable ? stepper(backend.name, kind, pool, resize) : make("span"),
    );
  });
}

function stepper(backend, kind, pool, resize) {
  const button = (sign, size, word) =>
    make(
      "button",
      {
        type: "button",
        "aria-label": `${word} of ${kind}, ${backend}`,
        data: { key: `${backend}-${kind}-${sign}` },
        disabled: size < pool.minimum || size > pool.maximum,
        on: { click: () => resize(backend, kind, size) },
      },
      sign,
    );
  return make(
    "div",
    { class: "stepper", role: "group", "aria-label": `Size of ${kind}, ${backend}` },
    button("−", pool.desired - 1, "One process less"),
    button("+", pool.desired + 1, "One process more"),
  );
}

export function queues(element, all, empty) {
  if (all === null) {
    show(element, null, () => [nothing("The message broker does not answer.")]);
    return;
  }
  const columns = [
    ["Queue", "name"],
    ["Waiting", "number"],
    ["Held", "number"],
    ["Workers", "number"],
    ["In, a second", "number"],
    ["Out, a second", "number"],
    ["Oldest", "number"],
    ["", "act"],
  ];
  const rows = all.map((queue) => [
    queue.name,
    count(queue.ready),
    count(queue.unacknowledged),
    count(queue.consumers),
    rate(queue.publish_rate),
    rate(queue.deliver_rate),
    queue.ready ? duration(queue.oldest_age) : "",
  ]);
  show(element, rows, () => [
    table(
      columns,
      rows.map((row, index) => {
        const queue = all[index];
        const lonely = queue.ready > 0 && queue.consumers === 0 && queue.backend;
        const cells = [...row];
        if (lonely) cells[3] = pill("bad", "nobody");
        const button = make(
          "button",
          {
            type: "button",
            class: "small danger",
            "aria-label": `Empty ${queue.name}`,
            data: { key: `empty-${queue.name}` },
            on: { click: () => empty(queue.name, queue.ready) },
          },
          "Empty",
        );
        return [...cells, queue.ready && queue.backend ? button : ""];
      }),
    ),
  ]);
}

export function workers(element, all) {
  if (all === null) {
    show(element, null, () => [nothing("Nothing is known of the workers while the broker is away.")]);
    return;
  }
  if (!all.length) {
    show(element, [], () => [nothing("No worker lives. Start one: mlhub worker --backend NAME --kind predict")]);
    return;
  }
  const columns = [
    ["Worker", "name"],
    ["Backend", ""],
    ["Pool", ""],
    ["Busy", ""],
    ["Done", "number"],
    ["Memory", "number"],
    ["Up", "number"],
    ["Heard", "number"],
  ];
  const rows = all.map((worker) => [
    worker.name,
    worker.backend,
    worker.kind,
    `${worker.active} of ${worker.concurrency}`,
    count(worker.processed),
    bytes(worker.memory),
    duration(since(worker.started_at)),
    ago(worker.last_heartbeat),
  ]);
  show(element, rows, () => [table(columns, rows)]);
}

export function deadLetters(element, actions, letters, messages, { look, retry, empty }) {
  const button = (key, label, name, click) =>
    make("button", { type: "button", class: name, data: { key }, on: { click } }, label);
  show(actions, letters, () => {
    if (!letters) return [];
    return [
      button("dead-look", "Look inside", "", look),
      button("dead-retry", "Retry all", "", () => retry(null)),
      button("dead-empty", "Empty", "danger", () => empty("mlhub.dead", letters)),
    ];
  });
  show(element, [letters, messages], () => {
    if (letters === null) return [nothing("The message broker does not answer.")];
    if (!letters) return [nothing("None: every message was worked off.")];
    if (messages === null) return [nothing(`${counted(letters, "message")} could not be worked off.`)];
    const columns = [
      ["Given up", ""],
      ["Task", "name"],
      ["From", "code"],
      ["Reason", ""],
      ["What failed", "wide"],
      ["", "act"],
    ];
    return [
      table(
        columns,
        messages.map((letter) => [
          letter.died_at ? ago(letter.died_at) : "",
          letter.task || "unreadable",
          letter.queue,
          letter.reason.replaceAll("_", " "),
          told(letter),
          letter.id && letter.queue
            ? make(
                "button",
                {
                  type: "button",
                  class: "small",
                  "aria-label": `Retry ${letter.task} ${letter.id}`,
                  data: { key: `retry-${letter.id}` },
                  on: { click: () => retry(letter.id) },
                },
                "Retry",
              )
            : "",
        ]),
      ),
    ];
  });
}

// What a dead letter was about, and the first of the reasons.
function told(letter) {
  const failed = letter.predictions.length;
  if (!failed) return letter.records.join(", ");
  const why = letter.predictions[0].error ?? "";
  return `${counted(failed, "prediction")}: ${why}`;
}

// Of those that are the same, the latest with their number.
function alike(all) {
  const found = new Map();
  for (const item of all) {
    const key = `${item.what}\n${item.kind}\n${item.why}`;
    const known = found.get(key);
    if (known) known.times += 1;
    else found.set(key, { ...item, times: 1 });
  }
  return [...found.values()];
}

export function failures(element, requests, predictions) {
  const all = [
    ...requests.map((item) => ({
      time: item.time,
      what: `${item.method} ${item.path}`,
      kind: `${item.status} ${item.code}`,
      why: item.detail,
    })),
    ...predictions.map((item) => ({
      time: Date.parse(item.time) / 1000,
      what: `prediction ${item.id}`,
      kind: `${item.model} ${item.version}`,
      why: item.error ?? "",
    })),
  ].sort((one, other) => other.time - one.time);
  const rows = alike(all).map((item) => [
    `${ago(item.time)}${item.times > 1 ? `, ${item.times} times` : ""}`,
    item.what,
    item.kind,
    item.why,
  ]);
  show(element, rows, () => {
    if (!rows.length) return [nothing("None: nothing failed lately.")];
    const columns = [
      ["When", "line"],
      ["What", "name"],
      ["Kind", "line"],
      ["Why", "wide"],
    ];
    return [table(columns, rows)];
  });
}

// The monitor page: follows the hub's events, and steers pools and queues by the hub's own calls.

import { Chart } from "./chart.js";
import { call, follow, remember } from "./hub.js";
import { backends, deadLetters, failures, links, queues, tiles, workers } from "./views.js";
import { counted, duration } from "./text.js";

const HOUR = 360;
const PAUSES = [500, 1000, 2000, 5000];
const DEAD = "mlhub.dead";

const find = (id) => document.getElementById(id);
const throughput = new Chart(
  find("throughput"),
  [{ key: "requests", label: "predictions", name: "first" }, { key: "failures", label: "failures of all kinds", name: "second" }],
  (value) => (value == null ? "–" : value >= 1000 ? `${(value / 1000).toFixed(1)} k` : value.toFixed(value && value < 10 ? 1 : 0)),
);
const latency = new Chart(
  find("latency"),
  [{ key: "slow", label: "95 of 100", name: "second" }, { key: "median", label: "half", name: "first" }],
  duration,
);

let points = [];
let state = null;
let dead = null;

function draw() {
  throughput.set(points);
  latency.set(points);
}

function render() {
  if (state === null) return;
  const wrong = state.parts.filter((part) => !part.healthy);
  const away = state.backends.filter((backend) => backend.healthy === false);
  const health = find("health");
  health.dataset.state = wrong.length ? "bad" : away.length ? "warn" : "good";
  const text = wrong.length
    ? `${wrong.map((part) => part.name).join(", ")} not well`
    : away.length
      ? `${away.map((backend) => backend.name).join(", ")} not well`
      : "all well";
  // Told once, not with every state.
  if (health.textContent !== text) health.textContent = text;
  const notice = find("notice");
  notice.hidden = wrong.length === 0;
  const told = wrong.map((part) => `${part.name}: ${part.detail}`).join(" ");
  if (notice.textContent !== told) notice.textContent = told;
  find("version").textContent = `MLHub ${state.version} · ${state.processes} API ${state.processes === 1 ? "process" : "processes"}`;
  links(find("links"), state.links);
  tiles(find("tiles"), state, points[points.length - 1]);
  backends(find("backends"), state.backends, resize);
  queues(find("queues"), state.queues, empty);
  workers(find("workers"), state.workers);
  failures(find("failures"), state.failures, state.failed);
  const letters = state.queues?.find((queue) => queue.name === DEAD)?.ready ?? null;
  if (!letters) dead = null;
  deadLetters(find("dead"), find("dead-actions"), letters, dead, { look, retry, empty });
}

// Only when asked: to look into the queue is to take its messages in hand for a moment.
async function look() {
  await attempt(
    async () => {
      dead = await call("GET", `/queues/${DEAD}/messages`);
    },
    () => "",
  );
  render();
}

async function retry(identity) {
  const path = identity === null ? "retry" : `messages/${encodeURIComponent(identity)}/retry`;
  await attempt(
    () => call("POST", `/queues/${DEAD}/${path}`),
    (done) => `${counted(done.messages, "message")} went back, with ${counted(done.predictions, "prediction")}.`,
  );
  if (dead !== null) await look();
}

let silence = 0;

function say(text) {
  find("said").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (find("said").textContent = ""), 4000);
}

async function attempt(work, done) {
  try {
    const text = done(await work());
    // What has nothing to say must not silence what was said just before.
    if (text) say(text);
  } catch (error) {
    if (error.status === 401) await login("The token is not the hub's.");
    else say(error.message);
  }
}

function resize(backend, kind, size) {
  return attempt(
    () => call("PUT", `/backends/${encodeURIComponent(backend)}/workers`, { [kind]: size }),
    () => `${backend}: ${kind} goes to ${size}.`,
  );
}

async function empty(queue, count) {
  const what = queue === DEAD ? "What was in it is gone for good." : "Predictions that wait there are canceled.";
  if (!(await confirmed(`Empty ${queue}?`, `${counted(count, "message waits", "messages wait")} in it. ${what}`, "Empty it"))) return;
  await attempt(
    () => call("DELETE", `/queues/${encodeURIComponent(queue)}/messages`),
    (done) => `${counted(done?.messages ?? count, "message was", "messages were")} taken from ${queue}.`,
  );
}

function confirmed(title, text, yes) {
  const dialog = find("confirm");
  find("confirm-title").textContent = title;
  find("confirm-text").textContent = text;
  find("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

function login(problem = "") {
  const dialog = find("login");
  if (dialog.open) return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  find("login-error").textContent = problem;
  find("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        if (find("token").value) remember(find("token").value);
        resolve();
      },
      { once: true },
    );
  });
}

function told(name, content) {
  if (name === "history") {
    points = content;
    draw();
  } else if (name === "point") {
    points = [...points, content].slice(-HOUR);
    draw();
  } else if (name === "state") {
    state = content;
  }
  render();
}

async function run() {
  let tries = 0;
  let asked = false;
  for (;;) {
    try {
      await follow("/monitor/events", (name, content) => {
        tries = 0;
        asked = true;
        told(name, content);
      });
    } catch (error) {
      if (error.status === 401) {
        const known = asked || sessionStorage.getItem("mlhub-token");
        remember(null);
        await login(known ? "The token is not the hub's." : "");
        asked = true;
        continue;
      }
    }
    const health = find("health");
    health.dataset.state = "bad";
    health.textContent = "the hub does not answer";
    await new Promise((resolve) => setTimeout(resolve, PAUSES[Math.min(tries, PAUSES.length - 1)]));
    tries += 1;
  }
}

draw();
run();

// Numbers and times as people write them, and elements made of them.

export function make(tag, options = {}, ...children) {
  const { class: name, data = {}, on = {}, ...attributes } = options;
  const element = document.createElement(tag);
  if (name) element.className = name;
  Object.assign(element.dataset, data);
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export function count(value) {
  if (value == null) return "–";
  if (value >= 100000) return `${(value / 1000).toFixed(0)} k`;
  return Math.round(value).toLocaleString("en");
}

export function counted(value, one, several = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : several}`;
}

export function rate(value) {
  if (value == null) return "–";
  if (value === 0) return "0";
  if (value < 10) return value.toFixed(1);
  return count(value);
}

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds === 0) return "0";
  if (seconds < 0.0995) return `${(seconds * 1000).toFixed(seconds < 0.00995 ? 1 : 0)} ms`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function ago(time) {
  const seconds = Math.floor(since(time));
  return `${seconds < 60 ? `${seconds} s` : duration(seconds)} ago`;
}

export function bytes(value) {
  if (value == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(unit && value < 100 ? 1 : 0)} ${units[unit]}`;
}

export function since(time) {
  if (time == null) return null;
  const at = typeof time === "number" ? time * 1000 : Date.parse(time);
  return Math.max(0, (Date.now() - at) / 1000);
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

// Replaces what an element holds only when it changed: what is read, selected or focused stays.
const shown = new WeakMap();

export function show(element, key, build) {
  const text = JSON.stringify(key);
  if (shown.get(element) === text) return;
  shown.set(element, text);
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  element.replaceChildren(...build());
  if (focused) element.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

// A chart of the last hour: lines over time in SVG, with the values under the pointer or the arrow keys.

import { clock, make } from "./text.js";

const WIDTH = 640;
const HEIGHT = 200;
const LEFT = 64;
const BOTTOM = 24;
const TOP = 10;
const RIGHT = 8;
const HOUR = 3600;
const GAP = 25;

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// The next round number, so that the lines of the grid have readable values.
function ceiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value * 1.001) ?? 10 * power;
}

export class Chart {
  // lines: [{ key, label, name }], the first one filled; format: writes a value.
  constructor(figure, lines, format) {
    this.figure = figure;
    this.lines = lines;
    this.format = format;
    this.points = [];
    this.at = null;
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0" });
    this.caption = make("figcaption");
    figure.replaceChildren(this.svg, this.caption);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.select(null));
    this.svg.addEventListener("blur", () => this.select(null));
    this.svg.addEventListener("keydown", (event) => this.key(event));
  }

  set(points) {
    this.points = points;
    this.draw();
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH;
    let best = null;
    this.points.forEach((point, index) => {
      const distance = Math.abs(this.x(point.time) - x);
      if (best === null || distance < best.distance) best = { index, distance };
    });
    this.select(best?.index ?? null);
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const step = steps[event.key];
    if (!step || !this.points.length) return;
    event.preventDefault();
    const from = this.at ?? (step < 0 ? this.points.length : -1);
    this.select(Math.min(this.points.length - 1, Math.max(0, from + step)));
  }

  select(index) {
    if (index === this.at) return;
    this.at = index;
    this.draw();
  }

  x(time) {
    const end = this.points.length ? this.points[this.points.length - 1].time : 0;
    return LEFT + (1 - (end - time) / HOUR) * (WIDTH - LEFT - RIGHT);
  }

  draw() {
    const values = this.points.flatMap((point) => this.lines.map((line) => point[line.key] ?? 0));
    const top = ceiling(Math.max(0, ...values));
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    const parts = [];
    for (const part of [0, 0.5, 1]) {
      const level = y(top * part);
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: level, y2: level }));
      const label = svg("text", { class: "axis", x: LEFT - 8, y: level + 4, "text-anchor": "end" });
      label.textContent = this.format(top * part);
      parts.push(label);
    }
    if (this.points.length) parts.push(...this.times());
    for (const line of [...this.lines].reverse()) parts.push(...this.line(line, y));
    const selected = this.at === null ? null : this.points[this.at];
    if (selected) {
      const x = this.x(selected.time);
      parts.push(svg("line", { class: "cursor", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
      for (const line of this.lines) {
        if (selected[line.key] != null) {
          parts.push(svg("circle", { class: `dot ${line.name}`, cx: x, cy: y(selected[line.key]), r: 3.5 }));
        }
      }
    }
    this.svg.replaceChildren(...parts);
    this.describe(selected);
  }

  times() {
    const end = this.points[this.points.length - 1].time;
    return [0, 15, 30, 45, 60].map((minutes) => {
      const time = end - (60 - minutes) * 60;
      const anchor = minutes === 0 ? "start" : minutes === 60 ? "end" : "middle";
      const label = svg("text", { class: "axis", x: this.x(time), y: HEIGHT - 6, "text-anchor": anchor });
      label.textContent = clock(time);
      return label;
    });
  }

  line(line, y) {
    const runs = [];
    let before = null;
    for (const point of this.points) {
      const value = point[line.key];
      if (value == null) {
        before = null;
        continue;
      }
      if (before === null || point.time - before > GAP) runs.push([]);
      runs[runs.length - 1].push([this.x(point.time), y(value)]);
      before = point.time;
    }
    const floor = HEIGHT - BOTTOM;
    return runs.flatMap((run) => {
      const path = run.map(([x, level], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${level.toFixed(1)}`).join("");
      const first = run[0][0].toFixed(1);
      const last = run[run.length - 1][0].toFixed(1);
      const drawn = [];
      if (line === this.lines[0]) {
        drawn.push(svg("path", { class: `area ${line.name}`, d: `${path}L${last} ${floor}L${first} ${floor}Z` }));
      }
      const dot = run.length === 1 ? svg("circle", { class: `dot ${line.name}`, cx: first, cy: run[0][1], r: 2 }) : null;
      drawn.push(dot ?? svg("path", { class: `line ${line.name}`, d: path }));
      return drawn;
    });
  }

  describe(selected) {
    const newest = this.points[this.points.length - 1];
    const told = selected ?? newest;
    const values = this.lines.map((line) => `${line.label} ${told ? this.format(told[line.key]) : "–"}`);
    this.svg.setAttribute(
      "aria-label",
      told ? `${values.join(", ")} at ${clock(told.time)}. Arrow keys go through the last hour.` : "No points yet.",
    );
    this.caption.replaceChildren(
      ...this.lines.map((line) =>
        make(
          "span",
          { class: `key ${line.name}` },
          `${line.label} `,
          make("b", {}, told ? this.format(told[line.key]) : "–"),
        ),
      ),
      make("span", { class: "quiet" }, told ? (selected ? `at ${clock(told.time)}` : "now") : "the first point comes soon"),
    );
  }
}

// Instances and requests over time, as steps. Kinds differ in their pattern, not only in their color.

import { el, fill, mark, svg, write } from "./dom.js";
import { latest, spans } from "./history.js";
import { clock, plural } from "./words.js";

const LANE = 84;
const GAP = 26;
const LEFT = 30;
const FOOT = 20;
const NARROW = 480;
const SPAN = 2; // Pixels of a span of time.
const RANGES = [["2 min", 120], ["10 min", 600], ["30 min", 1800]];

let patterns = 0;

/** A path of steps, closed down to `floor`'s values. */
function area(values, floor, x, y) {
  const tops = [...values].map((value, index) => `${x(index)},${y(value)} ${x(index + 1)},${y(value)}`);
  const bottoms = [...floor].map((value, index) => `${x(index + 1)},${y(value)} ${x(index)},${y(value)}`).reverse();
  return `M${tops.join(" L")} L${bottoms.join(" L")} Z`;
}

/** The line of the upper kind, where there is any of it; in one go as far as it reaches, for its dashes. */
function above(upper, both, x, y) {
  const step = (index) => `${index && upper[index - 1] ? "L" : "M"}${x(index)},${y(both[index])} H${x(index + 1)}`;
  return [...upper].map((value, index) => (value ? step(index) : "")).join(" ");
}

const line = (values, x, y) => `M${[...values].map((value, index) => `${x(index)},${y(value)} L${x(index + 1)},${y(value)}`).join(" L")}`;

const sum = (one, other) => one.map((value, index) => value + other[index]);

/** A small picture of the last ten minutes of instances, for a row. */
export function sparkline() {
  const ready = svg("path", { class: "c-ready" });
  const element = svg("svg", { class: "spark", viewBox: "0 0 120 22", width: 120, height: 22, "aria-hidden": "true" }, svg("path", { class: "c-axis", d: "M0 21.5H120" }), ready);
  const update = (revisions, now) => {
    const [values] = spans(revisions, ["ready", "starting"], { now, seconds: 600, count: 60 });
    const most = Math.max(1, ...values);
    mark(ready, "d", area(values, values.map(() => 0), (index) => index * 2, (value) => round(21 - (18 * value) / most)));
  };
  return { element, update };
}

const round = (number) => Math.round(number * 10) / 10;

/** The chart of a function: `update(revisions, now)` draws it. */
export function timeline() {
  const hatch = `hatch-${(patterns += 1)}`;
  const picture = svg("svg", { class: "chart", role: "img", tabindex: 0 });
  const readout = el("p", { class: "readout soft", role: "status" });
  const state = { seconds: 600, at: null, revisions: [], now: 0, columns: null };
  const draw = () => drawAll(picture, readout, hatch, state);
  const element = el("div", { class: "timeline" }, el("div", { class: "bar" }, legend(), ranges(state, draw)), picture, readout);
  watchPointer(picture, state, draw);
  new ResizeObserver(draw).observe(picture);
  return { element, update: (revisions, now) => (Object.assign(state, { revisions, now }), draw()) };
}

function legend() {
  const kinds = [["ready", "ready"], ["starting", "starting"], ["inflight", "in flight"], ["waiting", "waiting"]];
  return el("ul", { class: "legend" }, ...kinds.map(([kind, word]) => el("li", {}, el("span", { class: `key k-${kind}`, "aria-hidden": "true" }), word)));
}

function ranges(state, draw) {
  const choice = ([word, seconds]) => el("label", {}, el("input", { type: "radio", name: "range", value: String(seconds), checked: seconds === state.seconds,
    on: { change: () => ((state.seconds = seconds), draw()) } }), el("span", { text: word }));
  return el("fieldset", { class: "modes" }, el("legend", { class: "offscreen", text: "Time shown" }), ...RANGES.map(choice));
}

function drawAll(picture, readout, hatch, state) {
  const width = Math.floor(picture.clientWidth);
  if (!width || !state.now) return;
  const count = Math.max(10, Math.floor((width - LEFT) / SPAN));
  const read = (...names) => spans(state.revisions, names, { now: state.now, seconds: state.seconds, count });
  const [[ready, starting], [inFlight, waiting]] = [read("ready", "starting"), read("inFlight", "waiting")];
  state.columns = { ready, starting, inFlight, waiting };
  const height = 2 * LANE + GAP + FOOT;
  mark(picture, "viewBox", `0 0 ${width} ${height}`);
  fill(picture, pattern(hatch), ...lane("Instances", 0, state.columns.ready, state.columns.starting, { width, hatch, kinds: ["ready", "starting"] }),
    ...lane("Requests", LANE + GAP, state.columns.inFlight, state.columns.waiting, { width, hatch, kinds: ["inflight", "waiting"] }), ...times(state, width, height), cross(state, height));
  mark(picture, "aria-label", spoken(state));
  write(readout, told(state));
}

const pattern = (id) => svg("defs", {}, svg("pattern", { id, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("path", { class: "c-hatch", d: "M0 0V5" })));

function lane(title, top, lower, upper, { width, hatch, kinds }) {
  const both = sum(lower, upper);
  const most = nice(Math.max(1, ...both));
  const x = (index) => round(LEFT + (index * (width - LEFT)) / lower.length);
  const y = (value) => round(top + LANE - ((LANE - 16) * value) / most);
  const nothing = lower.map(() => 0);
  const isRequests = kinds[0] === "inflight";
  return [
    svg("text", { class: "c-title", x: LEFT + 4, y: top + 11, text: title }),
    svg("path", { class: "c-grid", d: `M${LEFT} ${y(most)}H${width}` }), svg("path", { class: "c-axis", d: `M${LEFT} ${y(0)}H${width}` }),
    svg("text", { class: "c-label", x: LEFT - 6, y: y(most) + 4, text: String(most) }), svg("text", { class: "c-label", x: LEFT - 6, y: y(0) + 1, text: "0" }),
    svg("path", { class: `c-${kinds[0]}`, d: area(lower, nothing, x, y) }), isRequests ? svg("path", { class: "c-line", d: line(lower, x, y) }) : null,
    svg("path", { class: `c-${kinds[1]}`, d: area(both, lower, x, y), fill: `url(#${hatch})` }),
    isRequests && upper.some(Boolean) ? svg("path", { class: "c-line c-dashed", d: above(upper, both, x, y) }) : null,
  ].filter(Boolean);
}

/** A round number at or above it: 1, 2, 3, 4, 5, 6, 8, 10, 20 … */
function nice(most) {
  const unit = 10 ** Math.floor(Math.log10(most));
  return unit * [1, 2, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= most);
}

function times({ seconds, now }, width, height) {
  const steps = { 120: 30, 600: 120, 1800: 300 }[seconds] * (width < NARROW ? 2 : 1);
  const marks = Array.from({ length: Math.floor(seconds / steps) + 1 }, (_, index) => index * steps);
  return marks.map((ago) => {
    const x = round(width - ((width - LEFT) * ago) / seconds);
    const anchor = ago === 0 ? "end" : ago === seconds ? "start" : "middle";
    const words = ago === 0 ? "now" : ago < 60 || ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
    return svg("text", { class: "c-time", x, y: height - 4, "text-anchor": anchor, text: words });
  });
}

function cross({ at, columns }, height) {
  if (at === null) return svg("path", {});
  const x = LEFT + (at + 0.5) * SPAN;
  return svg("path", { class: "c-cross", d: `M${x} 0V${height - FOOT}`, "data-columns": columns.ready.length });
}

/** Pointer and arrow keys choose a moment, whose numbers are written below. */
function watchPointer(picture, state, draw) {
  const choose = (at) => {
    const last = (state.columns?.ready.length ?? 1) - 1;
    state.at = at === null ? null : Math.min(last, Math.max(0, at));
    draw();
  };
  picture.addEventListener("pointermove", (event) => choose(Math.floor((event.clientX - picture.getBoundingClientRect().left - LEFT) / SPAN)));
  picture.addEventListener("pointerleave", () => choose(null));
  picture.addEventListener("blur", () => choose(null));
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -5, ArrowRight: 5 }[event.key];
    if (!step) return;
    event.preventDefault();
    choose((state.at ?? state.columns.ready.length) + step);
  });
}

function told({ at, columns, revisions, seconds, now }) {
  const count = columns.ready.length;
  const moment = at === null ? latest(revisions) : Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[at]]));
  const time = at === null ? "now" : clock(now - (seconds * (count - at - 1)) / count);
  const { ready, starting, inFlight, waiting } = moment;
  return `${time}: ${[`${plural(ready, "instance")} ready`, starting ? `${starting} starting` : null, `${inFlight} in flight`, waiting ? `${waiting} waiting` : null].filter(Boolean).join(", ")}`;
}

function spoken({ columns, revisions, seconds }) {
  return `Instances over the last ${seconds / 60} minutes: ${latest(revisions).ready} now, ${Math.max(...columns.ready)} at most. Arrow keys read out other times.`;
}

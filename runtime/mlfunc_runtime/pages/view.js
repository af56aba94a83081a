// Shows what came back: JSON that folds, images, sound, text, and where the time went.

import { bytes, el, fill, milliseconds } from "./dom.js";

const INLINE = 68; // A container that fits in so many characters stays on one line.
const SHOWN = 40; // So many members are shown before the rest is asked for.
const SCALARS = 12; // The same for plain values in a list, such as a vector.
const TEXT = 4000;

/** Parses JSON without rounding integers that JavaScript's numbers cannot hold. */
export function parseExactly(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context.source) : value);
}

export function jsonView(value) {
  return el("div", { class: "json code" }, node(value));
}

function node(value, key, comma = "") {
  const label = key === undefined ? [] : [el("span", { class: "j-key", text: JSON.stringify(key) }), ": "];
  if (value === null || typeof value !== "object") return el("div", { class: "j-row" }, ...label, scalar(value), comma);
  if (Array.isArray(value) && value.every(isPlain)) return el("div", { class: "j-row" }, ...label, vector(value), comma);
  const line = inline(value);
  if (line !== null) return el("div", { class: "j-row" }, ...label, ...line, comma);
  return branch(value, label, comma);
}

const isPlain = (value) => value === null || typeof value !== "object";

function scalar(value) {
  if (typeof value === "string") return text(value);
  return el("span", { class: value === null ? "j-null" : `j-${typeof value}`, text: String(value) });
}

function text(value) {
  const media = /^data:(image|audio)\//.exec(value);
  if (media) return el("span", {}, el("span", { class: "j-string", text: `"${value.slice(0, 40)}…"` }), media[1] === "image" ? el("img", { src: value, alt: "" }) : el("audio", { src: value, controls: true }));
  const quoted = JSON.stringify(value);
  if (quoted.length <= TEXT) return el("span", { class: "j-string", text: quoted });
  const span = el("span", { class: "j-string", text: quoted.slice(0, TEXT) });
  return el("span", {}, span, more(`${value.length - TEXT} more characters`, (button) => {
    span.textContent = quoted;
    button.remove();
  }));
}

function vector(values) {
  const short = values.length <= SCALARS || JSON.stringify(values.map(String)).length <= INLINE;
  const shown = short ? values : values.slice(0, SCALARS);
  const span = el("span", { class: "j-vector" }, "[", separated(shown));
  if (!short) span.append(", ", more(`${values.length - SCALARS} more`, (button) => button.replaceWith(separated(values.slice(SCALARS)))));
  span.append("]");
  return span;
}

function separated(values) {
  const parts = document.createDocumentFragment();
  values.forEach((value, index) => parts.append(index ? ", " : "", scalar(value)));
  return parts;
}

/** The parts of a small container on one line, or null when it is not small. */
function inline(value) {
  if (Object.keys(value).length === 0) return [Array.isArray(value) ? "[]" : "{}"];
  if (Array.isArray(value) || !Object.values(value).every(isPlain)) return null;
  const entries = Object.entries(value);
  const length = entries.reduce((sum, [key, one]) => sum + key.length + String(one).length + 6, 0);
  if (length > INLINE) return null;
  const parts = entries.flatMap(([key, one], index) => [
    index ? ", " : "", el("span", { class: "j-key", text: JSON.stringify(key) }), ": ", scalar(one)]);
  return ["{", ...parts, "}"];
}

function branch(value, label, comma) {
  const list = Array.isArray(value);
  const entries = list ? value.map((one) => [undefined, one]) : Object.entries(value);
  const [open, close] = list ? "[]" : "{}";
  const children = el("div", { class: "j-children" });
  const rows = (part, start) => part.map(([key, one], index) => node(one, key, start + index < entries.length - 1 ? "," : ""));
  children.append(...rows(entries.slice(0, SHOWN), 0));
  if (entries.length > SHOWN) children.append(more(`${entries.length - SHOWN} more`, (button) => button.replaceWith(...rows(entries.slice(SHOWN), SHOWN))));
  const count = `${entries.length} ${list ? "items" : "members"}`;
  const summary = el("summary", {}, ...label, open, el("span", { class: "j-folded", text: ` ${count} ${close}${comma}` }));
  return el("details", { class: "j-branch", open: true }, summary, children, el("div", { class: "j-row j-close", text: close + comma }));
}

function more(label, show) {
  const button = el("button", { type: "button", class: "j-more", text: `… ${label}` });
  button.addEventListener("click", () => show(button));
  return button;
}

const SIGNATURES = [
  ["image/png", [0x89, 0x50, 0x4e, 0x47]], ["image/jpeg", [0xff, 0xd8, 0xff]], ["image/gif", [0x47, 0x49, 0x46, 0x38]],
  ["audio/ogg", [0x4f, 0x67, 0x67, 0x53]], ["audio/mpeg", [0x49, 0x44, 0x33]], ["audio/flac", [0x66, 0x4c, 0x61, 0x43]],
];

/** The media type that the first bytes tell, for content that only says it is bytes. */
async function sniff(blob) {
  const head = new Uint8Array(await blob.slice(0, 12).arrayBuffer());
  const name = (start) => String.fromCharCode(...head.subarray(start, start + 4));
  if (name(0) === "RIFF" && name(8) === "WAVE") return "audio/wav";
  if (name(0) === "RIFF" && name(8) === "WEBP") return "image/webp";
  return SIGNATURES.find(([, bytesOf]) => bytesOf.every((byte, index) => head[index] === byte))?.[0] ?? blob.type;
}

/** A picture or a player for the blob, if it is one; the element fills itself in. */
export function preview(blob) {
  const element = el("div", { class: "preview", hidden: true });
  const known = /^(image|audio)\//.test(blob.type) ? Promise.resolve(blob.type) : sniff(blob);
  known.then((type) => {
    const media = /^(image|audio|video)\//.exec(type)?.[1];
    if (!media) return;
    const src = URL.createObjectURL(blob.type === type ? blob : new Blob([blob], { type }));
    fill(element, media === "image" ? el("img", { src, alt: "Preview" }) : el(media, { src, controls: true }));
    element.hidden = false;
  });
  return element;
}

export function bytesView(blob, name) {
  const href = URL.createObjectURL(blob);
  return el("div", { class: "bytes" }, preview(blob),
    el("p", { class: "soft" }, `${blob.type || "bytes"}, ${bytes(blob.size)} `, el("a", { href, download: name, text: "Save" })));
}

const STAGES = ["queue", "before", "predict", "after"];

/** `queue;dur=0.1, predict;dur=8` as pairs of name and milliseconds. */
export function parseTiming(header) {
  return (header ?? "").split(",").map((part) => /^\s*([\w-]+).*?;\s*dur=([\d.]+)/.exec(part)).filter(Boolean)
    .map(([, name, duration]) => [name, Number(duration)]);
}

export function timingView(timing) {
  const total = timing.reduce((sum, [, duration]) => sum + duration, 0);
  // A request that was refused went through no stage.
  if (total === 0) return null;
  const kind = (name) => `t-${STAGES.includes(name) ? name : "other"}`;
  const bar = el("div", { class: "timing-bar", "aria-hidden": "true" }, ...timing.filter(([, duration]) => duration > 0).map(([name, duration]) => {
    const part = el("span", { class: kind(name), title: `${name} ${milliseconds(duration)}` });
    part.style.flexGrow = String(duration / total);
    return part;
  }));
  const legend = el("dl", { class: "timing-legend" }, ...timing.map(([name, duration]) =>
    el("div", {}, el("dt", { class: kind(name), text: name }), el("dd", { text: milliseconds(duration) }))));
  return el("div", { class: "timing" }, bar, legend);
}

/** The phases of a start, one under the other, each where it began. */
export function waterfall(startup) {
  const phases = Object.entries(startup ?? {}).filter(([name, seconds]) => name !== "total" && typeof seconds === "number");
  if (!phases.length) return null;
  const sum = phases.reduce((total, [, seconds]) => total + seconds, 0);
  const total = startup.total ?? sum;
  let begun = 0;
  const rows = phases.flatMap(([name, seconds]) => {
    const bar = el("span", { class: "fall-bar" });
    bar.style.marginInlineStart = `${sum ? (100 * begun) / sum : 0}%`;
    bar.style.width = `${sum ? (100 * seconds) / sum : 0}%`;
    begun += seconds;
    return [el("dt", { text: name }), el("dd", {}, el("span", { class: "fall-track" }, bar), el("span", { class: "fall-time", text: milliseconds(seconds * 1000) }))];
  });
  return el("div", { class: "fall" },
    el("h2", {}, "Startup ", el("span", { class: "soft", text: milliseconds(total * 1000) })), el("dl", {}, ...rows));
}

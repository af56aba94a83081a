// Live logs of a function or one of its revisions: followed, paused, filtered; the oldest lines go.

import { el, fill, find, keyed, mark, write } from "./dom.js";
import { Stream } from "./feed.js";

const KEPT = 1500;
const APART = new Set(["time", "level", "logger", "message", "traceback", "phase", "pid", "output"]);

export function logs() {
  const parts = { of: find("#logs-of"), filter: find("#logs-filter"), pause: find("#logs-pause"), clear: find("#logs-clear"), list: find("#logs"), note: find("#logs-note") };
  const state = { stream: null, shown: "", chosen: "", held: [], paused: false };
  parts.of.addEventListener("change", () => follow(parts, state, parts.of.value));
  parts.filter.addEventListener("input", () => filter(parts));
  parts.pause.addEventListener("click", () => pause(parts, state));
  parts.clear.addEventListener("click", () => (fill(parts.list), tell(parts, state)));
  return { offer: (functions, chosen) => offer(parts, state, functions, chosen) };
}

/** What can be followed: of the function that is looked at, all or one revision. */
function offer(parts, state, functions, chosen) {
  const options = chosen ? [{ value: query(chosen), text: `${chosen.name}, all revisions` }, ...chosen.revisions.map(({ name }) => ({ value: query(chosen, name), text: name }))] : [];
  keyed(parts.of, options, ({ value }) => value, ({ value, text }) => ({ element: el("option", { value, text }), update: () => {} }));
  parts.of.hidden = !chosen;
  const key = chosen ? query(chosen) : "";
  if (key === state.chosen) return;
  state.chosen = key;
  follow(parts, state, key);
}

const query = ({ namespace, name }, revision) => new URLSearchParams({ namespace, function: name, ...(revision ? { revision } : {}) }).toString();

function follow(parts, state, what) {
  state.stream?.close();
  Object.assign(state, { held: [], shown: what });
  fill(parts.list);
  parts.of.value = what;
  const url = `/-/dashboard/logs?${what}`;
  // Each connection begins with the last lines again.
  state.stream = what ? new Stream(url, { message: (lines) => take(parts, state, lines) }, (word) => word === "open" && fill(parts.list)) : null;
  tell(parts, state);
}

function take(parts, state, lines) {
  if (state.paused) state.held = [...state.held, ...lines].slice(-KEPT);
  else show(parts, lines);
  tell(parts, state);
}

function show({ list, filter: input }, lines) {
  const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const wanted = input.value.toLowerCase();
  list.append(...lines.map((line) => row(line, wanted)));
  while (list.childElementCount > KEPT) list.firstChild.remove();
  if (follows) list.scrollTop = list.scrollHeight;
}

function pause(parts, state) {
  state.paused = !state.paused;
  mark(parts.pause, "aria-pressed", state.paused);
  write(parts.pause, state.paused ? "Go on" : "Pause");
  if (!state.paused) show(parts, state.held.splice(0));
  tell(parts, state);
}

function filter({ list, filter: input }) {
  const wanted = input.value.toLowerCase();
  for (const each of list.children) each.hidden = !each.textContent.toLowerCase().includes(wanted);
}

function tell({ list, note }, { paused, held, shown }) {
  const words = paused ? `Paused: ${held.length} new lines${held.length === KEPT ? " or more" : ""} wait.` : shown && !list.childElementCount ? "No instance has said anything yet: lines appear here when one starts." : "";
  write(note, words);
  note.hidden = !words;
}

/** The runtime's JSON lines are laid out; whatever else is printed goes through as it is. */
function row({ instance, time, text }, wanted) {
  const told = parsed(text);
  const level = String(told?.level ?? "").toLowerCase();
  const element = el("div", { class: `line ${["warning", "error", "critical", "debug"].includes(level) ? level : ""}` },
    el("span", { class: "soft", text: time.slice(11, 23), title: time }), el("span", { class: "soft who", text: instance.slice(-5), title: instance }),
    ...(told ? [el("span", { class: "level", text: level }), el("span", {}, told.message, el("span", { class: "soft", text: extras(told) }), told.traceback ? el("pre", { text: told.traceback.trimEnd() }) : null)] : [el("span", { class: "level" }), el("span", { text })]));
  element.hidden = !element.textContent.toLowerCase().includes(wanted);
  return element;
}

function parsed(text) {
  if (!text.startsWith("{")) return null;
  try {
    const found = JSON.parse(text);
    return typeof found.message === "string" ? { ...found, traceback: typeof found.traceback === "string" ? found.traceback : "" } : null;
  } catch {
    return null; // It was printed, and only looks like one of ours.
  }
}

const extras = (told) => Object.entries(told).filter(([name, value]) => !APART.has(name) && value !== null && value !== "").map(([name, value]) => `  ${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join("");

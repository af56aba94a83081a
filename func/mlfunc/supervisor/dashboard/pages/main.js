// The dashboard: one stream of what there is, and the parts of the page that show it.

import { detail } from "./detail.js";
import { el, find, keyed, write } from "./dom.js";
import { showEvents } from "./events.js";
import { Stream } from "./feed.js";
import { add, begin } from "./history.js";
import { logs } from "./logs.js";
import { functionTable } from "./table.js";
import { plural, rate } from "./words.js";

const page = { at: 0, platform: null, functions: [], live: {}, events: [] };
const table = functionTable();
const one = detail();
const log = logs();
let drawn = null;

start();

function start() {
  find("#functions").append(table.element);
  find("#detail").append(one.element);
  find("#only-failed").addEventListener("change", showPassages);
  addEventListener("hashchange", show);
  new Stream("/-/dashboard/feed", { history: begin, message: take }, showState);
}

/** A message has those sections that have changed. However fast they come, the page is drawn once a frame. */
function take(message) {
  Object.assign(page, message);
  add(page.at, page.live);
  drawn ??= requestAnimationFrame(() => {
    drawn = null;
    show();
    showPassages();
  });
}

function showState(state) {
  const element = find("#state");
  write(element, state === "open" ? "Live" : "Unreachable, trying again");
  element.className = `state ${state === "open" ? "good" : "bad"}`;
}

function show() {
  const chosen = selected();
  table.update(page, chosen);
  one.update(page, chosen);
  log.offer(page.functions, chosen);
  showFacts();
}

/** The function of the address, `#/NAMESPACE/NAME`, else the first. */
function selected() {
  const [, namespace, name] = decodeURIComponent(location.hash).split("/");
  return page.functions.find((each) => each.namespace === namespace && each.name === name) ?? page.functions[0] ?? null;
}

function showFacts() {
  const all = Object.values(page.live);
  const total = (name) => all.reduce((sum, each) => sum + each[name], 0);
  const words = [page.platform?.url, plural(page.functions.length, "function"), plural(total("ready"), "instance"), total("starting") ? `${total("starting")} starting` : null,
    `${total("in_flight")} in flight`, `${total("waiting")} waiting`, `${rate(total("rate"))} requests/s`, page.platform && `mlfunc ${page.platform.version}`];
  keyed(find("#facts"), words.filter(Boolean).map((text, index) => ({ text, index })), ({ index }) => index, () => {
    const element = el("span");
    return { element, update: ({ text }) => write(element, text) };
  });
}

function showPassages() {
  showEvents(find("#events"), page.events, { onlyFailed: find("#only-failed").checked });
}

// One function: over time, in numbers, its revisions and instances, starts and crashes, and the commands for it.

import { timeline } from "./chart.js";
import { copyButton, el, find, keyed, mark, write } from "./dom.js";
import { keysOf, liveOf, together } from "./sums.js";
import { age, bytes, clock, duration, percent, phaseClass, plural, rate, stateOf } from "./words.js";

export function detail() {
  const element = el("div");
  let shown = null;
  let parts = null;
  const update = (page, one) => {
    const key = one && `${one.namespace}/${one.name}`;
    find("#detail").hidden = !one;
    if (key !== shown) {
      shown = key;
      parts = one && make(one);
      element.replaceChildren(...(parts ? parts.map((part) => part.element) : []));
      if (one) find("#detail").setAttribute("aria-label", `Function ${one.name}`);
    }
    parts?.forEach((part) => part.update(page, one));
  };
  return { element, update };
}

const make = (one) => [head(one), overTime(), numbers(), revisions(), instances(), starts(), crashes(), events(), commands(one)];

function head(one) {
  const state = el("span", { class: "state" });
  const link = el("a", { class: "address", rel: "noopener" });
  const trouble = el("p", { class: "trouble" });
  const facts = el("p", { class: "facts" }, el("span"), el("span"), el("span"));
  const element = el("div", {}, el("div", { class: "title" }, el("h2", { class: "big", text: one.name }), state, link), facts, trouble);
  return { element, update: (page, now) => {
    const { word, kind } = stateOf(now, together(page, now));
    write(state, word);
    mark(state, "class", `state ${kind}`);
    // An address that is none of ours is text.
    mark(link, "href", /^https?:\/\//.test(now.url) ? now.url : null);
    write(link, now.url);
    write(facts.children[0], now.namespace);
    write(facts.children[1], now.accelerator);
    write(facts.children[2], now.concurrency ? `${plural(now.concurrency, "request")} at once in an instance` : "as many requests in an instance as come");
    write(trouble, now.ready === "True" ? "" : now.message);
  } };
}

function overTime() {
  const chart = timeline();
  return { element: el("div", { class: "panel" }, chart.element), update: (page, one) => chart.update(keysOf(one), page.at) };
}

function numbers() {
  const element = el("dl", { class: "numbers" });
  return { element, update: (page, one) => {
    const all = together(page, one);
    const rows = [["Requests/s", rate(all.rate), statuses(all.rates)], ["In flight", String(all.in_flight), ""], ["Waiting", String(all.waiting), "for an instance"],
      ["p50", duration(all.p50), "of the last 30 s"], ["p99", duration(all.p99), "of the last 30 s"], ["Slots busy", percent(all.busy), all.slots ? `of ${all.slots}` : ""],
      ["Hooks", String(all.backlog), "wait or run after replies"]];
    keyed(element, rows, ([word]) => word, number);
  } };
}

const statuses = (rates) => Object.entries(rates).map(([code, each]) => `${code} ${rate(each)}`).join("  ") || "none";

function number([word]) {
  const [value, note] = [el("dd"), el("dd", { class: "soft" })];
  return { element: el("div", {}, el("dt", { text: word }), value, note), update: ([, text, about]) => (write(value, text), write(note, about)) };
}

/** A table under a title that is there only when it has rows: `fillRow(cells, item)` writes one. */
function rows(title, columns, { items, keyOf, fillRow, empty }) {
  const body = el("tbody");
  const none = el("p", { class: "note", text: empty ?? "" });
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...columns.map(([word, kind]) => el("th", { scope: "col", class: kind, text: word })))), body);
  const element = el("section", { "aria-label": title }, el("h3", { text: title }), el("div", { class: "panel scrolls" }, table, none));
  const row = () => {
    const cells = columns.map(([, kind], index) => el(index ? "td" : "th", { class: kind, scope: index ? null : "row" }));
    return { element: el("tr", {}, ...cells), update: (item) => fillRow(cells, item) };
  };
  return { element, update: (page, one) => {
    const found = items(page, one);
    element.hidden = !found.length && !empty;
    table.hidden = !found.length;
    none.hidden = Boolean(found.length);
    keyed(body, found, keyOf, row);
  } };
}

const SHOWN_REVISIONS = 12;

function revisions() {
  const columns = [["Revision", ""], ["Traffic", ""], ["Tags", ""], ["State", ""], ["Instances", "number"], ["Scale", "wide"], ["Requests/s", "number"], ["p50", "number wide"], ["p99", "number"], ["Waited for a start", "number wide"], ["Age", "number"]];
  const items = (page, one) => one.revisions.slice(0, SHOWN_REVISIONS).map((revision) => ({ revision, now: liveOf(page, one, revision), at: page.at }));
  return rows("Revisions", columns, { items, keyOf: ({ revision }) => revision.name, fillRow: revisionRow });
}

function revisionRow(cells, { revision, now, at }) {
  const [name, traffic, tags, state, count, scale, ...others] = cells;
  write(name, revision.name);
  share(traffic, revision.percent);
  keyed(tags, revision.tags, (tag) => tag.name, tagLink);
  label(state, stateOf(revision, now), revision.message);
  write(count, now.starting ? `${now.ready} + ${now.starting}` : String(now.ready));
  write(scale, `${revision.scale["min-scale"] ?? 0} to ${Number(revision.scale["max-scale"]) || "any"}`);
  [rate(now.rate), duration(now.p50), duration(now.p99), String(revision.held), age(at - revision.created)].forEach((text, index) => write(others[index], text));
}

function share(cell, part) {
  const meter = cell.firstChild ?? cell.appendChild(el("meter", { min: 0, max: 100, "aria-hidden": "true" }));
  const text = cell.children[1] ?? cell.appendChild(el("span"));
  if (meter.value !== part) meter.value = part;
  write(text, `${part} %`);
  mark(cell, "class", part ? "share" : "share none");
}

function tagLink() {
  const element = el("a", { class: "tag", rel: "noopener" });
  return { element, update: ({ name, url }) => (write(element, name), mark(element, "href", /^https?:\/\//.test(url) ? url : null)) };
}

function label(cell, { word, kind }, title) {
  const state = cell.firstChild ?? cell.appendChild(el("span"));
  write(state, word);
  mark(state, "class", `state ${kind}`);
  mark(state, "title", title || null);
}

const SHOWN_INSTANCES = 50;

function instances() {
  const columns = [["Instance", ""], ["Phase", ""], ["For", "number"], ["Restarts", "number"], ["Slots busy", "number"], ["Queue", "number wide"], ["Hooks", "number wide"], ["Memory", "number wide"], ["Process", "number wide"]];
  const items = (page, one) => one.revisions.flatMap((revision) => revision.instances.map((each) => ({ each, at: page.at, told: liveOf(page, one, revision).instances[each.name] }))).slice(0, SHOWN_INSTANCES);
  return rows("Instances", columns, { items, keyOf: ({ each }) => each.name, fillRow: instanceRow, empty: "None: it is at zero, and the next request starts one." });
}

function instanceRow(cells, { each, at, told }) {
  write(cells[0], each.name);
  label(cells[1], { word: each.phase, kind: phaseClass(each.phase).slice(6) }, "");
  const texts = [age(at - each.since), String(each.restarts), told ? percent(told.busy) : "–", told ? String(told.queue) : "–", told ? String(told.backlog) : "–", told ? bytes(told.memory) : "–", each.pid ? String(each.pid) : "–"];
  texts.forEach((text, index) => write(cells[2 + index], text));
}

const PHASES = ["spawn", "runtime", "import", "fetch", "load", "warmup"];
const SHOWN_STARTS = 6;

/** Starts one under the other, all to one scale, so that the longest is seen at once. */
function starts() {
  const list = el("ol", { class: "starts" });
  const legend = el("ul", { class: "legend" }, ...[...PHASES, "other"].map((phase) => el("li", {}, el("span", { class: `key p-${phase}`, "aria-hidden": "true" }), phase)));
  const element = el("section", { "aria-label": "Cold starts" }, el("div", { class: "bar" }, el("h3", { text: "Cold starts" }), legend), el("div", { class: "panel" }, list));
  return { element, update: (page, one) => {
    const found = one.revisions.flatMap((revision) => revision.starts).sort((a, b) => b.at - a.at).slice(0, SHOWN_STARTS);
    element.hidden = !found.length;
    const longest = Math.max(...found.map(({ seconds }) => seconds));
    keyed(list, found, ({ instance, at }) => `${instance} ${at}`, startRow);
    found.forEach((_, index) => (list.children[index].firstChild.children[1].firstChild.style.width = `${(100 * found[index].seconds) / longest}%`));
  } };
}

function startRow(start) {
  const bar = el("span", { class: "phases" }, ...phasesOf(start).map(([name, seconds]) => {
    const part = el("span", { class: `p-${name}`, title: `${name} ${duration(seconds)}` });
    part.style.flexGrow = String(seconds);
    return part;
  }));
  const words = phasesOf(start).filter(([, seconds]) => seconds >= start.seconds / 20).map(([name, seconds]) => `${name} ${duration(seconds)}`).join(", ");
  const element = el("li", {}, el("div", { class: "start" }, el("span", { class: "soft", text: clock(start.at) }), el("span", { class: "track", "aria-hidden": "true" }, bar), el("strong", { text: duration(start.seconds) })),
    el("p", { class: "soft", text: `${start.instance}: ${words}` }));
  return { element, update: () => {} };
}

/** The runtime's phases, and what of the whole they do not tell. */
function phasesOf({ seconds, phases }) {
  const known = PHASES.filter((name) => phases[name] > 0).map((name) => [name, phases[name]]);
  const rest = seconds - known.reduce((sum, [, each]) => sum + each, 0);
  return rest > 0.001 ? [...known, ["other", rest]] : known;
}

const SHOWN_CRASHES = 5;

function crashes() {
  const list = el("div", { class: "crashes" });
  const element = el("section", { "aria-label": "Crashes" }, el("h3", { text: "Crashes" }), list);
  return { element, update: (page, one) => {
    const found = one.revisions.flatMap((revision) => revision.crashes).sort((a, b) => b.at - a.at).slice(0, SHOWN_CRASHES);
    element.hidden = !found.length;
    keyed(list, found, ({ instance, at }) => `${instance} ${at}`, crash);
  } };
}

function crash({ instance, at, exit_code: code, failure }) {
  const ending = code === null ? "did not start" : code < 0 ? `was ended by signal ${-code}` : `ended with exit code ${code}`;
  const text = failure.trimEnd();
  const element = el("details", { class: "problem", open: true }, el("summary", {}, el("strong", { text: `${instance} ${ending}` }), el("span", { class: "soft", text: ` ${clock(at)}` })),
    text ? el("pre", { class: "code", text, tabindex: "0" }) : el("p", { text: "It said nothing about why; its log may." }));
  return { element, update: () => {} };
}

function events() {
  const columns = [["Gets", ""], ["From", ""], ["Trigger", "wide"], ["State", ""], ["Dead letters", "wide"]];
  const items = (_, one) => [...one.subscriptions.map((each) => ({ ...each, key: each.trigger })),
    ...one.schedules.map((each, index) => ({ key: `schedule ${index}`, takes: `a ping at ${each}`, broker: "", trigger: "schedule", ready: true, reason: "", dead_letter: null }))];
  return rows("Subscriptions", columns, { items, keyOf: ({ key }) => key, fillRow: subscriptionRow });
}

function subscriptionRow(cells, { takes, broker, trigger, ready, reason, dead_letter: dead }) {
  write(cells[0], takes);
  write(cells[1], broker ? `broker ${broker}` : "schedule");
  write(cells[2], trigger);
  label(cells[3], ready ? { word: "Ready", kind: "good" } : { word: "Not ready", kind: "bad" }, reason);
  write(cells[4], dead ?? "–");
}

/** What this page does not do itself. */
function commands(one) {
  const list = el("dl", { class: "commands" });
  const element = el("details", { class: "panel foldable" }, el("summary", { text: "Commands" }), list);
  return { element, update: (_, now) => keyed(list, linesOf(one, now), ([word]) => word, command) };
}

const quote = (text) => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function linesOf({ namespace, name }, { revisions: all }) {
  const which = `${quote(name)} --platform local${namespace === "default" ? "" : ` --namespace ${quote(namespace)}`}`;
  const [newest, before] = all.map((revision) => quote(revision.name));
  return [["Call it", `mlfunc invoke ${which}`], ["Look closer", `mlfunc describe ${which}`], ["Follow its log", `mlfunc logs ${which} -f`],
    before ? ["Split traffic", `mlfunc traffic ${which} ${newest}=10 ${before}=90`] : null, before ? ["Go back", `mlfunc rollback ${which}`] : null,
    ["Keep one instance", `mlfunc scale ${which} --min 1`], ["Send it events", `mlfunc subscribe ${which} --type TYPE`], ["Delete it", `mlfunc delete ${which}`]].filter(Boolean);
}

function command([word]) {
  const code = el("code");
  return { element: el("div", {}, el("dt", { text: word }), el("dd", {}, code, copyButton(() => code.textContent, `the command: ${word}`))), update: ([, line]) => write(code, line) };
}

// All functions, a row for each.

import { sparkline } from "./chart.js";
import { el, keyed, mark, write } from "./dom.js";
import { keysOf, together } from "./sums.js";
import { duration, percent, plural, rate, stateOf } from "./words.js";

const COLUMNS = [["Function", ""], ["State", ""], ["Last 10 min", "wide"], ["Instances", "number"], ["In flight", "number"], ["Waiting", "number wide"], ["Requests/s", "number"], ["p50", "number wide"],
  ["p99", "number"], ["Slots busy", "number wide"], ["Hooks", "number wide"]];

export function functionTable() {
  const body = el("tbody");
  const table = el("table", { class: "functions" }, el("thead", {}, el("tr", {}, ...COLUMNS.map(([word, kind]) => el("th", { scope: "col", class: kind, text: word })))), body);
  const empty = nothing();
  const element = el("div", {}, table, empty);
  const update = (page, chosen) => {
    table.hidden = page.functions.length === 0;
    empty.hidden = !table.hidden || !page.at;
    keyed(body, page.functions, ({ namespace, name }) => `${namespace}/${name}`, row);
    page.functions.forEach((one, index) => show(body.children[index], one, page, one === chosen));
  };
  return { element, update };
}

function nothing() {
  const lines = ["mlfunc create hello", "cd hello", "mlfunc deploy"];
  return el("div", { class: "empty" }, el("p", { text: "Nothing is deployed here yet." }), el("pre", { class: "code", text: lines.join("\n") }));
}

function row(one) {
  const link = el("a", { class: "name", href: `#/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}`, text: one.name });
  const spark = sparkline();
  const cells = COLUMNS.map(([, kind], index) => el(index ? "td" : "th", { class: kind, scope: index ? null : "row" }));
  const state = el("span", { class: "state" });
  cells[0].append(link, one.namespace === "default" ? "" : el("span", { class: "soft", text: ` ${one.namespace}` }));
  cells[1].append(state);
  cells[2].append(spark.element);
  const element = el("tr", {}, ...cells);
  element.parts = { link, spark, state, cells };
  return { element, update: () => {} };
}

function show(element, one, page, isChosen) {
  const { link, spark, state, cells } = element.parts;
  const all = together(page, one);
  const { word, kind } = stateOf(one, all);
  write(state, word);
  mark(state, "class", `state ${kind}`);
  mark(state, "title", one.message || null);
  mark(element, "class", isChosen ? "chosen" : null);
  mark(link, "aria-current", isChosen ? "true" : null);
  spark.update(keysOf(one), page.at);
  const texts = [all.starting ? `${all.ready} + ${all.starting}` : String(all.ready), String(all.in_flight), String(all.waiting), rate(all.rate), duration(all.p50), duration(all.p99), percent(all.busy), String(all.backlog)];
  texts.forEach((text, index) => write(cells[3 + index], text));
  mark(cells[3], "title", all.starting ? `${plural(all.ready, "instance")} ready, ${all.starting} starting` : null);
}

// The API reference: what openapi.json says, for a reader.

import { copyButton, el, fill, find, prose } from "./dom.js";
import { limits, resolve, typeName, withoutNull } from "./schema.js";
import { jsonView } from "./view.js";

// Predicting comes first: it is what the function is for.
const METHODS = ["post", "get", "put", "patch", "delete", "head", "options", "trace"];

start();

async function start() {
  let api;
  try {
    const response = await fetch("openapi.json", { cache: "no-store" });
    if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
    api = await response.json();
  } catch (error) {
    fill(find("#operations"), el("p", { class: "notice", text: `The description could not be read: ${error.message}. Reload when the function runs.` }));
    return;
  }
  showApi(api);
  // The browser looked for the section of the address before it was there.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

function showApi(api) {
  document.title = `${api.info?.title ?? "API"} · API reference`;
  find("#title").textContent = api.info?.title ?? "API";
  find("#version").textContent = api.info?.version ?? "";
  fill(find("#about"), ...prose(api.info?.description));
  const operations = operationsOf(api);
  fill(find("#contents"), ...operations.map(({ id, method, path }) =>
    el("li", {}, el("a", { href: `#${id}` }, el("span", { class: `method ${method}`, text: method.toUpperCase() }), el("span", { text: path })))));
  fill(find("#operations"), ...operations.map((one) => operationView(one, api)));
}

function operationsOf(api) {
  return Object.entries(api.paths ?? {}).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => {
    const operation = item[method];
    const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
    return { path, method, operation: { ...operation, parameters }, id: `${method}${path}`.replace(/[^\w]+/g, "-").replace(/-$/, "") };
  }));
}

function operationView({ id, method, path, operation }, api) {
  return el("section", { class: "operation", id },
    el("h2", {}, el("span", { class: `method ${method}`, text: method.toUpperCase() }), el("span", { text: path })),
    operation.summary ? el("p", { class: "summary" }, ...prose(operation.summary)) : null,
    operation.description ? el("p", { class: "prose" }, ...prose(operation.description)) : null,
    ...parametersView(operation.parameters, api), ...requestView(operation.requestBody, api), ...responsesView(operation.responses, api));
}

function parametersView(parameters, api) {
  if (!parameters.length) return [];
  const rows = parameters.map((reference) => {
    const parameter = resolve(reference, api);
    return memberView(parameter.name, parameter.schema ?? {}, api, { needed: parameter.required, place: parameter.in, help: parameter.description, above: [] });
  });
  return [el("h3", { text: "Parameters" }), el("div", { class: "members" }, ...rows)];
}

function requestView(reference, api) {
  if (!reference) return [];
  const body = resolve(reference, api);
  return [el("h3", { text: "Request body" }), body.description ? el("p", { class: "prose" }, ...prose(body.description)) : null, ...contentView(body.content, api)];
}

function responsesView(responses, api) {
  const rows = Object.entries(responses ?? {}).map(([status, reference]) => {
    const response = resolve(reference, api);
    const content = contentView(response.content, api);
    const headers = Object.keys(response.headers ?? {});
    return el("div", { class: "reply" }, el("code", { text: status }), el("div", {}, el("p", {}, ...prose(response.description)),
      headers.length ? el("p", { class: "media", text: `Headers: ${headers.join(", ")}` }) : null,
      // Errors are all alike: they are folded, so that the answer stands out.
      ...(content.length && !/^2/.test(status) ? [el("details", {}, el("summary", { text: "Schema" }), ...content)] : content)));
  });
  return rows.length ? [el("h3", { text: "Responses" }), ...rows] : [];
}

function contentView(content, api) {
  return Object.entries(content ?? {}).flatMap(([type, { schema, example, examples }]) => [
    el("p", { class: "media", text: [type, listName(schema, api)].filter(Boolean).join(" · ") }), schema ? schemaView(schema, api) : null,
    ...samplesOf(example, examples, api).map(sampleView)]);
}

function samplesOf(example, examples, api) {
  const named = Object.entries(examples ?? {}).map(([name, one]) => [name, resolve(one, api).value]);
  return example === undefined ? named : [["Example", example], ...named];
}

function sampleView([name, value]) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  const shown = typeof value === "string" ? el("pre", { class: "code", text }) : jsonView(value);
  return el("div", { class: "sample" }, el("div", { class: "bar" }, el("span", { class: "soft", text: name }), copyButton(() => text, name)), shown);
}

/** A schema as a table of its members, or one row when it has none. */
function schemaView(schema, api) {
  return membersOf(schema, api, []) ?? el("div", { class: "members" }, memberView(null, schema, api, { above: [] }));
}

/** What a list of objects is called: its table shows the members of one. */
const listName = (schema, api) => (schema && !resolve(schema, api).properties && membersOf(schema, api, []) ? typeName(schema, api) : null);

/** The members of an object, or of the objects in a list or union; null where there are none. */
function membersOf(schema, api, above) {
  const { schema: plain } = withoutNull(schema, api);
  if (plain.properties) return above.includes(plain.properties) ? null : propertiesView(plain, api, above);
  const options = plain.anyOf ?? plain.oneOf ?? [plain.items, plain.additionalProperties].filter((one) => one && typeof one === "object");
  const views = options.map((option) => membersOf(option, api, above)).filter(Boolean);
  return views.length > 1 ? el("div", {}, ...views) : views[0] ?? null;
}

function propertiesView({ properties, required = [] }, api, above) {
  // A type that contains itself is opened once.
  const inside = [...above, properties];
  return el("div", { class: "members" }, ...Object.entries(properties).map(([name, member]) =>
    memberView(name, member, api, { needed: required.includes(name), above: inside })));
}

function memberView(name, schema, api, { needed, place, help, above }) {
  const whole = resolve(schema, api);
  const { schema: plain } = withoutNull(schema, api);
  const notes = [help ?? whole.description, [limits(plain), choices(plain), byDefault(whole)].filter(Boolean).join(" · ")].filter(Boolean);
  return el("div", { class: "member" },
    el("div", { class: "member-head" }, name === null ? null : el("span", { class: "member-name", text: name }),
      el("span", { class: "member-type", text: typeName(schema, api) }),
      place || needed ? el("span", { class: "member-need", text: [place, needed ? "required" : null].filter(Boolean).join(", ") }) : null),
    ...notes.map((note) => el("p", {}, ...prose(note))), membersOf(schema, api, above));
}

const choices = (schema) => (schema.enum?.length > 4 ? `One of ${schema.enum.map((value) => JSON.stringify(value)).join(", ")}` : null);
const byDefault = (schema) => ("default" in schema ? `Default ${JSON.stringify(schema.default)}` : null);

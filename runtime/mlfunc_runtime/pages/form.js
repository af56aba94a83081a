// A form made from a JSON Schema. Every control reads and writes plain JSON data; `undefined` means "not sent".

import { bytes, el, fill, prose } from "./dom.js";
import { preview } from "./view.js";
import { kindOf, limits, resolve, typeName, withoutNull } from "./schema.js";

let serial = 0;

// The control of a field, not the buttons beside its name.
const CONTROL = ":scope > :is(input, textarea, select), :scope > :not(.field-label) :is(input, textarea, select, button)";

/** A value that cannot be sent as it stands. `path` is the field's, as the server would name it. */
export class FieldError extends Error {
  constructor(path, message) {
    super(message);
    this.path = path;
  }
}

/** The form of a whole input: its fields, or one field when it is no object. */
export function buildForm(schema) {
  const root = schema ?? {};
  const { schema: plain } = withoutNull(root, root);
  const kind = kindOf(plain);
  if (kind === "object") return objectControl(plain, { root, above: [] }, "");
  const field = buildField("body", root, { root, above: [] }, { path: "", required: true });
  return { ...field, element: el("div", { class: "fields" }, field.element), isJson: kind === "any" };
}

/** Blames the field that `path` names, or the nearest field around it. Returns whether there is one. */
export function markField(form, path, message) {
  const row = nearestRow(form, path);
  if (!row) return false;
  const error = row.querySelector(":scope > .field-error");
  fill(error, ...prose(message));
  error.hidden = false;
  row.classList.add("wrong");
  for (const details of ancestors(row, "details")) details.open = true;
  const control = row.querySelector(CONTROL);
  control?.setAttribute("aria-invalid", "true");
  control?.setAttribute("aria-describedby", error.id);
  control?.focus();
  return true;
}

export function clearMarks(form) {
  for (const row of form.querySelectorAll(".wrong")) {
    row.classList.remove("wrong");
    row.querySelector(":scope > .field-error").hidden = true;
    for (const control of row.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
  }
}

function nearestRow(form, path) {
  // The server may not know which element of a list is wrong and then says `[...]`.
  const plain = (text) => text.replace(/\[[^\]]*\]/g, "[]");
  const rows = [...form.querySelectorAll("[data-path]")];
  for (let wanted = path; wanted; wanted = wanted.replace(/(\.?[^.[]+|\[[^\]]*\])$/, "")) {
    const exact = rows.find((one) => one.dataset.path === wanted);
    const alike = rows.filter((one) => plain(one.dataset.path) === plain(wanted));
    if (exact || alike.length === 1) return exact ?? alike[0];
  }
  return rows[0]?.dataset.path === "" ? rows[0] : null;
}

function ancestors(element, selector) {
  const found = [];
  for (let one = element.parentElement; one; one = one.parentElement) if (one.matches(selector)) found.push(one);
  return found;
}

/** `within` is where a schema stands: its root, for references, and the objects around it. */
function buildField(name, schema, within, { path, required }) {
  const { root } = within;
  const { schema: plain, nullable } = withoutNull(schema, root);
  const id = `field-${++serial}`;
  const whole = resolve(schema, root);
  let control = buildControl(plain, within, path, id);
  const tools = el("span", { class: "field-tools" });
  if (nullable) control = nullableControl(control, tools, name);
  if (!required) control = optionalControl(control, tools, name, whole.default);
  const type = required ? typeName(schema, root) : `${typeName(schema, root)}, optional`;
  const one = control.element.id === id || control.element.querySelector(`#${id}`);
  const label = el("span", { class: "field-label" },
    el(one ? "label" : "span", { for: one ? id : null, class: "field-name", text: name }), el("span", { class: "field-type", text: type }), tools);
  const help = [whole.description, limits(plain)].filter(Boolean).join(" · ");
  const element = el("div", { class: "field", "data-path": path }, label, control.element,
    help ? el("p", { class: "field-help" }, ...prose(help)) : null,
    el("p", { class: "field-error", id: `${id}-error`, hidden: true }));
  return { element, read: control.read, write: control.write };
}

const CONTROLS = {
  enum: enumControl,
  boolean: booleanControl,
  integer: numberControl,
  number: numberControl,
  string: textControl,
  file: fileControl,
  array: arrayControl,
  object: (schema, within, path) => {
    const control = objectControl(schema, within, path);
    control.element.classList.add("nested");
    return control;
  },
};

function buildControl(schema, within, path, id) {
  // A type that contains itself would make a form without end.
  if (schema.properties && within.above.includes(schema.properties)) return jsonControl(schema, within, path, id);
  return (CONTROLS[kindOf(schema)] ?? jsonControl)(schema, within, path, id);
}

function objectControl(schema, { root, above }, path) {
  const within = { root, above: [...above, schema.properties] };
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) => [
    name, buildField(name, property, within, { path: path ? `${path}.${name}` : name, required: required.has(name) })]);
  let others = {};
  const read = () => {
    const values = fields.map(([name, field]) => [name, field.read()]).filter(([, value]) => value !== undefined);
    return { ...others, ...Object.fromEntries(values) };
  };
  const write = (value) => {
    const given = value !== null && typeof value === "object" ? value : {};
    // Members that the schema does not name have no field, but are sent back as they came.
    others = Object.fromEntries(Object.entries(given).filter(([name]) => !(name in (schema.properties ?? {}))));
    for (const [name, field] of fields) field.write(given[name]);
  };
  return { element: el("div", { class: "fields" }, ...fields.map(([, field]) => field.element)), read, write };
}

function enumControl(schema, within, path, id) {
  const values = schema.enum ?? [schema.const];
  const select = el("select", { id }, ...values.map((value, index) =>
    el("option", { value: String(index), text: typeof value === "string" ? value : JSON.stringify(value) })));
  return {
    element: select,
    read: () => values[select.selectedIndex],
    write: (value) => (select.selectedIndex = Math.max(0, values.indexOf(value))),
  };
}

function booleanControl(schema, within, path, id) {
  const box = el("input", { id, type: "checkbox" });
  return { element: box, read: () => box.checked, write: (value) => (box.checked = value === true) };
}

function numberControl(schema, within, path, id) {
  const step = schema.multipleOf ?? (schema.type === "integer" ? 1 : "any");
  const input = el("input", { id, type: "number", step: String(step), inputmode: schema.type === "integer" ? "numeric" : "decimal" });
  const read = () => {
    if (input.validity.badInput) throw new FieldError(path, "not a number");
    return input.value === "" ? undefined : Number(input.value);
  };
  return { element: input, read, write: (value) => (input.value = value ?? "") };
}

function textControl(schema, within, path, id) {
  const area = el("textarea", { id, rows: "1", class: "grows", autocomplete: "off" });
  return {
    element: area,
    read: () => area.value,
    write: (value) => (area.value = typeof value === "string" ? value : ""),
  };
}

/** Anything else is JSON in a text area. */
function jsonControl(schema, within, path, id) {
  const area = el("textarea", { id, rows: "3", class: "grows code", spellcheck: "false", autocomplete: "off" });
  const read = () => (area.value.trim() === "" ? undefined : parse(area.value, path));
  return { element: area, read, write: (value) => (area.value = value === undefined ? "" : compact(value)) };
}

/** Small values on one line, others indented. */
export function compact(value) {
  const line = JSON.stringify(value);
  return line.length <= 60 ? line : JSON.stringify(value, null, 2);
}

export function parse(text, path) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FieldError(path, `not JSON: ${error.message}`);
  }
}

function arrayControl(schema, within, path, id) {
  const items = withoutNull(schema.items ?? {}, within.root).schema;
  const kind = kindOf(items);
  if (kind === "number" || kind === "integer") return numbersControl(path, id);
  return ["string", "enum", "object", "file"].includes(kind) ? listControl(schema, within, path) : jsonControl(schema, within, path, id);
}

/** A list of numbers is one line, with commas, spaces or as JSON: nobody fills in a field for each. */
function numbersControl(path, id) {
  const area = el("textarea", { id, rows: "1", class: "grows code", spellcheck: "false", placeholder: "1, 2.5, 3" });
  const read = () => {
    const words = area.value.replace(/^\s*\[|\]\s*$/g, "").split(/[\s,;]+/).filter(Boolean);
    const wrong = words.find((word) => word !== "null" && Number.isNaN(Number(word)));
    if (wrong !== undefined) throw new FieldError(path, `${JSON.stringify(wrong)} is no number`);
    return words.map((word) => (word === "null" ? null : Number(word)));
  };
  return { element: area, read, write: (value) => (area.value = Array.isArray(value) ? value.join(", ") : "") };
}

function listControl(schema, within, path) {
  const rows = el("div", { class: "items" });
  let items = [];
  const draw = () => {
    fill(rows, ...items.map(({ element }) => element));
    rows.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const remove = (removed) => {
    // Made anew, for the paths of those behind it have changed.
    write(items.filter((one) => one !== removed).map(valueOf));
    draw();
  };
  const addItem = (value) => {
    const item = listItem(schema, within, `${path}[${items.length}]`, remove);
    item.write(value);
    items.push(item);
    return item;
  };
  const add = el("button", { type: "button", class: "quiet", text: "Add item", on: { click: () => {
    const item = addItem(undefined);
    draw();
    item.element.querySelector("input, textarea, select")?.focus();
  } } });
  const write = (value) => {
    items = [];
    for (const one of Array.isArray(value) ? value : []) addItem(one);
    fill(rows, ...items.map(({ element }) => element));
  };
  const read = () => items.map((item) => item.read()).filter((value) => value !== undefined);
  return { element: el("div", { class: "list" }, rows, add), read, write };
}

/** What a control holds, or nothing where that is no value. */
function valueOf(control) {
  try {
    return control.read();
  } catch (error) {
    if (error instanceof FieldError) return undefined;
    throw error;
  }
}

function listItem(schema, within, path, remove) {
  const control = buildControl(withoutNull(schema.items ?? {}, within.root).schema, within, path, `field-${++serial}`);
  const button = el("button", { type: "button", class: "quiet icon", "aria-label": "Remove item", text: "×" });
  const error = el("p", { class: "field-error", id: `field-${serial}-error`, hidden: true });
  const item = { read: control.read, write: control.write };
  if (control.element.matches("textarea, select")) control.element.setAttribute("aria-label", path);
  item.element = el("div", { class: "item", "data-path": path }, control.element, button, error);
  button.addEventListener("click", () => remove(item));
  return item;
}

/** Bytes inside JSON: chosen as a file, sent as base64. */
function fileControl(schema, within, path, id) {
  let encoded;
  const shown = el("div", { class: "file-shown" });
  const show = (blob, name) => fill(shown, preview(blob), el("span", { class: "soft", text: `${name} · ${bytes(blob.size)}` }));
  const input = el("input", { id, type: "file", on: { change: async () => {
    const file = input.files[0];
    if (!file) return;
    encoded = toBase64(new Uint8Array(await file.arrayBuffer()));
    show(file, file.name);
    shown.dispatchEvent(new Event("input", { bubbles: true }));
  } } });
  const write = (value) => {
    encoded = typeof value === "string" ? value : undefined;
    if (encoded) show(new Blob([fromBase64(encoded)]), "example");
    else fill(shown);
  };
  return { element: el("div", { class: "file" }, input, shown), read: () => encoded, write };
}

export function toBase64(array) {
  let text = "";
  // One call with all of it would overflow the stack.
  for (let start = 0; start < array.length; start += 0x8000) text += String.fromCharCode(...array.subarray(start, start + 0x8000));
  return btoa(text);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function nullableControl(control, tools, name) {
  const box = el("input", { type: "checkbox", "aria-label": `${name} is null` });
  tools.append(el("label", { class: "field-null" }, box, "null"));
  const show = () => control.element.classList.toggle("off", box.checked);
  box.addEventListener("change", show);
  control.element.addEventListener("input", () => {
    box.checked = false;
    show();
  });
  return {
    element: control.element,
    read: () => (box.checked ? null : control.read()),
    write: (value) => {
      box.checked = value === null;
      control.write(value === null ? undefined : value);
      show();
    },
  };
}

/** A field that is sent only once it was filled in; until then it shows the default. */
function optionalControl(control, tools, name, byDefault) {
  let sent = false;
  const show = () => {
    control.element.classList.toggle("unsent", !sent);
    button.hidden = !sent;
  };
  const button = el("button", { type: "button", class: "quiet", text: "Leave out", "aria-label": `Leave out ${name}`, on: { click: () => {
    write(undefined);
    control.element.dispatchEvent(new CustomEvent("leftout", { bubbles: true }));
  } } });
  const write = (value) => {
    sent = value !== undefined;
    control.write(sent ? value : byDefault);
    show();
  };
  const include = () => {
    sent = true;
    show();
  };
  tools.append(button);
  tools.addEventListener("change", include);
  control.element.addEventListener("input", include);
  return { element: control.element, read: () => (sent ? control.read() : undefined), write };
}

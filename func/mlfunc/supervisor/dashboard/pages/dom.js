// Builds elements and keeps them up to date. Text goes in as text, so nothing a function says is ever markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (selector, root = document) => root.querySelector(selector);

/** An element: `class`, `text`, `on: {event: listener}`, properties of the element, else attributes. */
export const el = (tag, settings = {}, ...children) => build(document.createElement(tag), settings, children);

export const svg = (tag, settings = {}, ...children) => build(document.createElementNS(SVG, tag), settings, children);

function build(element, settings, children) {
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name in element && typeof value !== "string" && typeof value !== "number") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Write a text, if it is another one: what is selected or read aloud is left alone. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, name, value) {
  const text = value === null ? null : String(value);
  if (element.getAttribute(name) === text) return;
  if (text === null) element.removeAttribute(name);
  else element.setAttribute(name, text);
}

/**
 * One child for each item, kept as long as its key is there. `make(item)` gives `{element, update}`;
 * focus, open details and selections survive, as nothing is made anew.
 */
export function keyed(parent, items, keyOf, make) {
  const before = parent.kept ?? new Map();
  const now = new Map(items.map((item) => [keyOf(item), before.get(keyOf(item)) ?? make(item)]));
  for (const [key, { element }] of before) if (now.get(key)?.element !== element) element.remove();
  let place = parent.firstChild;
  for (const { element } of now.values()) {
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
  for (const item of items) now.get(keyOf(item)).update(item);
  parent.kept = now;
}

/** A button that copies a text, and says so. */
export function copyButton(text, label) {
  const button = el("button", { type: "button", class: "quiet", text: "Copy", "aria-label": `Copy ${label}` });
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

async function copy(text) {
  // The clipboard's interface is on localhost and https only; a platform may be reached by another name.
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = el("textarea", { class: "offscreen" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

// Builds elements and finds them. Text goes in as text, so nothing a function says is ever markup.

export const find = (selector, root = document) => root.querySelector(selector);

/** An element: `class`, `text`, `on: {event: listener}`, properties of the element, else attributes. */
export function el(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text as its author meant it: lines of a paragraph joined, `code` set as code. */
export function prose(text) {
  const joined = (text ?? "").replace(/([^\n])\n(?!\s*\n)\s*/g, "$1 ");
  return joined.split(/`([^`\n]+)`/).map((part, index) => (index % 2 ? el("code", { text: part }) : part));
}

/** A button that copies what `text()` returns, and says so. */
export function copyButton(text, label) {
  const button = el("button", { type: "button", class: "quiet", text: "Copy", "aria-label": `Copy ${label}` });
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return button;
}

async function copy(text) {
  // The clipboard interface exists on https and localhost only; functions are often reached on plain http.
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const area = el("textarea", { class: "offscreen" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

export function milliseconds(value) {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  if (value >= 100 || value === 0) return `${Math.round(value)} ms`;
  return `${value.toFixed(value < 1 ? 2 : 1)} ms`;
}

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)} kB`;
  return `${(count / 1_000_000).toFixed(1)} MB`;
}

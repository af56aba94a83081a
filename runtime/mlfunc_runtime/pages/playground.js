// The playground: describes the function, edits an input, sends it, and shows the answer.

import { chunksOf, curlLine, headersOf, invokeLine, newId, percentDecode, serverSentEvents } from "./call.js";
import { bytes, copyButton, el, fill, find, milliseconds, prose } from "./dom.js";
import { buildForm, clearMarks, compact, FieldError, fromBase64, markField, parse } from "./form.js";
import { bytesView, jsonView, parseExactly, parseTiming, preview, timingView, waterfall } from "./view.js";

const POLL = 700;

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
let description = {};
let input; // The editor of the input: {element, content(), write(example)}.
let running = null; // The AbortController of the call in flight.

start();

async function start() {
  document.addEventListener("keydown", onKey);
  page.modifier.textContent = /Mac|iP(hone|ad)/.test(navigator.userAgent) ? "⌘" : "Ctrl";
  page.request.addEventListener("submit", (submit) => {
    submit.preventDefault();
    send();
  });
  page.stop.addEventListener("click", () => running?.abort());
  page["as-event"].addEventListener("change", () => (page.event.hidden = !page["as-event"].checked));
  for (const change of ["input", "change", "click", "leftout"]) page.request.addEventListener(change, () => requestAnimationFrame(showCalls));
  fill(page["copy-curl"], copyButton(() => page.curl.textContent, "the curl command"));
  fill(page["copy-invoke"], copyButton(() => page.invoke.textContent, "the mlfunc command"));
  await describe();
}

/** Asks what the function is, until it is ready. Afterwards it is left alone: asking would keep it from scaling to zero. */
async function describe() {
  const found = await fetchDescription();
  if (found) {
    const changed = !input || JSON.stringify(found.input) !== JSON.stringify(description.input);
    description = found;
    showIdentity();
    if (changed) makeInput();
  }
  showState(found ? (found.ready ? "ready" : "loading") : "gone");
  if (!found?.ready) setTimeout(describe, POLL);
}

async function fetchDescription() {
  try {
    const response = await fetch("./", { headers: { Accept: "application/json" }, cache: "no-store" });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

function showState(state) {
  const words = { ready: "Ready", loading: "Loading", gone: "Unreachable" };
  if (page.state.textContent !== words[state]) page.state.textContent = words[state];
  page.state.className = `state ${state}`;
}

function showIdentity() {
  document.title = `${description.name} · mlfunc`;
  page.name.textContent = description.name;
  page.version.textContent = description.version ?? "";
  fill(page.about, ...prose(description.description));
  const { slots, batch, streams, predictor } = description;
  fill(page.facts, predictor ? el("span", {}, el("code", { text: predictor })) : null,
    slots ? el("span", { text: slots === 1 ? "1 slot" : `${slots} slots` }) : null,
    batch > 1 ? el("span", { text: `batches of up to ${batch}` }) : null,
    streams ? el("span", { text: "streams" }) : null);
  fill(page.startup, waterfall(description.startup));
  if (description.needs_event && !input) {
    page["as-event"].checked = true;
    page.event.hidden = false;
  }
  page["event-type"].value ||= `dev.mlfunc.${description.name}.request`;
  page["event-source"].value ||= "/playground";
  fill(page["event-reply"], description.events?.reply_type ? `Answered with an event of type ${description.events.reply_type}` : "");
}

// The input

function makeInput() {
  if (!description.ready && description.input === undefined) {
    fill(page.form, el("p", { class: "soft", text: "The form appears as soon as the predictor is loaded." }));
    page.modes.hidden = page.example.hidden = page.send.disabled = true;
    return;
  }
  page.send.disabled = false;
  const takesBytes = description.content_type !== undefined && !isJson(description.content_type);
  input = takesBytes ? fileInput() : jsonInput();
  fill(page.form, input.element);
  writeExample();
  page.example.onclick = writeExample;
  page.example.hidden = !description.example;
}

function writeExample() {
  input.write(description.example);
  clearMarks(page.request);
  showCalls();
}

const isJson = (type) => /^[\w.-]+\/([\w.-]+\+)?json\b/i.test(type ?? "");

/** A form and the JSON it makes, either of which can be edited. */
function jsonInput() {
  const form = buildForm(description.input);
  const raw = page["raw-text"];
  let editing = "form";
  const show = () => {
    page.form.hidden = editing !== "form";
    page.raw.hidden = editing !== "json";
    // A form that is one field of JSON needs no other way to write JSON.
    page.modes.hidden = form.isJson === true;
    for (const radio of page.modes.querySelectorAll("input")) radio.checked = radio.value === editing;
  };
  const data = () => (editing === "form" ? form.read() : parse(raw.value, ""));
  const change = (mode) => {
    if (mode === editing) return;
    if (mode === "json") raw.value = JSON.stringify(form.read(), null, 2) ?? "";
    else form.write(parse(raw.value, ""));
    editing = mode;
  };
  page.modes.onchange = (event) => {
    clearMarks(page.request);
    attempt(() => change(event.target.value));
    show();
  };
  show();
  return {
    element: form.element,
    // What was typed as JSON is sent as typed: JavaScript would round its large numbers.
    content: () => {
      const value = data();
      return { type: "application/json", body: editing === "json" ? raw.value : JSON.stringify(value) ?? "null" };
    },
    write: (example) => {
      const value = example?.data;
      form.write(value);
      raw.value = value === undefined ? "" : JSON.stringify(value, null, 2);
    },
  };
}

/** One file, chosen, dropped, or the example. */
function fileInput() {
  let blob = null;
  let name = "input.bin";
  const shown = el("div", { class: "file-shown" });
  const take = (file, called) => {
    [blob, name] = [file, called];
    fill(shown, preview(file), el("span", { class: "soft", text: `${called} · ${bytes(file.size)}` }));
    showCalls();
  };
  const chooser = el("input", { type: "file", id: "file", on: { change: () => chooser.files[0] && take(chooser.files[0], chooser.files[0].name) } });
  const drop = el("div", { class: "drop" }, el("label", { for: "file", text: "Choose a file, or drop one here" }), chooser, shown);
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0], event.dataTransfer.files[0].name);
  });
  page.modes.hidden = true;
  return {
    element: el("div", { class: "field", "data-path": "" }, drop, el("p", { class: "field-error", id: "file-error", hidden: true })),
    content: () => {
      if (!blob) throw new FieldError("", "choose a file first");
      return { type: description.content_type, body: blob, file: name };
    },
    write: (example) => {
      if (!example) return;
      const content = example.base64 === undefined ? [compact(example.data)] : [fromBase64(example.base64)];
      take(new Blob(content, { type: example.content_type }), `example${extension(example.content_type)}`);
    },
  };
}

const extension = (type) => ({ "image/png": ".png", "image/jpeg": ".jpg", "audio/wav": ".wav", "audio/x-wav": ".wav", "text/plain": ".txt" })[type] ?? ".bin";

function eventOf() {
  if (!page["as-event"].checked) return null;
  return { type: page["event-type"].value, source: page["event-source"].value, id: newId() };
}

/** Runs `action`; a field that stops it is marked. */
function attempt(action) {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    const inForm = !page.form.hidden && markField(page.form, error.path, error.message);
    if (!inForm) markRaw(error.message);
    return undefined;
  }
}

function markRaw(message) {
  page.raw.classList.add("wrong");
  fill(page["raw-error"], ...prose(message));
  page["raw-error"].hidden = false;
  page["raw-text"].setAttribute("aria-invalid", "true");
  page["raw-text"].setAttribute("aria-describedby", "raw-error");
  if (!page.raw.hidden) page["raw-text"].focus();
}

function showCalls() {
  let content;
  try {
    content = input?.content();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
  }
  if (!content) return;
  const event = eventOf();
  page.curl.textContent = curlLine(content, event, description);
  page.invoke.textContent = invokeLine(content, event);
}

// The call

function onKey(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    send();
  } else if (event.key === "Escape") running?.abort();
}

async function send() {
  if (running || !input) return;
  clearMarks(page.request);
  const content = attempt(() => input.content());
  if (!content) return;
  running = new AbortController();
  busy(true);
  try {
    await call(content, eventOf(), running.signal);
  } catch (error) {
    showBroken(error);
  } finally {
    running = null;
    busy(false);
  }
}

function busy(sending) {
  page.send.disabled = sending;
  page.stop.hidden = !sending;
  page.answer.setAttribute("aria-busy", String(sending));
}

async function call(content, event, signal) {
  clearAnswer();
  // Below the form on a narrow screen, the answer would come unseen.
  if (page.answer.getBoundingClientRect().top > 0.7 * innerHeight) page.answer.scrollIntoView();
  const begun = performance.now();
  const response = await fetch("./", { method: "POST", headers: headersOf(content, event), body: content.body, signal, cache: "no-store" });
  const exchange = { response, begun, first: performance.now() };
  showHead(exchange);
  const kind = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  const size = await (kind === "text/event-stream" ? showStream : showWhole)(exchange, kind);
  showHead({ ...exchange, done: performance.now(), size });
}

function clearAnswer() {
  for (const part of [page.status, page.timing, page.meta, page["answer-tools"]]) fill(part);
  fill(page.result, el("p", { class: "soft", text: "Waiting for the answer" }));
}

function showHead({ response, begun, first, done, size }) {
  const names = { 200: "OK", 202: "Accepted", 204: "No Content", 400: "Bad Request", 404: "Not Found", 413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout" };
  // HTTP/2 has no reason phrase.
  const reason = response.statusText || names[response.status] || "";
  fill(page.status, el("strong", { class: response.ok ? "ok" : "failed", text: `${response.status} ${reason}` }),
    el("span", { text: milliseconds((done ?? first) - begun) }),
    size === undefined ? null : el("span", { class: "soft", text: bytes(size) }),
    el("span", { class: "id", title: "Request id", text: response.headers.get("x-request-id") ?? "" }));
  fill(page.timing, timingView(parseTiming(response.headers.get("server-timing"))));
  const headers = [...response.headers].filter(([name]) => !name.startsWith("ce-"));
  fill(page.meta, el("details", {}, el("summary", { text: `${headers.length} headers` }), pairs(headers)));
}

const pairs = (entries) => el("dl", { class: "pairs" }, ...entries.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: value })]));

async function showWhole({ response }, kind) {
  const whole = await readWhole(response, kind);
  const attributes = [...response.headers].filter(([name]) => name.startsWith("ce-")).map(([name, value]) => [name.slice(3), percentDecode(value)]);
  const parts = attributes.length ? [el("div", { class: "attributes" }, el("h3", { text: "CloudEvent" }), pairs(attributes))] : [];
  if (whole.size === 0) parts.push(el("p", { class: "soft", text: "The answer has no body." }));
  else if (isJson(kind)) parts.push(showJson(await whole.text(), kind));
  else if (kind.startsWith("text/")) parts.push(showText(await whole.text()));
  else parts.push(bytesView(whole, `${description.name ?? "answer"}${extension(kind)}`));
  fill(page.result, ...parts);
  return whole.size;
}

/** The whole body, with a count of what has come so far: a function may send it piece by piece. */
async function readWhole(response, type) {
  if (!response.body) return new Blob([], { type });
  const chunks = [];
  let size = 0;
  for await (const chunk of chunksOf(response.body)) {
    chunks.push(chunk);
    size += chunk.length;
    fill(page.result, el("p", { class: "soft", text: `${bytes(size)} received` }));
  }
  return new Blob(chunks, { type });
}

function showJson(text, kind) {
  let value;
  try {
    value = parseExactly(text);
  } catch {
    return showText(text);
  }
  if (kind === "application/problem+json") return showProblem(value);
  fill(page["answer-tools"], copyButton(() => text, "the answer"));
  return jsonView(value);
}

function showText(text) {
  fill(page["answer-tools"], copyButton(() => text, "the answer"));
  return el("pre", { class: "plain code", text });
}

function showProblem(problem) {
  const message = problem.detail ?? problem.title;
  if (problem.field) {
    const inForm = !page.form.hidden && markField(page.form, problem.field, message);
    if (!inForm && !page.raw.hidden) markRaw(message);
  }
  const kind = problem.detail ? problem.title : null;
  return el("div", { class: "problem", role: "alert" }, el("h3", {}, ...prose(message)),
    el("p", { class: "soft" }, kind, kind && problem.field ? " · " : null, problem.field ? el("code", { text: problem.field }) : null));
}

function showBroken(error) {
  if (error.name === "AbortError") {
    find(".stream-live", page.result)?.classList.remove("stream-live");
    page.status.append(el("span", { class: "soft", text: "Stopped" }));
    if (!page.result.querySelector(".stream")) fill(page.result, el("p", { class: "soft", text: "Stopped before the answer came." }));
    return;
  }
  fill(page.status, el("strong", { class: "failed", text: "No answer" }));
  fill(page.result, el("div", { class: "problem", role: "alert" }, el("h3", { text: "The function did not answer" }),
    el("p", { text: `${error.message}. It may have stopped: see its log, or reload this page.` })));
}

/** Items as they come: strings run together as text, anything else is a line of its own. */
async function showStream({ response, begun, first }) {
  const items = el("div", { class: "stream-items" });
  const text = el("div", { class: "stream-text stream-live" });
  const tally = el("p", { class: "tally", role: "status" });
  fill(page.result, el("div", { class: "stream" }, text, items), tally);
  let [count, size, firstItem, ended] = [0, 0, null, false];
  for await (const { event, data } of serverSentEvents(response)) {
    size += data.length;
    if (event === "error") items.append(showProblem(parseExactly(data)));
    if (event !== "message") ended = true;
    else {
      count += 1;
      firstItem ??= performance.now();
      showItem(data, text, items);
    }
    const rate = count > 1 ? `, ${perSecond((count - 1) / (performance.now() - firstItem))}` : "";
    fill(tally, `${count} items, first after ${milliseconds((firstItem ?? first) - begun)}${rate}`);
  }
  text.classList.remove("stream-live");
  if (!ended) items.append(el("div", { class: "problem", role: "alert" }, el("h3", { text: "The stream broke off" }), el("p", { text: "The connection closed before the function said it was done." })));
  fill(page["answer-tools"], copyButton(() => text.textContent || items.textContent, "the answer"));
  return size;
}

function perSecond(rate) {
  const value = rate * 1000;
  return `${value < 100 ? value.toFixed(1) : Math.round(value)} a second`;
}

function showItem(data, text, items) {
  const value = parseExactly(data);
  if (typeof value === "string") text.append(value);
  else items.append(jsonView(value));
}

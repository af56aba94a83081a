// One call of the function: as a request of this page, as curl, and as `mlfunc invoke`.

/** Where the function is: this page's address, whatever path it is mounted under. */
export const endpoint = () => new URL("./", location.href.replace(/[?#].*$/, "")).href;

// HTTP binding of CloudEvents, 3.1.3.2: space, quote, percent and all that is not printable ASCII.
const percentEncode = (text) => text.replace(/[^\x21\x23\x24\x26-\x7e]/gu, (character) => encodeURIComponent(character));

export const percentDecode = (text) => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** An id that no other event of this page has. `crypto.randomUUID` is missing on plain http. */
export const newId = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** The headers that send `content` ({type, body}), as an event if `event` ({type, source, id}) is given. */
export function headersOf(content, event) {
  const headers = { "Content-Type": content.type };
  if (!event) return headers;
  return { ...headers, "ce-specversion": "1.0", "ce-id": percentEncode(event.id), "ce-source": percentEncode(event.source), "ce-type": percentEncode(event.type) };
}

const quote = (text) => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const continued = (...parts) => parts.filter(Boolean).join(" \\\n  ");

export function curlLine(content, event, { streams }) {
  const headers = Object.entries(headersOf(content, event)).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`);
  const data = content.file === undefined ? `--data-raw ${quote(content.body)}` : `--data-binary @${quote(content.file)}`;
  return continued(`curl -sS${streams ? "N" : ""} ${quote(endpoint())}`, ...headers, data);
}

export function invokeLine(content, event) {
  const asEvent = event ? [`--event --type ${quote(event.type)}`, `--source ${quote(event.source)}`] : [];
  const data = content.file === undefined ? `--data ${quote(content.body)}` : `--file ${quote(content.file)}`;
  const type = content.type === "application/json" ? null : `--content-type ${quote(content.type)}`;
  return continued(`mlfunc invoke ${quote(endpoint())}`, ...asEvent, type, data);
}

/** Server-sent events of a response as they come: `{event, data}`. */
export async function* serverSentEvents(response) {
  let pending = "";
  for await (const chunk of chunksOf(response.body.pipeThrough(new TextDecoderStream()))) {
    pending += chunk;
    const blocks = pending.split(/\r?\n\r?\n/);
    pending = blocks.pop();
    for (const block of blocks) yield oneEvent(block);
  }
}

/** Safari's streams are not async iterable. */
export async function* chunksOf(stream) {
  const reader = stream.getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
  } finally {
    reader.releaseLock();
  }
}

function oneEvent(block) {
  const lines = block.split(/\r?\n/).map((line) => /^(\w+): ?(.*)$/.exec(line)).filter(Boolean);
  const named = (name) => lines.filter(([, field]) => field === name).map(([, , value]) => value);
  return { event: named("event").at(-1) ?? "message", data: named("data").join("\n") };
}

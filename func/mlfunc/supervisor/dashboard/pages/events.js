// Recent events, each with where it went: event → trigger → function → reply → …

import { el, fill, keyed, write } from "./dom.js";
import { clock, duration } from "./words.js";

const STATES = { waiting: ["waiting", "Waiting"], retrying: ["waiting", "Is tried again"], delivered: ["good", "Delivered"], dead: ["bad", "Dead letter"], lost: ["bad", "Given up"], dropped: ["bad", "Trigger gone"] };
const DEEPEST = 8; // Replies of replies; what goes on in a circle ends somewhere.

export function showEvents(element, passages, { onlyFailed }) {
  const all = trees(passages);
  const shown = onlyFailed ? all.filter(hasFailed) : all;
  keyed(element, shown.length ? shown : [null], (one) => one?.number ?? "none", (one) => (one ? article() : nothing()));
  if (!shown.length) write(element.firstChild, onlyFailed ? "None of the last events has failed." : "No event has come yet. `mlfunc emit` sends one.");
}

const nothing = () => ({ element: el("p", { class: "note" }), update: () => {} });

/** Events that are no reply to another one that is shown; in each delivery the event that it was answered with. */
function trees(passages) {
  const known = new Map(passages.map((one) => [one.number, one]));
  const replies = new Set(passages.flatMap(({ deliveries }) => deliveries.map(({ reply }) => reply)));
  const withReplies = (one, depth) => ({ ...one, deliveries: one.deliveries.map((each) => ({ ...each,
    answer: depth < DEEPEST && known.has(each.reply) ? withReplies(known.get(each.reply), depth + 1) : null })) });
  return passages.filter(({ number }) => !replies.has(number)).map((one) => withReplies(one, 0));
}

const hasFailed = ({ deliveries }) => deliveries.some(({ state, answer }) => !["waiting", "delivered"].includes(state) || (answer && hasFailed(answer)));

/** An event that is as before is left as it was: open, selected, read. */
function article() {
  const element = el("article", { class: "passage" });
  let before = "";
  return { element, update: (one) => {
    const now = JSON.stringify(one);
    if (now !== before) fill(element, ...eventView(one));
    before = now;
  } };
}

function eventView({ at, type, id, source, subject, broker, namespace, data, deliveries }) {
  const about = [["id", id], ["source", source], ["subject", subject], ["broker", namespace === "default" ? broker : `${namespace}/${broker}`], ["data", data]].filter(([, text]) => text);
  return [
    el("details", { class: "event" }, el("summary", {}, el("time", { class: "soft", text: clock(at) }), el("strong", { text: type }), el("span", { class: "soft clip", text: source })),
      el("dl", { class: "pairs" }, ...about.flatMap(([word, text]) => [el("dt", { text: word }), el("dd", { text })]))),
    el("ul", { class: "path" }, ...(deliveries.length ? deliveries.map(deliveryView) : [el("li", { class: "soft", text: "No trigger takes it." })])),
  ];
}

function deliveryView({ trigger, subscriber, state, attempts, status, seconds, problem, answer }) {
  const [kind, word] = STATES[state] ?? ["soft", state];
  const facts = [status === null ? null : `status ${status}`, seconds === null ? null : duration(seconds), attempts > 1 ? `${attempts} attempts` : null].filter(Boolean).join(", ");
  return el("li", {}, el("div", { class: "hop" }, el("span", { class: "soft", text: trigger }), arrow(), el("strong", { text: subscriber }), el("span", { class: `state ${kind}`, text: word }), el("span", { class: "soft", text: facts })),
    problem && state !== "delivered" ? el("p", { class: "trouble", text: problem }) : null,
    answer ? el("div", { class: "answer" }, el("span", { class: "soft", text: "answered with" }), ...eventView(answer)) : null);
}

const arrow = () => el("span", { class: "soft", text: "→" });

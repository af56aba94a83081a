// What the revisions of a function have together.

const NONE = { starting: 0, ready: 0, in_flight: 0, waiting: 0, rates: {}, rate: 0, p50: null, p99: null, instances: {} };

export const keyOf = ({ namespace }, revision) => `${namespace}/${revision.name}`;

export const keysOf = (one) => one.revisions.map((revision) => keyOf(one, revision));

export const liveOf = (page, one, revision) => page.live[keyOf(one, revision)] ?? NONE;

export function together(page, one) {
  const all = one.revisions.map((revision) => liveOf(page, one, revision));
  const sum = (name) => all.reduce((total, each) => total + each[name], 0);
  // The quantiles of several revisions cannot be put together: shown are those of the busiest.
  const busiest = all.reduce((best, each) => (each.p50 !== null && (best.p50 === null || each.rate > best.rate) ? each : best), NONE);
  const instances = all.flatMap((each) => Object.values(each.instances));
  return { starting: sum("starting"), ready: sum("ready"), in_flight: sum("in_flight"), waiting: sum("waiting"), rate: sum("rate"),
    rates: rates(all), p50: busiest.p50, p99: busiest.p99, ...slots(instances), backlog: instances.reduce((total, each) => total + each.backlog, 0), instances };
}

function rates(all) {
  const found = {};
  for (const { rates: own } of all) for (const [code, number] of Object.entries(own)) found[code] = (found[code] ?? 0) + number;
  return found;
}

/** The share of all slots' time that was used. */
function slots(instances) {
  const told = instances.filter(({ busy }) => busy !== null);
  const count = told.reduce((total, each) => total + each.slots, 0);
  return { slots: instances.reduce((total, each) => total + each.slots, 0), busy: count ? told.reduce((total, { busy, slots: own }) => total + busy * own, 0) / count : null };
}

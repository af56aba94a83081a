// The samples of each revision over the last half hour. A sample holds until the next one.

const KEPT = 30 * 60;
const MOST = 3600;
const NAMES = ["starting", "ready", "inFlight", "waiting", "rate", "p99"];
const NOTHING = Object.fromEntries(NAMES.map((name) => [name, 0]));

const points = new Map(); // By NAMESPACE/REVISION: [{at, ...sample}], oldest first.

export function begin(told) {
  points.clear();
  for (const [revision, rows] of Object.entries(told)) {
    points.set(revision, rows.map(([at, ...values]) => ({ at, ...Object.fromEntries(NAMES.map((name, index) => [name, values[index] ?? 0])) })));
  }
}

/** How things are now; revisions that are not told of have nothing. */
export function add(at, live) {
  for (const revision of new Set([...points.keys(), ...Object.keys(live)])) {
    const now = live[revision];
    const sample = now ? { starting: now.starting, ready: now.ready, inFlight: now.in_flight, waiting: now.waiting, rate: now.rate, p99: now.p99 ?? 0 } : NOTHING;
    append(revision, at, sample);
  }
}

function append(revision, at, sample) {
  const own = points.get(revision) ?? [];
  points.set(revision, own);
  const last = own.at(-1) ?? NOTHING;
  if (NAMES.some((name) => last[name] !== sample[name])) own.push({ at, ...sample });
  let old = 0;
  while (own.length - old > MOST || own[old + 1]?.at < at - KEPT) old += 1;
  own.splice(0, old);
  if (own.length === 1 && own[0].at < at - KEPT && NAMES.every((name) => !own[0][name])) points.delete(revision);
}

export const size = () => [...points.values()].reduce((sum, own) => sum + own.length, 0);

/** The sums over revisions as they are now. */
export const latest = (revisions) => Object.fromEntries(NAMES.map((name) => [name, revisions.reduce((sum, revision) => sum + (points.get(revision)?.at(-1)?.[name] ?? 0), 0)]));

/**
 * The sums over revisions of two kinds in each of `count` equal spans of time up to `now`: of each span the moment
 * with the most of both, so that what was short is seen, and what moves from one to the other is not seen twice.
 */
export function spans(revisions, [lower, upper], { now, seconds, count }) {
  const total = [new Float64Array(count), new Float64Array(count)];
  const width = seconds / count;
  for (const revision of revisions) {
    const own = points.get(revision) ?? [];
    let held = NOTHING;
    let next = 0;
    while (next < own.length && own[next].at <= now - seconds) held = own[next++];
    for (let index = 0; index < count; index += 1) {
      let top = held;
      for (const end = now - seconds + (index + 1) * width; next < own.length && own[next].at <= end; next += 1) {
        held = own[next];
        if (held[lower] + held[upper] > top[lower] + top[upper]) top = held;
      }
      total[0][index] += top[lower];
      total[1][index] += top[upper];
    }
  }
  return total;
}

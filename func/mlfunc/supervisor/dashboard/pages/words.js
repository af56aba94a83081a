// Numbers, times and states, as people read them.

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${(seconds * 1000).toFixed(2)} ms`;
  if (seconds < 0.1) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  return `${seconds.toFixed(1)} s`;
}

/** How long ago, in the largest unit that fits. */
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}

export const rate = (number) => (number === 0 ? "0" : number < 10 ? number.toFixed(1) : String(Math.round(number)));

export const percent = (part) => (part === null || part === undefined ? "–" : `${Math.round(part * 100)} %`);

export function bytes(count) {
  if (count < 1000) return `${count} B`;
  if (count < 1_000_000) return `${(count / 1000).toFixed(1)} kB`;
  if (count < 1_000_000_000) return `${Math.round(count / 1_000_000)} MB`;
  return `${(count / 1_000_000_000).toFixed(1)} GB`;
}

export const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

// A state is a word and a shape; its color only repeats it.
const PHASES = { ready: "good", draining: "soft", ended: "soft", backoff: "bad" };

export const phaseClass = (phase) => `state ${PHASES[phase] ?? "waiting"}`;

/** Of a function or a revision, with what serves it now. */
export function stateOf({ ready, reason }, { ready: serving, starting }) {
  if (ready === "False" || reason === "failed") return { word: "Failed", kind: "bad" };
  if (starting && !serving) return { word: "Starting", kind: "waiting" };
  if (ready !== "True") return { word: "Deploying", kind: "waiting" };
  return serving ? { word: "Ready", kind: "good" } : { word: "At zero", kind: "soft" };
}

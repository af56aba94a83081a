// What the supervisor tells: a stream of messages, open only while somebody looks at the page.
// A browser opens six connections to a host at most, so a page in the background must hold none.

const PATIENCE = 1500;

/** A stream of server-sent events: `on` has a listener for each name, `state` is told "open" or "lost". */
export class Stream {
  constructor(url, on, state = () => {}) {
    this.url = url;
    this.on = on;
    this.state = state;
    this.source = null;
    this.again = 0;
    this.look = () => (document.hidden ? this.stop() : this.start());
    document.addEventListener("visibilitychange", this.look);
    this.look();
  }

  start() {
    if (this.source) return;
    this.source = new EventSource(this.url);
    this.source.onopen = () => this.state("open");
    this.source.onerror = () => this.lost();
    for (const [name, listener] of Object.entries(this.on)) {
      this.source.addEventListener(name, (message) => listener(JSON.parse(message.data)));
    }
  }

  /** The browser tries again by itself after a stream that broke, but not after a reply that is none. */
  lost() {
    this.state("lost");
    if (this.source?.readyState !== EventSource.CLOSED) return;
    this.stop();
    this.again = setTimeout(() => this.look(), PATIENCE);
  }

  stop() {
    clearTimeout(this.again);
    this.source?.close();
    this.source = null;
  }

  close() {
    document.removeEventListener("visibilitychange", this.look);
    this.stop();
  }
}

import { KEEPALIVE } from "./harness.mjs";

/** The contract's heartbeats: per stream, after silence. */
export class Heartbeats {
  #last = new Map();
  #now = 0;

  constructor(period) {
    this.period = period;
  }

  wrote(sub) {
    this.#last.set(sub, this.#now);
  }

  gone(sub) {
    this.#last.delete(sub);
  }

  /** The heartbeats of each stream while the clock advances. */
  advance(ms) {
    this.#now += ms;
    const out = {};
    for (const [sub, last] of this.#last) {
      const count = Math.floor((this.#now - last) / this.period);
      if (count > 0) {
        out[sub] = KEEPALIVE.repeat(count);
        this.#last.set(sub, last + count * this.period);
      }
    }
    return out;
  }

  get streams() {
    return this.#last.size;
  }
}

// What the objects of an isolate hold in the module's memory.
//
// An isolate has 128 MB for all its objects, and that memory never shrinks. An object stays there for some
// time after its last request, although it can be read back. So beyond a limit, others are freed.
const MIB = 1024 * 1024;
const LOOKS = 16;

export class Holders {
  /** By a weak reference, in the order of their last use: a holder that is collected holds nothing. */
  #bytes = new Map();
  #sum = 0;
  #maxBytes;

  constructor(maxBytes = 32 * MIB) {
    this.#maxBytes = maxBytes;
  }

  /** Notes that a holder is used, and what it holds. `free` frees another one, if that is unused. */
  use(holder, bytes, free) {
    this.#set(holder, bytes);
    if (this.#sum <= this.#maxBytes) return;

    // A few at a time, as those in use cannot be freed, and may be many.
    let looks = LOOKS;
    for (const [other, held] of this.#bytes) {
      if (looks-- === 0 || this.#sum <= this.#maxBytes || other === holder) return;
      const object = other.deref();
      this.#set(other, object === undefined || free(object) ? 0 : held);
    }
  }

  #set(holder, bytes) {
    this.#sum += bytes - (this.#bytes.get(holder) ?? 0);
    this.#bytes.delete(holder);
    if (bytes > 0) this.#bytes.set(holder, bytes);
  }
}

// Records that Durable Objects serve.
import { subscribePath } from "./client-request.js";
import { keyProblem, refusalOfNobody } from "./record.js";
import { PublishError, refuse } from "./refused.js";

const HOST = "saacms-realtime-do";

const isNamespace = (value) => typeof value?.idFromName === "function" && typeof value.get === "function";

/** Throws if `value` is no binding to a class of Durable Objects. */
export function checkNamespace(what, value) {
  if (!isNamespace(value)) throw new TypeError(`${what} is not the binding of a Durable Object namespace`);
  return value;
}

/** The refusal of an event that no record can have, in the module's own words. */
export function refusalOfEvent(event) {
  const { slug, id } = event ?? {};
  const hasRecord = typeof slug === "string" && typeof id === "string" && keyProblem(slug, id) === undefined;
  return hasRecord ? undefined : refusalOfNobody(event);
}

/** `told` are options that the objects are to have. */
export class BoundRecords {
  #namespace;
  #cf;

  /** `namespace` is a function, because some hosts know their environment only at a request. */
  constructor(namespace, told) {
    this.#namespace = namespace;
    // Carried by `cf`, which a client cannot forge: the platform sets that of its requests.
    if (told !== undefined) this.#cf = { saacmsRealtime: told };
  }

  #stub(slug, id) {
    const namespace = this.#namespace();
    return namespace.get(namespace.idFromName(`${slug}:${id}`));
  }

  #request(path, init, host = HOST) {
    return new Request(`https://${host}/${path}`, this.#cf === undefined ? init : { ...init, cf: this.#cf });
  }

  async subscribe(slug, id, client) {
    const problem = keyProblem(slug, id);
    if (problem !== undefined) return refuse(problem);

    const { accept, header, method = "GET", signal, upgrade, page } = client;
    const headers = { Accept: accept };
    if (header !== undefined) headers["Last-Event-ID"] = header;
    // A page of another origin gets no WebSocket. The object decides that, by the host of the request.
    if (upgrade !== undefined) headers.Upgrade = upgrade;
    if (page?.origin !== undefined) headers.Origin = page.origin;
    const init = { method, headers };
    if (signal && upgrade === undefined) init.signal = signal;
    return this.#stub(slug, id).fetch(this.#request(subscribePath(client), init, page?.host));
  }

  async publish(event) {
    const refusal = refusalOfEvent(event);
    if (refusal !== undefined) throw await PublishError.of(refusal);

    const body = JSON.stringify(event);
    const headers = { "Content-Type": "application/json" };
    const request = this.#request("publish", { method: "POST", headers, body });
    const response = await this.#stub(event.slug, event.id).fetch(request);
    if (!response.ok) throw await PublishError.of(response);
  }

  /** Streams of objects are counted by the objects. */
  subscribers() {
    return 0;
  }

  stop() {}
}

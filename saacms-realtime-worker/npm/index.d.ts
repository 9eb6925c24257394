/**
 * The Durable Object of one record: its ring of events and its open streams.
 *
 * Settings are variables of the environment, all optional; see the package's README.
 */
export class SaacmsRealtimeDO {
  constructor(ctx: unknown, env: unknown);

  /** `GET …/subscribe` answers with the event stream, `POST …/publish` with 204. */
  fetch(request: Request): Response | Promise<Response>;
}

/** A whole Worker: the HTTP API in front of the objects. */
declare const worker: {
  fetch(request: Request, env: unknown, ctx?: unknown): Promise<Response>;
};
export default worker;

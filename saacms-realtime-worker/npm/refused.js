/** An event was refused. `problem` is the problem document (RFC 9457), where there was one. */
export class PublishError extends Error {
  name = "PublishError";

  constructor(status, text) {
    let problem;
    try {
      problem = JSON.parse(text);
    } catch {
      // Not an answer of ours.
    }
    const reason = problem?.detail ?? problem?.title ?? text.slice(0, 200);
    super(`the event was refused with ${status}: ${reason}`);
    this.status = status;
    this.problem = problem;
  }

  static async of(response) {
    return new PublishError(response.status, await response.text());
  }
}

/** The answer to a request that names no record. */
export const refuse = (problem) =>
  new Response(problem, { status: JSON.parse(problem).status, headers: { "Content-Type": "application/problem+json" } });

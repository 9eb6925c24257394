// The package's Worker, which also tells how many objects were made, or made again after they had slept.
import worker, { SaacmsRealtimeDO as Base } from "./index.js";

let lives = 0;

export class SaacmsRealtimeDO extends Base {
  constructor(ctx, env) {
    super(ctx, env);
    lives += 1;
  }
}

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/lives") return new Response(String(lives));
    return worker.fetch(request, env, ctx);
  },
};

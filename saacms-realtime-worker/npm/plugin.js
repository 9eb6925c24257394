import { BoundRecords, checkNamespace } from "./binding.js";
import { clientOfContext, clientOfRequest } from "./client-request.js";
import { LocalRecords } from "./in-process.js";
import { warnOnce } from "./log.js";
import { runtime } from "./runtime.js";
import { checkMembers, checkedVariables } from "./settings.js";

const SUBSCRIBE_ROUTE = "GET /api/saacms/v1/:collection/:id/subscribe";
const DEFAULT_BINDING = "SAACMS_REALTIME";
const OPTIONS = ["binding", "bindingName", "retention", "heartbeatMs", "onRefused"];

const warnOfOneIsolate = warnOnce(
  "realtime() has no binding, so an event reaches only clients of the isolate that published it; " +
    "pass { binding: env.SAACMS_REALTIME }",
);

function readOptions(options) {
  checkMembers("The argument of realtime()", options, OPTIONS);
  const { onRefused = "throw" } = options;
  if (!["throw", "warn"].includes(onRefused)) throw new TypeError('onRefused must be "throw" or "warn"');
  return { ...options, onRefused };
}

/** The options that reach an object. It is also told that there are none, to forget those it had. */
function toldOf({ retention, heartbeatMs }) {
  checkedVariables({ retention, heartbeatMs });
  return { retention, heartbeatMs };
}

/** The records of a plugin: in objects, or in this process. */
function recordsOf(options) {
  const { binding, bindingName } = options;
  if (binding != null) {
    checkNamespace("options.binding", binding);
    return new BoundRecords(() => binding, toldOf(options));
  }

  // A Worker's environment is known before its first request.
  if (bindingName !== undefined && runtime.env !== undefined) {
    const namespace = () => checkNamespace(`env.${bindingName}`, runtime.env[bindingName]);
    return new BoundRecords(namespace, toldOf(options));
  }
  return new LocalRecords(options, { ticks: runtime.ticks });
}

/** The plugin: in place of `realtime` of `@saacms/plugin-realtime`, of which it is no copy. */
export function realtime(given = {}) {
  const options = readOptions(given ?? {});
  const records = recordsOf(options);
  const isLocal = records instanceof LocalRecords;
  const warnOfContext = warnOnce(
    "the handler's context has neither `req.raw` nor `req.header`, so the last event ID of a client is not " +
      "known: a client that reconnects gets no replay",
  );

  function subscribe(context) {
    if (isLocal && runtime.ticks) warnOfOneIsolate();
    const client = clientOfContext(context);
    if (client === undefined) warnOfContext();
    const [slug, id] = ["collection", "id"].map((name) => context.req.param(name) ?? "");
    return records.subscribe(slug, id, client ?? { accept: "text/event-stream" });
  }

  const publisher = {
    async publish(event) {
      try {
        await records.publish(event);
      } catch (error) {
        if (options.onRefused === "throw") throw error;
        console.warn(`saacms-realtime: ${error.message}`, error.problem ?? error);
      }
    },

    stop() {
      records.stop();
    },

    __subscriberCount(slug, id) {
      return records.subscribers(slug, id);
    },
  };

  return {
    // That of the plugin in whose place it is, by which hosts find it.
    name: "@saacms/plugin-realtime",
    version: "0.0.0",
    routes: { [SUBSCRIBE_ROUTE]: subscribe },
    services: { realtime: publisher },
  };
}

/** The objects of an environment, for hosts without the plugin. */
function objectsOf(env) {
  const name = env?.SAACMS_REALTIME_BINDING || DEFAULT_BINDING;
  const namespace = checkNamespace(`env.${name}`, env?.[name]);
  return new BoundRecords(() => namespace);
}

/** Answers a client's request by the stream of a record. */
export async function subscribe(request, env, slug, id) {
  return objectsOf(env).subscribe(String(slug), String(id), clientOfRequest(request));
}

/** Publishes an event. Rejects if it is refused. */
export async function publish(env, event) {
  return objectsOf(env).publish(event);
}

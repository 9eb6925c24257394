// The plugin's options as variables of the environment, which is how the module reads them.
import { checkVariables } from "./record.js";

/** The names of options, by the variable that the module's errors name. */
const NAMES = {
  SAACMS_REALTIME_MAX_EVENTS: "retention.maxEvents",
  SAACMS_REALTIME_MAX_AGE: "retention.maxAgeMs",
  SAACMS_REALTIME_HEARTBEAT: "heartbeatMs",
};

/** Throws if `value` is no object, or has a member that is not in `names`: nothing is ignored. */
export function checkMembers(what, value, names) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError(`${what} must be an object`);
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) throw new TypeError(`${what} has no member \`${name}\`, only ${names.join(", ")}`);
  }
}

function set(variables, variable, value, unit) {
  if (value === undefined) return;
  if (typeof value !== "number") throw new TypeError(`${NAMES[variable]} must be a number`);
  variables[variable] = `${value}${unit}`;
}

function variablesOf({ retention, heartbeatMs } = {}) {
  const variables = {};
  if (retention !== undefined) {
    checkMembers("retention", retention, ["maxEvents", "maxAgeMs"]);
    set(variables, "SAACMS_REALTIME_MAX_EVENTS", retention.maxEvents, "");
    set(variables, "SAACMS_REALTIME_MAX_AGE", retention.maxAgeMs, "ms");
  }
  set(variables, "SAACMS_REALTIME_HEARTBEAT", heartbeatMs, "ms");
  return variables;
}

/**
 * The variables of `{ retention, heartbeatMs }`, within their ranges: a bad option is an error of the
 * host, not of its first client.
 */
export function checkedVariables(options) {
  const variables = variablesOf(options);
  try {
    checkVariables({ SAACMS_REALTIME_STORAGE: "off", ...variables });
  } catch (error) {
    const name = (text, [variable, option]) => text.replaceAll(variable, option);
    throw new RangeError(Object.entries(NAMES).reduce(name, error.message), { cause: error });
  }
  return variables;
}

/** Options that a request tells, as lines of variables. Throws if they make no sense. */
export function linesOf(told) {
  checkMembers("cf.saacmsRealtime", told, ["retention", "heartbeatMs"]);
  return Object.entries(checkedVariables(told))
    .map(([variable, value]) => `${variable}=${value}`)
    .join("\n");
}

/** Lines of variables as a person reads them. */
export function shown(lines) {
  const named = Object.entries(NAMES).reduce((text, [variable, option]) => text.replace(variable, option), lines);
  return named === "" ? "no options" : named.replaceAll("\n", ", ").replaceAll("=", " = ");
}

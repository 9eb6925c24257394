// Starts workerd with the built package, and reads event streams over plain sockets.
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import WebSocket from "ws";

export const HERE = dirname(fileURLToPath(import.meta.url));
export const VECTORS =
  process.env.SAACMS_VECTORS ?? join(HERE, "../../saacms-realtime-core/tests/vectors");
export const PACKAGE = process.env.SAACMS_WORKER_PACKAGE ?? join(HERE, "../../target/worker");

/** Releases before, among and after those that do not report that a client is gone. */
export const RELEASES = ["workerd-0426", "workerd-0730", "workerd"];
export const NEWEST = "workerd";

const TIMEOUT = 20_000;

function binary(release) {
  const own = createRequire(join(HERE, "node_modules", release, "package.json"));
  const cpu = { x64: "64", arm64: "arm64" }[process.arch];
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@cloudflare/workerd-${platform}-${cpu}`;
  return own.resolve(`${name}/bin/workerd${platform === "windows" ? ".exe" : ""}`);
}

const text = (value) => JSON.stringify(String(value));

/** The modules of the package in a Worker, its own Worker first. */
function packageModules() {
  if (!existsSync(join(PACKAGE, "module.wasm"))) throw new Error(`no module.wasm in ${PACKAGE}: build first`);
  const isModule = (name) => /\.(js|wasm)$/.test(name) && !["index.js", "node.js", "client.js", "websocket.js"].includes(name);
  return ["index.js", ...readdirSync(PACKAGE).filter(isModule)];
}

function config({ files, vars, sql, address, flags, namespaces, date }) {
  const modules = files.map((name) => [name, name.endsWith(".wasm") ? "wasm" : "esModule"]);
  const bindings = Object.entries(vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "disk", disk = (path = "store", writable = true)),
  ],
  sockets = [(name = "http", address = ${text(address)}, http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [
    ${modules.map(([name, kind]) => `(name = ${text(name)}, ${kind} = embed ${text(name)}),`).join("\n    ")}
  ],
  compatibilityDate = ${text(date)},
  compatibilityFlags = [${flags.map(text).join(", ")}],
  durableObjectNamespaces = [
    ${[...new Set(Object.values(namespaces))].map((name) => `(className = ${text(name)}, uniqueKey = ${text(name)}, enableSql = ${sql}),`).join("\n    ")}
  ],
  durableObjectStorage = (localDisk = "disk"),
  bindings = [
    ${Object.entries(namespaces).map(([name, type]) => `(name = ${text(name)}, durableObjectNamespace = ${text(type)}),`).join("\n    ")}
    ${bindings.join(",\n    ")}
  ],
);
`;
}

/**
 * Starts a Worker: the package's own, `main`, a file of ./workers that imports it, or that of the files
 * in `bundle`, a folder, of which `worker.mjs` is the first.
 *
 * @returns an object with `url`, `kill()`, `restart()` (same storage) and `stop()`.
 */
export async function start({
  release = NEWEST,
  main,
  bundle,
  vars = {},
  sql = true,
  address = "127.0.0.1:0",
  flags = ["enable_request_signal"],
  extra = {},
  date = "2026-04-01",
  namespaces = { SAACMS_REALTIME: "SaacmsRealtimeDO" },
  log = process.env.SAACMS_WORKER_LOG ? "inherit" : "ignore",
} = {}) {
  const folder = mkdtempSync(join(tmpdir(), "saacms-worker-"));
  mkdirSync(join(folder, "store"));
  const files = bundle === undefined ? packageModules() : ["worker.mjs", ...readdirSync(bundle).filter((name) => name !== "worker.mjs")];
  for (const name of files) cpSync(join(bundle ?? PACKAGE, name), join(folder, name));
  if (main !== undefined) {
    cpSync(join(HERE, "workers", main), join(folder, "worker.mjs"));
    files.unshift("worker.mjs");
  }
  for (const [name, path] of Object.entries(extra)) {
    cpSync(path, join(folder, name));
    files.push(name);
  }
  const worker = { folder, url: "", process: undefined };
  /** Changes settings for the next start. */
  worker.configure = (vars) => {
    const settings = main === undefined && bundle === undefined ? { SAACMS_REALTIME_OPEN_PUBLISH: "true", ...vars } : vars;
    const text = config({ files, vars: settings, sql, address, flags, namespaces, date });
    writeFileSync(join(folder, "worker.capnp"), text);
  };
  worker.configure(vars);
  worker.launch = async () => {
    const child = spawn(binary(release), ["serve", "--experimental", "--control-fd=3", "worker.capnp"], {
      cwd: folder,
      stdio: ["ignore", log, log, "pipe"],
    });

    worker.process = child;
    const port = await within("workerd to listen", (resolve, reject) => {
      let said = "";
      child.stdio[3].on("data", (data) => {
        said += data;
        const line = said.split("\n").find((line) => line.includes('"listen"'));
        if (line) resolve(JSON.parse(line).port);
      });
      child.once("exit", (code) => reject(new Error(`workerd ended with ${code}`)));
    });
    worker.url = `http://127.0.0.1:${port}`;
  };
  // SIGTERM would wait for open streams.
  worker.kill = () =>
    new Promise((resolve) => {
      if (worker.process.exitCode !== null || worker.process.signalCode !== null) return resolve();
      worker.process.once("exit", resolve);
      worker.process.kill("SIGKILL");
    });
  worker.restart = async () => {
    await worker.kill();
    await worker.launch();
  };
  worker.stop = async () => {
    await worker.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  await worker.launch();
  return worker;
}

/** Whether a Worker's databases, or their logs, have this text in a file. */
export function stores(worker, text) {
  const entries = readdirSync(join(worker.folder, "store"), { recursive: true, withFileTypes: true });
  return entries.some((entry) => {
    try {
      return entry.isFile() && readFileSync(join(entry.parentPath ?? entry.path, entry.name)).includes(text);
    } catch (error) {
      // An object has deleted its database.
      if (error.code !== "ENOENT") throw error;
      return false;
    }
  });
}

/** Adds a timeout to a promise. The error names what it waited for. */
export function within(what, run, timeout = TIMEOUT) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), timeout);
    const settle = (done) => (value) => {
      clearTimeout(timer);
      done(value);
    };
    run(settle(resolve), settle(reject));
  });
}

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** Waits until `check` returns a truthy value, and returns it. */
export async function until(what, check, timeout = TIMEOUT) {
  const end = Date.now() + timeout;
  for (;;) {
    const answer = await check();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}

/** Sends a request with a timeout. Returns status, headers and text. */
export async function ask(url, init = {}) {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(TIMEOUT) });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

export const publish = (base, event, init = {}) =>
  ask(`${base}/publish`, { method: "POST", body: JSON.stringify(event), ...init });

/** An event of the record posts/`id`. */
export const changed = (id, etag, record = { v: etag }) => ({
  type: "changed", slug: "posts", id, record, etag,
});

export const frame = ({ type, etag, record }) =>
  `event: ${type}\nid: ${etag}\ndata: ${JSON.stringify(record)}\n\n`;

export const KEEPALIVE = ":keepalive\n\n";

/** What a client has received, without the place of one that named no last event ID, which is in `place`. */
class Received {
  text = "";
  place = undefined;
  ended = false;

  receive(data) {
    this.text += data;
    const [, place] = this.text.match(/^:keepalive\n\nid: ([0-9a-f]{16}\.\d+)\n\n/) ?? [];
    if (place === undefined || this.place !== undefined) return;
    this.place = place;
    this.text = this.text.replace(`id: ${place}\n\n`, "");
  }

  /** The IDs of events and resyncs. */
  get ids() {
    return [...this.text.matchAll(/^id: (.*)$/gm)].map(([, id]) => id);
  }

  has(text) {
    return until(`it has ${JSON.stringify(text)}, it has ${JSON.stringify(this.text.slice(-300))}`,
      () => this.text.includes(text));
  }

  async is(text) {
    await until(`it is as long as expected; has ${JSON.stringify(this.text.slice(0, 500))}`,
      () => this.text.length >= text.length || this.ended);
    if (this.text !== text) {
      throw new Error(`it is ${JSON.stringify(this.text)}, expected ${JSON.stringify(text)}`);
    }
  }
}

/** An open event stream. `pause()` stops reading from the socket. */
export class Stream extends Received {
  static open(url, headers = {}) {
    return within(`an answer of ${url}`, (resolve, reject) => {
      const request = http.get(url, { agent: false, headers: { accept: "text/event-stream", ...headers } });
      request.once("error", reject);
      request.once("response", (response) => {
        const stream = new Stream();
        Object.assign(stream, { request, response, status: response.statusCode, headers: response.headers });
        response.setEncoding("utf8");
        response.on("data", (data) => stream.receive(data));
        response.on("close", () => (stream.ended = true));
        response.on("error", () => (stream.ended = true));
        resolve(stream);
      });
    });
  }

  pause() {
    this.response.pause();
  }

  resume() {
    this.response.resume();
  }

  /** Drops the connection without ending the HTTP exchange. */
  leave() {
    this.request.destroy();
  }
}

/** The bytes after which a client tells what it has read. */
const READ_STEP = 256 * 1024;

/**
 * An open WebSocket. It tells what it has read, unless `tells` is false; `closed` has code and reason once
 * it has ended.
 */
export class Socket extends Received {
  closed = undefined;
  messages = 0;
  read = 0;
  #toldRead = 0;

  static async open(url, options) {
    const socket = await Socket.ask(url, options);
    if (!(socket instanceof Socket)) throw new Error(`refused with ${socket.status}: ${socket.text}`);
    return socket;
  }

  /** Opens a WebSocket, or resolves with the status, the headers and the text that refuse it. */
  static ask(url, { headers = {}, last, tells = true } = {}) {
    const query = last === undefined ? "" : `?lastEventId=${encodeURIComponent(last)}`;
    return within(`an answer of ${url}`, (resolve, reject) => {
      const web = new WebSocket(url.replace(/^http/, "ws") + query, { headers });
      const socket = Object.assign(new Socket(), { web, tells });
      web.on("message", (data, isBinary) => socket.#receive(data, isBinary));
      web.on("close", (code, reason) => {
        socket.ended = true;
        socket.closed = { code, reason: String(reason) };
      });
      web.once("open", () => resolve(socket));
      web.on("error", reject);
      web.once("unexpected-response", (request, response) => {
        const { statusCode: status, headers } = response;
        // An event stream does not end.
        if (headers["content-type"] === "text/event-stream") {
          request.destroy();
          return resolve({ status, headers, text: "" });
        }
        let text = "";
        response.on("data", (data) => (text += data));
        response.on("end", () => resolve({ status, headers, text }));
      });
    });
  }

  #receive(data, isBinary) {
    if (isBinary) throw new Error("a binary message");
    this.messages += 1;
    const text = String(data);
    this.receive(text);
    if (text !== KEEPALIVE) this.read += data.length;
    if (!this.tells || this.read - this.#toldRead < READ_STEP) return;
    this.#toldRead = this.read;
    this.send(`read ${this.read}`);
  }

  send(message) {
    this.web.send(message);
  }

  pause() {
    this.web.pause();
  }

  resume() {
    this.web.resume();
  }

  hasClosed(code) {
    return until(`it is closed with ${code}, it is ${JSON.stringify(this.closed)}`, () => this.closed?.code === code);
  }

  /** Drops the connection without a close frame. */
  leave() {
    this.web.terminate();
  }
}

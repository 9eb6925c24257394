// Folders in which a host of the plugin finds the package that was packed, in place of the plugin.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { HERE, PACKAGE, within } from "./harness.mjs";

const NAME = "@saacms/realtime";
const MODULES = join(HERE, "node_modules");

/** Packs the package as npm publishes it, and returns the archive's files with their sizes. */
function pack(folder) {
  const printed = execFileSync("npm", ["pack", "--json", "--pack-destination", folder], { cwd: PACKAGE, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const [{ filename, files, size }] = JSON.parse(printed);
  return { archive: join(folder, filename), files, size };
}

/**
 * Installs the hosts of ./hosts, each with one import changed.
 *
 * @returns the `folder`; `files` and `size` of the package; `remove()`.
 */
export function install() {
  const folder = mkdtempSync(join(tmpdir(), "saacms-host-"));
  const target = join(folder, "node_modules", NAME);
  mkdirSync(target, { recursive: true });
  const { archive, files, size } = pack(folder);
  execFileSync("tar", ["-xzf", archive, "-C", target, "--strip-components=1"]);
  for (const name of readdirSync(MODULES).filter((name) => !name.startsWith("."))) {
    symlinkSync(join(MODULES, name), join(folder, "node_modules", name));
  }

  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const name of readdirSync(join(HERE, "hosts"))) {
    const text = readFileSync(join(HERE, "hosts", name), "utf8");
    writeFileSync(join(folder, name), text.replace('"@saacms/plugin-realtime"', JSON.stringify(NAME)));
  }
  return { folder, files, size, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Bundles a Worker as wrangler does. Returns the folder with its modules. */
export async function bundle(folder, main) {
  const { build } = await import("esbuild");
  const outdir = mkdtempSync(join(folder, "bundle-"));
  await build({
    absWorkingDir: folder,
    entryPoints: { worker: main },
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    target: "es2022",
    conditions: ["workerd"],
    external: ["cloudflare:*"],
    loader: { ".wasm": "copy" },
    assetNames: "[name]",
    logLevel: "warning",
  });
  return outdir;
}

/** Runs a host as a process that prints its port. */
export async function run(folder, command, ...args) {
  const child = spawn(command, args, { cwd: folder, stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NO_COLOR: "1" } });
  const port = await within(`${command} to listen`, (resolve, reject) => {
    let said = "";
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said}`)));
    child.stdout.on("data", (data) => {
      said += data;
      const [, port] = said.match(/port (\d+)/) ?? [];
      if (port !== undefined) resolve(port);
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        child.removeAllListeners("exit");
        child.once("exit", resolve);
        child.kill("SIGKILL");
      }),
  };
}

/** The program of a runtime that npm installs, or `undefined` if it has none for this machine. */
export function program(scope, path) {
  const folders = existsSync(join(MODULES, scope)) ? readdirSync(join(MODULES, scope)) : [];
  return folders.map((name) => join(MODULES, scope, name, path)).find((file) => existsSync(file));
}

// Part of the build: changes what wasm-bindgen wrote, so that the package starts the WebAssembly
// module itself. Runtimes differ in how they load one.
import { readFileSync, writeFileSync } from "node:fs";

const [, , path] = process.argv;
let text = readFileSync(path, "utf8");

function replace(pattern, replacement) {
  if (!pattern.test(text)) throw new Error(`${path} has nothing like ${pattern}: wasm-bindgen changed`);
  text = text.replace(pattern, replacement);
}

replace(/^import source wasmModule from .*$/m, "let wasmModule;");
// The package is flat: the functions in JavaScript move beside the module.
replace(/^(import .* from )["']\.\/snippets\/[^"']*["']/gm, '$1"./enqueue.js"');
replace(
  /^let wasmInstance = (.*);\nlet wasm = (.*);\nwasm\.__wbindgen_start\(\);$/m,
  `let wasmInstance;
let wasm;

export function start(compiled) {
    wasmModule = compiled;
    wasmInstance = $1;
    wasm = $2;
    wasm.__wbindgen_start();
}`,
);
writeFileSync(path, text);

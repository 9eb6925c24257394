// Remembers the memory of the module that is started next.
export const module = { memory: undefined };

const { Instance } = WebAssembly;
WebAssembly.Instance = function (...parts) {
  const instance = new Instance(...parts);
  module.memory = instance.exports.memory;
  return instance;
};

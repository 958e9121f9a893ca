// What compile.mjs and solcw both need: the pinned compiler and the settings an artifact is built with.
import { createRequire } from "node:module";

export const solc = createRequire(import.meta.url)("solc");

export const VERSION = "0.8.37";

export const SETTINGS = {
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none" },
  optimizer: { enabled: true, runs: 1000000 },
  viaIR: true,
};

export function requireVersion() {
  if (!solc.version().startsWith(`${VERSION}+`)) {
    throw new Error(`solc ${VERSION} is needed, npm installed ${solc.version()}; run npm ci`);
  }
}

// Compiles src/**/*.sol to artifacts/<ContractName>.json; with --check compares instead of writing.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SETTINGS, requireVersion, solc } from "./build.mjs";

const root = dirname(fileURLToPath(import.meta.url));
const artifactsDir = join(root, "artifacts");

// 2394 is said of every tstore. There is no other way to give a transient slot a name of its own choosing.
const EXPECTED_WARNINGS = new Set(["2394"]);

function readSources() {
  return Object.fromEntries(
    readdirSync(join(root, "src"), { recursive: true })
      .map((name) => `src/${name.replaceAll("\\", "/")}`)
      .filter((name) => name.endsWith(".sol"))
      .sort()
      .map((name) => [name, { content: readFileSync(join(root, name), "utf8") }]),
  );
}

// Length-prefixed fields, so that no two different sets of sources share a preimage.
function hashSources(names, sources, settings) {
  const hash = createHash("sha256");
  const field = (text) => {
    const bytes = Buffer.from(text, "utf8");
    hash.update(`${bytes.length}:`).update(bytes);
  };
  for (const name of [...names].sort()) {
    field(name);
    field(sources[name].content);
  }
  field(solc.version());
  field(JSON.stringify(settings));
  return hash.digest("hex");
}

function build() {
  requireVersion();
  const sources = readSources();
  const input = {
    language: "Solidity",
    sources,
    settings: {
      ...SETTINGS,
      outputSelection: {
        "*": {
          "*": [
            "abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode.object",
            "evm.deployedBytecode.immutableReferences",
          ],
        },
      },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const complaints = (output.errors ?? []).filter(
    ({ severity, errorCode }) => severity !== "info" && !EXPECTED_WARNINGS.has(errorCode),
  );
  if (complaints.length > 0) {
    throw new Error(complaints.map(({ formattedMessage }) => formattedMessage).join("\n"));
  }
  const artifacts = new Map();
  for (const [sourceName, contracts] of Object.entries(output.contracts)) {
    for (const [contractName, { abi, metadata, evm }] of Object.entries(contracts)) {
      // Interfaces have no bytecode; a library of internal functions has some, but nothing to call.
      if (evm.bytecode.object === "" || abi.length === 0) continue;
      if (artifacts.has(contractName)) throw new Error(`two contracts are called ${contractName}`);
      const artifact = {
        contractName,
        sourceName,
        compiler: solc.version(),
        settings: SETTINGS,
        sourceHash: hashSources(Object.keys(JSON.parse(metadata).sources), sources, SETTINGS),
        abi,
        bytecode: `0x${evm.bytecode.object}`,
        deployedBytecode: `0x${evm.deployedBytecode.object}`,
        // Where a deployment writes its own values, as [first byte, length]: all else is the same everywhere.
        immutables: Object.values(evm.deployedBytecode.immutableReferences ?? {})
          .flat()
          .map(({ start, length }) => [start, length])
          .sort(([one], [other]) => one - other),
      };
      artifacts.set(contractName, `${JSON.stringify(artifact, null, 2)}\n`);
    }
  }
  return artifacts;
}

function strays(artifacts) {
  if (!existsSync(artifactsDir)) return [];
  return readdirSync(artifactsDir).filter((name) => name.endsWith(".json") && !artifacts.has(name.slice(0, -5)));
}

function check(artifacts) {
  const differing = strays(artifacts).map((name) => `${name.slice(0, -5)}: an artifact without a source`);
  for (const [name, text] of artifacts) {
    const path = join(artifactsDir, `${name}.json`);
    if (!existsSync(path)) differing.push(`${name}: no artifact`);
    else if (readFileSync(path, "utf8") !== text) differing.push(`${name}: the artifact differs from its source`);
  }
  for (const line of differing) console.error(line);
  if (differing.length > 0) console.error("run: node contracts/compile.mjs");
  return differing.length === 0;
}

function write(artifacts) {
  mkdirSync(artifactsDir, { recursive: true });
  for (const name of strays(artifacts)) rmSync(join(artifactsDir, name));
  for (const [name, text] of artifacts) writeFileSync(join(artifactsDir, `${name}.json`), text);
}

const flags = process.argv.slice(2);
if (flags.some((flag) => flag !== "--check")) {
  console.error("usage: node contracts/compile.mjs [--check]");
  process.exit(2);
}
try {
  const artifacts = build();
  if (flags.includes("--check")) process.exitCode = check(artifacts) ? 0 : 1;
  else write(artifacts);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

// Compiles Executor as compile.mjs would, over and over: a line of JSON {path: text} in, the artifact or {error} out.
import { createInterface } from "node:readline";
import { SETTINGS, requireVersion, solc } from "../../contracts/build.mjs";

requireVersion();
const outputSelection = { "src/Executor.sol": { Executor: ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } };
for await (const line of createInterface({ input: process.stdin })) {
  const sources = Object.fromEntries(Object.entries(JSON.parse(line)).map(([path, content]) => [path, { content }]));
  const input = { language: "Solidity", sources, settings: { ...SETTINGS, outputSelection } };
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input)));
  const failed = errors.find(({ severity }) => severity === "error");
  if (failed) {
    console.log(JSON.stringify({ error: failed.message }));
    continue;
  }
  const { abi, evm } = contracts["src/Executor.sol"].Executor;
  const artifact = { abi, bytecode: `0x${evm.bytecode.object}`, deployedBytecode: `0x${evm.deployedBytecode.object}` };
  console.log(JSON.stringify(artifact));
}

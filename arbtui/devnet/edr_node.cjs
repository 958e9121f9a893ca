// hardhat's node, that is its engine EDR, behind HTTP on loopback: a pool with rules and words of its own.
// Arguments: the native module, chain id, block gas limit, then funded addresses. Blocks come by evm_mine alone.
// Its first line says the port; it ends when its standard input does.
"use strict";

const http = require("node:http");

const edr = require(process.argv[2]);
const chainId = BigInt(process.argv[3]);
const gasLimit = BigInt(process.argv[4]);
const funded = process.argv.slice(5);

async function main() {
  const context = new edr.EdrContext();
  await context.registerProviderFactory(edr.GENERIC_CHAIN_TYPE, edr.genericChainProviderFactory());
  const hardfork = edr.l1HardforkToString(edr.l1HardforkLatest());
  const genesisState = edr.l1GenesisState(edr.l1HardforkLatest());
  for (const address of funded) {
    genesisState.push({
      address: Buffer.from(address.slice(2), "hex"),
      balance: 10n ** 22n,
      code: new Uint8Array(),
    });
  }
  const provider = await context.createProvider(
    edr.GENERIC_CHAIN_TYPE,
    {
      allowBlocksWithSameTimestamp: true,
      allowUnlimitedContractSize: false,
      bailOnCallFailure: true,
      bailOnTransactionFailure: true,
      chainId,
      coinbase: Buffer.alloc(20, 0xc0),
      defaultTransactionGasLimit: 16_777_216n,
      genesisState,
      hardfork,
      initialBaseFeePerGas: 1_000_000_000n,
      minGasPrice: 0n,
      mining: { autoMine: false, blockGasLimit: gasLimit, memPool: { order: edr.MineOrdering.Priority } },
      network: { genesisBlockGasLimit: gasLimit },
      networkId: chainId,
      observability: {},
      ownedAccounts: [],
      precompileOverrides: [],
    },
    { enable: false, decodeConsoleLogInputsCallback: () => [], printLineCallback: () => {} },
    { subscriptionCallback: () => {} },
    edr.ContractDecoder.withContracts({}),
  );
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", async () => {
      const asked = JSON.parse(Buffer.concat(parts).toString());
      const answer = await provider.handleRequest(JSON.stringify(asked));
      const told = typeof answer.data === "string" ? JSON.parse(answer.data) : answer.data;
      response.setHeader("Content-Type", "application/json");
      response.end(JSON.stringify({ jsonrpc: "2.0", id: asked.id, ...told }));
    });
  });
  server.listen(0, "127.0.0.1", () => console.log(`Listening on 127.0.0.1:${server.address().port}`));
}

process.stdin.on("end", () => process.exit(0)).resume();
main();

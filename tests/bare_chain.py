"""Real pool bytecode on an anvil of a test's own, without the devnet: synchronous, one account, plain calls."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from arbtui.abi import encode_call
from arbtui.domain import BlockRef, Call, CallResult, Log
from arbtui.market import NeedsMore, Pool, read_calls, with_answers
from arbtui.units import Address, Wei, parse_address

ROOT = Path(__file__).parents[1]
ANVIL = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
V3_FACTORY = (
    ROOT / "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"
)
V2_FACTORY = ROOT / "node_modules/@uniswap/v2-core/build/UniswapV2Factory.json"
TRADER = ROOT / "contracts/artifacts/DevTrader.json"
TOKEN = ROOT / "contracts/artifacts/DevToken.json"
PLENTY = 2**200
_BATCH = 400

ON_A_CHAIN = [
    pytest.mark.chain,
    pytest.mark.skipif(
        not all(path.exists() for path in (ANVIL, V3_FACTORY, V2_FACTORY, TRADER)),
        reason="run make setup first",
    ),
]


class Chain:
    """The least that is needed of a node. Transactions are mined as they come, or in blocks of `mine`."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.me = parse_address(self.rpc("eth_accounts")[0])

    def close(self) -> None:
        self._connection.close()

    def rpc(self, method: str, *params: Any) -> Any:
        answer = self._post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    def _post(self, body: Any) -> Any:
        self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(self._connection.getresponse().read())

    def send(self, to: str | None, data: bytes) -> Any:
        """A transaction that must succeed; its receipt."""
        transaction = {"from": self.me, "data": "0x" + data.hex(), "gas": hex(16_000_000)}
        if to is not None:
            transaction["to"] = to
        sent = self.rpc("eth_sendTransaction", transaction)
        for _ in range(1000):
            receipt = self.rpc("eth_getTransactionReceipt", sent)
            if receipt is not None:
                break
            time.sleep(0.002)
        assert receipt["status"] == "0x1"
        return receipt

    def call(self, to: str, data: bytes) -> bytes:
        answer = self.rpc("eth_call", {"from": self.me, "to": to, "data": "0x" + data.hex()}, "latest")
        return bytes.fromhex(answer[2:])

    def refusal(self, to: str, data: bytes) -> str | None:
        """Why the call reverts; None where it does not."""
        try:
            self.call(to, data)
        except RuntimeError as error:
            return str(error)
        return None

    def deploy(self, artifact: Path, arguments: bytes = b"") -> Address:
        code = json.loads(artifact.read_text())["bytecode"].removeprefix("0x")
        return parse_address(self.send(None, bytes.fromhex(code) + arguments)["contractAddress"])

    def many(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """The whole answers (with "result" or "error") to many requests, in their order."""
        out: list[Any] = []
        for start in range(0, len(requests), _BATCH):
            body = [
                {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
                for number, (method, params) in enumerate(requests[start : start + _BATCH])
            ]
            out += sorted(self._post(body), key=lambda answer: answer["id"])
        return out

    def calls(self, calls: Sequence[tuple[str, bytes]], block: str = "latest") -> list[bytes | None]:
        """Return data of each call as from our account; None where it reverts."""
        answers = self.many(
            [
                ("eth_call", ({"from": self.me, "to": to, "data": "0x" + data.hex()}, block))
                for to, data in calls
            ]
        )
        return [bytes.fromhex(answer["result"][2:]) if "result" in answer else None for answer in answers]

    def results(self, calls: Sequence[Call]) -> list[CallResult]:
        answers = self.calls([(call.target, call.data) for call in calls])
        return [CallResult(answer is not None, answer or b"") for answer in answers]

    def read(self, pool: Pool) -> tuple[Pool, int]:
        """The pool as it is on the chain, by the loop that every caller follows, and the number of rounds."""
        step: Pool | NeedsMore = pool
        calls = read_calls(pool)
        rounds = 0
        while calls:
            step = with_answers(step, self.results(calls))
            calls = step.calls if isinstance(step, NeedsMore) else ()
            rounds += 1
        assert not isinstance(step, NeedsMore)
        return step, rounds

    def head(self, number: int | None = None) -> BlockRef:
        block = self.rpc("eth_getBlockByNumber", "latest" if number is None else hex(number), False)
        return BlockRef(
            int(block["number"], 16),
            block["hash"],
            block["parentHash"],
            int(block["timestamp"], 16),
            Wei(0),
            0,
            0,
        )

    def logs(self, block: BlockRef) -> list[Log]:
        return [
            Log(
                parse_address(row["address"]),
                tuple(row["topics"]),
                bytes.fromhex(row["data"][2:]),
                int(row["blockNumber"], 16),
                row["transactionHash"],
                int(row["logIndex"], 16),
            )
            for row in self.rpc("eth_getLogs", {"blockHash": block.hash})
        ]

    def mine(self, transactions: Sequence[tuple[str, bytes]]) -> BlockRef:
        """One block with these transactions in this order; all must succeed."""
        self.rpc("evm_setAutomine", False)
        try:
            nonce = int(self.rpc("eth_getTransactionCount", self.me, "latest"), 16)
            sent = self.many(
                [
                    (
                        "eth_sendTransaction",
                        (
                            {
                                "from": self.me,
                                "to": to,
                                "data": "0x" + data.hex(),
                                "gas": hex(4_000_000 if len(transactions) > 1 else 28_000_000),
                                "nonce": hex(nonce + place),
                            },
                        ),
                    )
                    for place, (to, data) in enumerate(transactions)
                ]
            )
            self.rpc("evm_mine")
        finally:
            self.rpc("evm_setAutomine", True)
        block = self.rpc("eth_getBlockByNumber", "latest", False)
        assert block["transactions"] == [answer["result"] for answer in sent]
        receipts = self.many([("eth_getTransactionReceipt", (name,)) for name in block["transactions"]])
        for place, receipt in enumerate(receipts):
            to, data = transactions[place]
            assert receipt["result"]["status"] == "0x1", (
                f"transaction {place} of {len(transactions)} failed: {int(receipt['result']['gasUsed'], 16)} gas,"
                f" {to} {data.hex()}"
            )
        return self.head()


@contextlib.contextmanager
def bare_chain(folder: Path) -> Iterator[Chain]:
    """An anvil on a free port of this machine for the length of a test module; its log in `folder`."""
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(ANVIL), "--port", "0", "--gas-limit", "60000000"], stdout=out, stderr=out
        )
    try:
        port = None
        deadline = time.monotonic() + 20
        while port is None and time.monotonic() < deadline:
            found = re.search(r"Listening on 127\.0\.0\.1:(\d+)", log.read_text())
            port = int(found[1]) if found else None
            time.sleep(0.02)
        assert port, log.read_text()
        connection = Chain(port)
        with contextlib.closing(connection):
            yield connection
    finally:
        process.terminate()
        process.wait(10)


def two_tokens(chain: Chain, spenders: list[Address]) -> tuple[Address, Address]:
    made = []
    for name in ("A", "B"):
        words = b"".join(
            [(96).to_bytes(32), (160).to_bytes(32), (18).to_bytes(32)]
            + [(1).to_bytes(32), name.encode().ljust(32, b"\0")] * 2
        )
        token = chain.deploy(TOKEN, words)
        with contextlib.suppress(RuntimeError, AssertionError):
            chain.send(token, encode_call("setMinter(address,bool)", chain.me, True))
        chain.send(token, encode_call("mint(address,uint256)", chain.me, PLENTY))
        for spender in spenders:
            chain.send(token, encode_call("approve(address,uint256)", spender, 2**256 - 1))
        made.append(token)
    first, second = sorted(made, key=str.lower)
    return first, second

"""A made-up chain behind the fake node: contracts as functions, logs, blocks that can be replaced.

What Multicall3, eth_getLogs and the blocks answer follows from it, and so do the ways a node refuses too much.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import decode, encode

from arbtui.abi import selector, topic
from arbtui.chain import JsonRpc, Node
from arbtui.units import Address, parse_address
from tests.fake_node import FakeNode, Fault, fake_node

MULTICALL = parse_address("0x" + "ca" * 20)
Contract = Callable[[bytes], bytes | None]
PAIR_CREATED = topic("PairCreated(address,address,address,uint256)")
POOL_CREATED = topic("PoolCreated(address,address,uint24,int24,address)")


def address(*parts: object) -> Address:
    """An address that the parts determine."""
    return parse_address("0x" + hashlib.sha256(repr(parts).encode()).hexdigest()[:40])


def words(*values: int | str) -> bytes:
    """ABI words of numbers (negative ones too) and addresses."""
    numbers = (int(value, 16) if isinstance(value, str) else value for value in values)
    return b"".join((number % 2**256).to_bytes(32) for number in numbers)


def contract(**answers: bytes | None) -> Contract:
    """Answers by name, all without arguments: `getReserves=words(1, 2, 3)`; None reverts, as what is unknown does."""
    by_selector = {selector(f"{name}()"): answer for name, answer in answers.items()}
    return lambda data: by_selector.get(data[:4])


@dataclass
class FakeMarket:
    """`most_calls`, `most_results` and `most_blocks` are what the node takes in one request; `bombs` burn all gas."""

    fake: FakeNode
    contracts: dict[str, Contract] = field(default_factory=dict)
    logs: list[dict[str, Any]] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    bombs: set[str] = field(default_factory=set)
    most_calls: int = 10**9
    most_results: int = 10**9
    most_blocks: int = 10**9
    asked_calls: list[int] = field(default_factory=list)
    asked_ranges: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fake.answers |= {
            "eth_chainId": lambda _: "0x7a69",
            "eth_call": self._call,
            "eth_getLogs": self._logs,
            "eth_getBlockByNumber": lambda params: self._block(params[0]),
            "eth_getBlockByHash": lambda params: self._block(self.hashes.index(params[0])),
        }
        self.mine(100)

    @property
    def head(self) -> int:
        return len(self.hashes) - 1

    def mine(self, blocks: int = 1, fork: int = 0) -> None:
        for number in range(len(self.hashes), len(self.hashes) + blocks):
            self.hashes.append("0x" + hashlib.sha256(f"{number}/{fork}".encode()).hexdigest())

    def reorganise(self, depth: int, fork: int = 1) -> None:
        """The newest `depth` blocks become others, and their logs are gone."""
        del self.hashes[-depth:]
        self.logs = [log for log in self.logs if int(log["blockNumber"], 16) <= self.head]
        self.mine(depth, fork)

    def put(self, where: str, what: Contract) -> None:
        self.contracts[where.lower()] = what

    def log(self, where: str, topics: list[str], data: bytes, block: int) -> None:
        self.logs.append(
            {
                "address": where.lower(),
                "topics": topics,
                "data": "0x" + data.hex(),
                "blockNumber": hex(block),
                "blockHash": self.hashes[block],
                "transactionHash": "0x" + hashlib.sha256(data).hexdigest(),
                "transactionIndex": "0x0",
                "logIndex": hex(len(self.logs)),
                "removed": False,
            }
        )

    def _block(self, number: Any) -> dict[str, Any] | None:
        at = self.head if number == "latest" else number if isinstance(number, int) else int(number, 16)
        if at > self.head:
            return None
        return {
            "number": hex(at),
            "hash": self.hashes[at],
            "parentHash": self.hashes[at - 1] if at else "0x" + "00" * 32,
            "timestamp": hex(1_700_000_000 + 12 * at),
            "baseFeePerGas": "0x1",
            "gasUsed": "0x0",
            "gasLimit": hex(30_000_000),
            "transactions": [],
        }

    def _call(self, params: list[Any]) -> str:
        call, at = params
        if isinstance(at, dict) and at.get("blockHash") not in self.hashes:
            raise Fault(-32000, "header not found")
        payload = bytes.fromhex(call["data"][2:])
        if call["to"].lower() != MULTICALL.lower():
            return "0x" + (self._answer(call["to"], payload) or b"").hex()
        (calls,) = decode(["(address,bool,bytes)[]"], payload[4:])
        self.asked_calls.append(len(calls))
        if len(calls) > self.most_calls:
            raise Fault(-32000, "out of gas")
        rows, burnt = [], False
        for target, _, data in calls:
            burnt = burnt or target.lower() in self.bombs
            answer = None if burnt else self._answer(target, data)
            rows.append((answer is not None, answer or b""))
        return "0x" + encode(["(bool,bytes)[]"], [rows]).hex()

    def _answer(self, target: str, data: bytes) -> bytes | None:
        # As the chain does it: a call to nothing succeeds and brings nothing.
        return self.contracts.get(target.lower(), lambda _: b"")(data)

    def _logs(self, params: list[Any]) -> list[dict[str, Any]]:
        asked = params[0]
        first, last = int(asked["fromBlock"], 16), int(asked["toBlock"], 16)
        self.asked_ranges.append((first, last))
        if last - first + 1 > self.most_blocks:
            raise Fault(-32602, f"block range is too wide: at most {self.most_blocks} blocks")
        wanted = [asked["address"]] if isinstance(asked["address"], str) else asked["address"]
        among = {item.lower() for item in wanted}
        found = [
            log
            for log in self.logs
            if first <= int(log["blockNumber"], 16) <= last
            and log["address"] in among
            and log["topics"][0] == asked["topics"][0]
        ]
        if len(found) > self.most_results:
            raise Fault(-32005, f"query returned more than {self.most_results} results")
        return found


@asynccontextmanager
async def fake_market() -> AsyncIterator[tuple[FakeMarket, Node]]:
    async with fake_node() as fake:
        market = FakeMarket(fake)
        async with JsonRpc(fake.url) as rpc:
            yield market, Node(rpc)


class V2Factory:
    """A made-up V2 factory whose list may be cut, and may lie."""

    def __init__(self, market: FakeMarket, name: str = "factory") -> None:
        self.market = market
        self.address = address(name)
        self.pairs: list[str] = []
        market.put(self.address, self._answer)

    def _answer(self, data: bytes) -> bytes | None:
        if data[:4] == selector("allPairsLength()"):
            return words(len(self.pairs))
        if data[:4] == selector("allPairs(uint256)"):
            index = int.from_bytes(data[4:36])
            return words(self.pairs[index]) if index < len(self.pairs) else None
        return None

    def pair(
        self, one: str, other: str, reserves: tuple[int, int] = (10**21, 10**21), *, says: str = ""
    ) -> Address:
        """A further pair of two tokens; `says` is the factory it names. `reserves` in the order of addresses."""
        token0, token1 = sorted((one, other), key=lambda token: int(token, 16))
        where = address(self.address, token0, token1, len(self.pairs))
        self.market.put(
            where,
            contract(
                token0=words(token0),
                token1=words(token1),
                factory=words(says or self.address),
                getReserves=words(*reserves, 0),
            ),
        )
        self.pairs.append(where)
        data = words(where, len(self.pairs))
        topics = [PAIR_CREATED, _topic(token0), _topic(token1)]
        self.market.log(self.address, topics, data, self.market.head)
        return where


def _topic(value: str | int) -> str:
    return "0x" + words(value).hex()


class V3Factory:
    """A made-up V3 factory: it tells of its pools by logs alone."""

    def __init__(self, market: FakeMarket, name: str = "v3 factory") -> None:
        self.market = market
        self.address = address(name)

    def pool(
        self,
        one: str,
        other: str,
        fee: int = 3_000,
        spacing: int = 60,
        liquidity: int = 10**21,
        sqrt_price: int = 1 << 96,
    ) -> Address:
        """A further pool. Its tokens must answer balanceOf, or it holds nothing."""
        token0, token1 = sorted((one, other), key=lambda token: int(token, 16))
        where = address(self.address, token0, token1, fee, len(self.market.logs))
        self.market.put(
            where,
            contract(
                token0=words(token0),
                token1=words(token1),
                factory=words(self.address),
                fee=words(fee),
                tickSpacing=words(spacing),
                slot0=words(sqrt_price, 0, 0, 0, 0, 0, 1),
                liquidity=words(liquidity),
            ),
        )
        topics = [POOL_CREATED, _topic(token0), _topic(token1), _topic(fee)]
        self.market.log(self.address, topics, words(spacing, where), self.market.head)
        return where


def token(symbol: bytes | None = None, decimals: bytes | None = None, balance: int = 10**21) -> Contract:
    """A token whose answers are these bytes; `balance` is everybody's."""
    by_selector = {
        selector("symbol()"): symbol,
        selector("decimals()"): decimals,
        selector("balanceOf(address)"): words(balance),
    }
    return lambda data: by_selector.get(data[:4])


def text(value: str) -> bytes:
    """A string as a contract answers it."""
    return bytes(encode(["string"], [value]))


def ordinary(market: FakeMarket, names: str) -> Iterator[Address]:
    """A token of 18 decimals for each name, at the address its name determines."""
    for name in names.split():
        where = address("token", name)
        market.put(where, token(text(name), words(18)))
        yield where

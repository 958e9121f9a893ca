"""A local chain under a test's own hand: mined when it says so, pools moved by the traders' contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from arbtui.abi import decode_address, encode_call
from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.chain import JsonRpc, Node
from arbtui.chain.rpc import data
from arbtui.config import Config, load_config
from arbtui.devnet import AddressBook, BookPool, Devnet, Traffic, open_devnet, plan
from arbtui.devnet.traffic import Trade
from arbtui.domain import Stage
from arbtui.engine import Tally
from arbtui.units import GWEI, Address


@contextmanager
def running_chain(folder: Path, seed: int = 1) -> Iterator[Devnet]:
    """A chain for a module; its state and cache in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARBTUI_STATE", str(folder / "state"))
        patch.setenv("ARBTUI_CACHE", str(folder / "cache"))
        devnet = asyncio.run(open_devnet(seed=seed))
        try:
            yield devnet
        finally:
            asyncio.run(devnet.stop())


def limited(config: Config, *bases: str) -> Config:
    """With these base tokens alone, by symbol."""
    return config.model_copy(update={"search": config.search.model_copy(update={"base_tokens": bases})})


@dataclass
class Hand:
    """Moves the chain. `book` has the addresses; every test's changes are undone at its end."""

    devnet: Devnet
    rpc: JsonRpc
    node: Node

    @property
    def book(self) -> AddressBook:
        return self.devnet.book

    async def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            await self.rpc.call("evm_mine")

    async def send(self, sender: Address, to: Address, signature: str, *args: Any) -> str:
        """A call from an unlocked account, mined at once."""
        call = {
            "from": sender,
            "to": to,
            "data": "0x" + encode_call(signature, *args).hex(),
            "gas": hex(3_000_000),
        }
        tx_hash: str = await self.rpc.call("eth_sendTransaction", [call])
        await self.mine()
        receipt = await self.node.receipt(tx_hash)
        assert receipt is not None, signature
        assert receipt.success, signature
        return tx_hash

    async def ask_address(self, to: Address, signature: str) -> Address:
        call = {"to": to, "data": "0x" + encode_call(signature).hex()}
        return decode_address(data(await self.rpc.call("eth_call", [call, "latest"]), signature), signature)

    def pool(self, pair: str, dex: str = "uniswap", kind: str = "uniswap_v2") -> BookPool:
        first, second = pair.split("/")
        return next(p for p in self.book.pools_of(first, second) if (p.dex, p.kind) == (dex, kind))

    async def dislocate(
        self, pair: str, offset_ppm: int, dex: str = "uniswap", kind: str = "uniswap_v2", mine: bool = True
    ) -> Address:
        """Trade one pool of e.g. "DAI/WETH" to `offset_ppm` off the reference price, in a block of its own."""
        pool = self.pool(pair, dex, kind)
        price = plan.raw_price(self.book.token_at(pool.token0).symbol, self.book.token_at(pool.token1).symbol)
        target = price * Fraction(1_000_000 + offset_ppm, 1_000_000)
        traffic = Traffic(self.devnet.rpc_url, self.book, 1)
        await traffic.trade(self.rpc, [Trade(pool.address, target, 0, 3 * GWEI)])
        # A pool that stands there already, within its fee, needs no trade.
        assert traffic.failed == 0
        if mine:
            await self.mine()
        return pool.address

    async def align(self) -> None:
        """Bring every pool to the reference price, so that nothing pays but what the test opens."""
        for pool in self.book.pools:
            one, other = (self.book.token_at(t).symbol for t in (pool.token0, pool.token1))
            trade = Trade(pool.address, plan.raw_price(one, other), 0, GWEI)
            await Traffic(self.devnet.rpc_url, self.book, 1).trade(self.rpc, [trade])
        await self.mine()


async def trade_until(
    hand: Hand,
    config: Config,
    enough: Callable[[Tally], bool],
    *,
    stage: Stage = Stage.LIVE,
    approve: ApproveMode = ApproveMode.ALL,
    seconds: float = 20,
    every_s: float = 0.25,
    between: Callable[[int], Awaitable[None]] | None = None,
) -> Tally:
    """Run a real engine while blocks are mined, until `enough`; `between` acts before each block is mined."""
    async with open_engine(config, stage, approve, lambda _: None) as engine:
        running = asyncio.create_task(engine.run(seconds, asyncio.Event(), enough))
        blocks = 0
        while not running.done():
            await asyncio.sleep(every_s)
            if between is not None:
                await between(blocks)
            await hand.mine()
            blocks += 1
        await running
        return engine.tally


@asynccontextmanager
async def in_hand(devnet: Devnet) -> AsyncIterator[Hand]:
    """Manual mining and a steady base fee for the length of a test, everything undone after it."""
    async with JsonRpc(devnet.rpc_url) as rpc:
        mark = await rpc.call("evm_snapshot")
        # A revert takes anvil's clock back with it; the freshness check compares with ours.
        head = await Node(rpc).block()
        await rpc.call("anvil_setTime", [max(int(time.time()), head.timestamp + 1)])
        await rpc.call("evm_setAutomine", [False])
        await rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(20 * GWEI)])
        await rpc.call("evm_mine")
        try:
            yield Hand(devnet, rpc, Node(rpc))
        finally:
            await rpc.call("evm_setAutomine", [True])
            assert await rpc.call("evm_revert", [mark])


def config_for(devnet: Devnet, store: Path, **changes: Any) -> Config:
    """The chain's ready configuration with a store of the test's own."""
    text = Path(devnet.book.config).read_text("utf-8")
    head, _, tail = text.partition("[store]")
    rest = tail.partition("[search]")[2]
    path = store.parent / f"{store.name}.toml"
    path.write_text(f'{head}[store]\ndirectory = "{store}"\n\n[search]{rest}', "utf-8")
    config = load_config(str(path))
    return config.model_copy(update=changes) if changes else config

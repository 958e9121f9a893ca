"""The market as an engine keeps it, on the local chain's real pools: after every fault equal to a fresh read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from arbtui.bootstrap import open_desk
from arbtui.chain import HeadFeed, LogFilter, WsRpc, read_pools
from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.domain import BlockRef
from arbtui.engine import Watching
from arbtui.market import FAMILIES, LOG_TOPICS, SWAP_TOPICS
from arbtui.market.pool import Pool
from arbtui.market.uniswap_v3 import UniswapV3Pool
from arbtui.units import Address
from tests.chain import Hand, config_for, in_hand, running_chain
from tests.feeds import Wire, wire

pytestmark = pytest.mark.chain

#: Where a V2 pair keeps reserve0, reserve1 and the time of its last trade, packed.
PACKED_RESERVES_SLOT = "0x" + f"{8:064x}"


# Anvil keeps the state of so many blocks only: a test of many needs a chain of its own.
@pytest.fixture
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


@dataclass
class Followed:
    watching: Watching
    hand: Hand
    wire: Wire
    pools: dict[Address, Pool]
    multicall: Address
    resets: int = 0
    faults: tuple[str, ...] = ()
    whole: bool = True
    traded: int = 0

    async def to_the_head(self) -> BlockRef:
        """Take steps until the market is at the node's head."""
        async with asyncio.timeout(30):
            while True:
                head = await self.hand.node.block()
                if self.watching.head == head:
                    return head
                moved = await self.watching.step(0.5)
                if moved is not None:
                    self.resets += bool(moved.reset)
                    self.faults += moved.faults

    async def is_as_read_fresh(self) -> None:
        head = await self.to_the_head()
        fresh = await read_pools(self.hand.node, self.pools, head, self.multicall, strict=True)
        kept = self.watching.state
        assert kept.block == head
        assert not self.watching.drifted
        wrong = {
            address: FAMILIES[pool.kind].difference(pool, fresh.pools[address])
            for address, pool in kept.pools.items()
        }
        assert not any(wrong.values()), wrong
        if self.whole:
            assert kept.pools == fresh.pools

    async def trades(self, times: int = 1) -> None:
        """On two V2 pairs and a V3 pool, in blocks of their own, never back to where they were."""
        for _ in range(times):
            self.traded += 1
            offset = (4_000 + 1_500 * self.traded) * (1 if self.traded % 2 else -1)
            for pair, kind in (("DAI/WETH", "uniswap_v2"), ("USDC/WETH", "uniswap_v3")):
                await self.hand.dislocate(pair, offset, kind=kind)


@asynccontextmanager
async def followed(
    devnet: Devnet, config: Config, *, check_blocks: int = 10_000, whole: bool = True
) -> AsyncIterator[Followed]:
    async with AsyncExitStack() as stack:
        hand = await stack.enter_async_context(in_hand(devnet))
        await hand.align()
        cable = await stack.enter_async_context(wire(int(devnet.rpc_url.rpartition(":")[2])))
        push = await stack.enter_async_context(WsRpc(f"ws://127.0.0.1:{cable.port}", timeout=5))
        desk = await stack.enter_async_context(open_desk(config))
        pools: dict[Address, Pool] = {
            address: replace(pool, reach=None)
            if whole and isinstance(pool, UniswapV3Pool) and pool.tick_spacing > 1
            else pool
            for address, pool in desk.pools.items()
        }
        feed = HeadFeed(
            desk.node, LogFilter(pools, LOG_TOPICS | SWAP_TOPICS), poll_s=0.1, block_time_s=0.5, push=push
        )
        await stack.enter_async_context(feed)
        watching = Watching(
            node=desk.node,
            feed=feed,
            pools=pools,
            tokens=desk.tokens,
            multicall=config.chain.multicall,
            check_blocks=check_blocks,
            check_pools=len(pools),
        )
        await watching.begin()
        yield Followed(watching, hand, cable, pools, config.chain.multicall, whole=whole)


@pytest.mark.parametrize("blocks", [1, 100, 1_000])
async def test_a_cut_websocket_loses_nothing(devnet: Devnet, tmp_path: Path, blocks: int) -> None:
    async with followed(devnet, config_for(devnet, tmp_path / "store")) as market:
        await market.trades()
        await market.is_as_read_fresh()
        market.wire.refusing = True
        market.wire.cut()
        await market.trades(2)
        for _ in range(0, blocks, 50):
            await market.hand.rpc.call("anvil_mine", [hex(min(blocks, 50))])
        await market.trades(2)
        await market.is_as_read_fresh()
        market.wire.refusing = False
        await market.trades()
        await market.is_as_read_fresh()
        assert market.resets == 0
        assert market.faults == ()


@pytest.mark.parametrize("depth", [1, 3, 12, 64])
async def test_a_reorganisation_leaves_what_a_fresh_read_gives(
    devnet: Devnet, tmp_path: Path, depth: int
) -> None:
    async with followed(devnet, config_for(devnet, tmp_path / "store")) as market:
        await market.hand.rpc.call("anvil_mine", [hex(70)])
        await market.trades(3)
        await market.is_as_read_fresh()
        before = dict(market.watching.state.pools)
        await market.hand.rpc.call("anvil_reorg", [depth, []])
        await market.is_as_read_fresh()
        assert market.watching.state.pools != before, "the trades were undone with their blocks"
        await market.trades(2)
        await market.is_as_read_fresh()
        assert market.resets == 0


async def test_beyond_what_is_kept_all_is_read_anew(devnet: Devnet, tmp_path: Path) -> None:
    async with followed(devnet, config_for(devnet, tmp_path / "store")) as market:
        await market.hand.rpc.call("anvil_mine", [hex(80)])
        await market.trades()
        await market.to_the_head()
        await market.hand.rpc.call("anvil_reorg", [70, []])
        await market.is_as_read_fresh()
        assert market.resets == 1
        assert market.watching.take_changed() is None, "any pool may have changed"


async def test_a_pool_that_changed_without_a_log_is_named_and_healed(devnet: Devnet, tmp_path: Path) -> None:
    async with followed(devnet, config_for(devnet, tmp_path / "store"), check_blocks=3) as market:
        pair = market.hand.pool("DAI/WETH").address
        word = int(await market.hand.rpc.call("eth_getStorageAt", [pair, PACKED_RESERVES_SLOT, "latest"]), 16)
        await market.hand.rpc.call("anvil_setStorageAt", [pair, PACKED_RESERVES_SLOT, f"0x{word - 7:064x}"])
        await market.hand.rpc.call("anvil_mine", [hex(4)])
        market.watching.take_changed()
        await market.is_as_read_fresh()
        (fault,) = market.faults
        assert pair in fault
        assert "was not what the node says" in fault
        assert pair in (market.watching.take_changed() or ())


async def test_a_pool_read_in_a_window_follows_its_price(devnet: Devnet, tmp_path: Path) -> None:
    async with followed(devnet, config_for(devnet, tmp_path / "store"), whole=False) as market:
        pool = market.hand.pool("USDC/WETH", kind="uniswap_v3").address
        before = market.watching.state.pools[pool]
        assert isinstance(before, UniswapV3Pool)
        for offset in (60_000, 150_000, -120_000):
            await market.hand.dislocate("USDC/WETH", offset, kind="uniswap_v3")
            await market.is_as_read_fresh()
        after = market.watching.state.pools[pool]
        assert isinstance(after, UniswapV3Pool)
        assert after.tick != before.tick

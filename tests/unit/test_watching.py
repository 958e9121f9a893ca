"""The market that is watched, by hand: what is read anew after blocks were undone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from arbtui.chain import BlockLogs, HeadFeed, Node, Step
from arbtui.chain.reader import PoolsRead
from arbtui.domain import BlockRef
from arbtui.engine import Watching, watching
from arbtui.market import Pool, UniswapV3Pool
from arbtui.units import Address
from tests.unit.test_market_tracker import DEEP, ref, swap_to
from tests.unit.test_market_tracker import deep as windowed

SPAN = 2560
NARROW, AROUND = (-2 * SPAN, 3 * SPAN - 10), (0, 5 * SPAN - 10)


class Feed:
    """Steps that a test lays out."""

    looked_at = 0.0

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)

    def start(self, block: BlockRef) -> None: ...

    async def next(self, timeout_s: float) -> Step:
        return self.steps.pop(0)


class Chain:
    """A node's head, and what reading a pool of it gives."""

    def __init__(self) -> None:
        self.reads = [0]
        self.fails = False

    async def block(self) -> BlockRef:
        return ref(0)

    async def read(
        self, _: Node, pools: Mapping[Address, Pool], block: BlockRef, *__: Any, **___: Any
    ) -> PoolsRead:
        if self.fails:
            return PoolsRead({}, dict.fromkeys(pools, "no answer"))
        if block.number == 0:
            return PoolsRead(dict(pools), {})
        self.reads.append(block.number)
        return PoolsRead({address: around(pool) for address, pool in pools.items()}, {})


def around(pool: Pool) -> Pool:
    assert isinstance(pool, UniswapV3Pool)
    return replace(pool, window=AROUND, ticks=((5000, -1000),), gross=(1000,))


async def test_a_pool_whose_reading_was_undone_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    monkeypatch.setattr(watching, "read_pools", chain.read)
    start = ref(0)
    out = BlockLogs(ref(1), (swap_to(1, 1, 5200, 0),))
    feed = Feed(
        Step(start, (), (out,)),
        Step(ref(1), (), (BlockLogs(ref(2), ()),)),
        Step(ref(1), (ref(2),), (BlockLogs(ref(2, "b", "a1"), ()),)),
    )
    pool = windowed(NARROW)
    market = Watching(
        node=cast("Node", chain),
        feed=cast("HeadFeed", feed),
        pools={DEEP: pool},
        tokens={},
        multicall=DEEP,
        check_blocks=1,
        check_pools=0,
    )
    await market.begin()
    chain.fails = True
    await market.step(0)
    assert kept(market).window == NARROW
    chain.fails = False
    await market.step(0)
    assert (kept(market).window, chain.reads) == (AROUND, [0, 2])
    await market.step(0)
    assert (market.head.hash, chain.reads) == ("b2", [0, 2, 2])
    assert kept(market).window == AROUND


def kept(market: Watching) -> UniswapV3Pool:
    pool = market.state.pools[DEEP]
    assert isinstance(pool, UniswapV3Pool)
    return pool

"""Pools that no honest market has: no exception, and nothing said to pay that does not."""

from __future__ import annotations

from itertools import product

import pytest

from arbtui.domain import BlockRef, Token
from arbtui.market import MarketState, Pool, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import MAX_SQRT_RATIO, MAX_TICK, MIN_SQRT_RATIO, MIN_TICK, sqrt_ratio_at_tick
from arbtui.market.uniswap_v2 import MAX_RESERVE
from arbtui.search import Finder, SearchResult, find_opportunities
from arbtui.units import Address, Ppm, Wei, parse_address

BLOCK = BlockRef(1, "0x01", "0x00", 0, Wei(0), 0, 0)
A, B, C = (parse_address(f"0x{number:040x}") for number in (1, 2, 3))


def v2(number: int, reserve0: int, reserve1: int, tokens: tuple[Address, Address] = (A, B)) -> UniswapV2Pool:
    return UniswapV2Pool(parse_address(f"0x{number:040x}"), "v2", *tokens, Ppm(3000), reserve0, reserve1)


def v3(
    number: int, price: int, tick: int, liquidity: int, ticks: tuple[tuple[int, int], ...] = ()
) -> UniswapV3Pool:
    address = parse_address(f"0x{number:040x}")
    return UniswapV3Pool(address, "v3", A, B, Ppm(500), 10, price, tick, liquidity, ticks)


def market(*pools: Pool) -> MarketState:
    return MarketState(
        BLOCK, {token: Token(token, "", 0) for token in (A, B, C)}, {pool.address: pool for pool in pools}
    )


def true(state: MarketState, result: SearchResult) -> int:
    """How many opportunities, each of which pays when it is traded."""
    for found in result.opportunities:
        amount = found.amount_in
        for hop in found.path.hops:
            swap = state.pools[hop.pool].swap_exact_in(hop.token_in, amount)
            assert swap.amount_in == amount
            amount = swap.amount_out
        assert amount == found.amount_out > found.amount_in > 0
    return len(result.opportunities)


#: Rows B53 to B58: what must give no opportunity beside a pool at a price of 1.
NOTHING = {
    "reserves 0/0": v2(10, 0, 0),
    "reserves 0/x": v2(10, 0, 10**18),
    "reserves x/0": v2(10, 10**18, 0),
    "reserves 1/1": v2(10, 1, 1),
    "reserves at the limit": v2(10, MAX_RESERVE, MAX_RESERVE),
    "liquidity 0": v3(10, 2 << 96, 13_863, 0),
    "liquidity 0 between ticks that hold none": v3(10, 2 << 96, 13_863, 0, ((13_000, 0), (14_000, 0))),
    "not initialised": v3(10, 0, 0, 10**18),
    "at the lowest price": v3(10, MIN_SQRT_RATIO, MIN_TICK, 0),
    "at the highest price": v3(10, MAX_SQRT_RATIO - 1, MAX_TICK - 1, 0),
}


@pytest.mark.parametrize("pool", NOTHING.values(), ids=NOTHING)
def test_a_dead_or_level_pool_gives_no_opportunity(pool: Pool) -> None:
    for partner in (v2(11, 10**18, 10**18), v2(11, 5, 5), pool_at(11, 0, 10**18)):
        state = market(pool, partner, v2(12, 10**18, 10**18, (B, C)), v2(13, 10**18, 10**18, (A, C)))
        assert find_opportunities(state, [A, B, C], 4).opportunities == ()


def pool_at(number: int, tick: int, liquidity: int) -> UniswapV3Pool:
    """One range over all ticks."""
    ticks = ((-887_270, liquidity), (887_270, -liquidity))
    return v3(number, sqrt_ratio_at_tick(tick), tick, liquidity, ticks)


HOSTILE = [
    lambda n: v2(n, 1, MAX_RESERVE),
    lambda n: v2(n, MAX_RESERVE, 1),
    lambda n: v2(n, MAX_RESERVE, MAX_RESERVE),
    lambda n: v2(n, MAX_RESERVE - 1, 2),
    lambda n: v2(n, 1, 1),
    lambda n: v2(n, 2, 3),
    lambda n: v2(n, 10**18, 10**6),
    lambda n: pool_at(n, 887_260, 1),
    lambda n: pool_at(n, -887_260, 1),
    lambda n: pool_at(n, 0, 2**127),
    lambda n: pool_at(n, 100, 1),
    lambda n: v3(n, sqrt_ratio_at_tick(50), 50, 0, ((100, 10**18), (200, -(10**18)))),
    lambda n: v3(n, sqrt_ratio_at_tick(50), 50, 0, ((-200, 10**18), (-100, -(10**18)))),
]


@pytest.mark.parametrize("first", range(len(HOSTILE)))
def test_pools_at_the_ends_of_their_ranges_give_only_what_is_true(first: int) -> None:
    for second, third in product(range(len(HOSTILE)), (0, 5)):
        beyond = HOSTILE[third](12)
        assert isinstance(beyond, UniswapV2Pool)
        other = v2(12, beyond.reserve0, beyond.reserve1, (B, C))
        back = v2(13, 10**9, 10**9, (A, C))
        state = market(HOSTILE[first](10), HOSTILE[second](11), other, back)
        result = find_opportunities(state, [A, B], 4)
        assert true(state, result) == result.paying
        best = Finder([A, B], 4, 2, size_all=False).find(state)
        for base in (A, B):
            mine, those = (
                [found for found in some.opportunities if found.path.base == base] for some in (best, result)
            )
            assert mine == those[:2]


def test_an_increment_takes_a_pool_from_alive_to_dead_and_back() -> None:
    alive, partner = v2(10, 10**18, 2 * 10**18), v2(11, 10**18, 10**18)
    finder = Finder([A])
    assert len(finder.find(market(alive, partner)).opportunities) == 1
    for dead in (v2(10, 0, 0), v2(10, 1, 1), v2(10, MAX_RESERVE, MAX_RESERVE)):
        assert finder.find(market(dead, partner), [dead.address]).opportunities == ()
        assert len(finder.find(market(alive, partner), [alive.address]).opportunities) == 1

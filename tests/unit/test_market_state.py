from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from arbtui.domain import BlockRef, Token
from arbtui.errors import UsageError
from arbtui.market import MarketState, Pool, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import sqrt_ratio_at_tick
from arbtui.units import Address, Ppm, Wei, parse_address

BLOCK = BlockRef(42, "0x01", "0x00", 0, Wei(0), 0, 0)


def at(number: int) -> Address:
    return parse_address(f"0x{number:040x}")


WETH, USDC, DAI, DUST, FAKE = (at(number) for number in range(1, 6))
TOKENS = {
    WETH: Token(WETH, "WETH", 18),
    USDC: Token(USDC, "USDC", 6),
    DAI: Token(DAI, "DAI", 18),
    FAKE: Token(FAKE, "DAI", 18),
}


def v2(number: int, token0: Address, token1: Address, reserve0: int, reserve1: int) -> UniswapV2Pool:
    return UniswapV2Pool(at(number), "uniswap", token0, token1, Ppm(3000), reserve0, reserve1)


def market(*pools: Pool) -> MarketState:
    return MarketState(BLOCK, TOKENS, {pool.address: pool for pool in pools})


def test_tokens_are_found_by_symbol_or_address() -> None:
    state = market(v2(99, WETH, USDC, 1, 1), v2(98, WETH, DUST, 1, 1))
    assert state.find_token("USDC").address == USDC
    assert state.find_token("usdc").address == USDC
    assert state.find_token(USDC.lower()).address == USDC
    assert state.find_token(DUST) == Token(DUST, "", 0)
    assert state.label(DUST) == DUST
    assert state.traded_tokens == (WETH, USDC, DUST)
    assert [pool.address for pool in state.pools_of(WETH)] == [at(99), at(98)]
    assert state.pools_of(FAKE) == ()
    with pytest.raises(UsageError, match="2 tokens are called 'DAI'") as refused:
        state.find_token("DAI")
    assert DAI in str(refused.value)
    assert FAKE in str(refused.value)
    for unknown in ("PEPE", "", at(77), "0x" + "zz" * 20):
        with pytest.raises(UsageError):
            state.find_token(unknown)


def test_the_native_coin_is_worth_itself() -> None:
    rate = market().conversion(TOKENS[WETH], TOKENS[WETH])
    assert rate is not None
    assert (rate.numerator, rate.denominator, rate.pools) == (1, 1, ())


def test_conversion_takes_the_deepest_way() -> None:
    shallow = v2(10, WETH, USDC, 10**18, 1000 * 10**6)
    deep = v2(11, WETH, USDC, 10**21, 2_000_000 * 10**6)
    rate = market(shallow, deep).conversion(TOKENS[USDC], TOKENS[WETH])
    assert rate is not None
    assert rate.pools == (at(11),)
    assert Fraction(rate.numerator, rate.denominator) == Fraction(2_000_000 * 10**6, 10**21)
    assert rate.block == 42
    assert rate.from_wei_up(10**18) == 2000 * 10**6
    assert rate.to_wei_down(2000 * 10**6) == 10**18


def test_conversion_over_two_pools_is_as_deep_as_its_thinnest() -> None:
    first = v2(11, WETH, USDC, 10**21, 2_000_000 * 10**6)
    last = v2(12, USDC, DAI, 1_000_000 * 10**6, 1_000_000 * 10**18)
    thin = v2(13, WETH, DAI, 499 * 10**18, 10**24)
    rate = market(first, last, thin).conversion(TOKENS[DAI], TOKENS[WETH])
    assert rate is not None
    assert rate.pools == (at(11), at(12)), "a million USDC is 500 WETH: more than 499"
    assert Fraction(rate.numerator, rate.denominator) == 2000
    thicker = v2(13, WETH, DAI, 501 * 10**18, 10**24)
    rate = market(first, last, thicker).conversion(TOKENS[DAI], TOKENS[WETH])
    assert rate is not None
    assert rate.pools == (at(13),)


def test_conversion_through_a_concentrated_pool_uses_what_stands_at_its_price() -> None:
    price = sqrt_ratio_at_tick(1000)
    ticks = ((-60_000, 10**21), (60_000, -(10**21)))
    pool = UniswapV3Pool(at(9), "v3", WETH, USDC, Ppm(500), 10, price, 1000, 10**21, ticks, None)
    other = v2(10, WETH, USDC, 9 * 10**20, 10**20)
    rate = market(other, pool).conversion(TOKENS[USDC], TOKENS[WETH])
    assert rate is not None
    assert rate.pools == (at(9),)
    assert Fraction(rate.numerator, rate.denominator) == Fraction(price**2, 2**192)
    assert pool.depth(WETH) == (10**21 << 96) // price


def test_equal_depths_and_no_way() -> None:
    one, two = v2(21, WETH, USDC, 5, 5), v2(20, WETH, USDC, 5, 7)
    for order in ((one, two), (two, one)):
        rate = market(*order).conversion(TOKENS[USDC], TOKENS[WETH])
        assert rate is not None
        assert rate.pools == (at(20),)
    assert market(one).conversion(TOKENS[DAI], TOKENS[WETH]) is None
    empty = v2(22, WETH, USDC, 0, 0)
    assert market(empty).conversion(TOKENS[USDC], TOKENS[WETH]) is None


def test_an_advanced_state_shares_what_a_block_does_not_change() -> None:
    one, two = v2(10, WETH, USDC, 10**18, 10**9), v2(11, WETH, DAI, 10**18, 10**21)
    state = market(one, two)
    assert state.conversion(TOKENS[USDC], TOKENS[WETH]) is not None
    block = replace(BLOCK, number=43, hash="0x02", parent_hash="0x01")
    moved = replace(one, reserve1=3 * 10**9)
    following = state.advanced(block, {moved.address: moved})
    assert following.block == block
    assert following.pools == {moved.address: moved, two.address: two}
    assert state.pools == {one.address: one, two.address: two}, "the parent is left as it was"
    assert following.pools_of(WETH) == (moved, two)
    assert following.pool_addresses_of(WETH) is state.pool_addresses_of(WETH)
    assert following.shares_topology(state)
    assert following.advanced(block, {}).shares_topology(state)
    rate = following.conversion(TOKENS[USDC], TOKENS[WETH])
    assert rate is not None
    assert Fraction(rate.numerator, rate.denominator) == Fraction(3 * 10**9, 10**18)
    assert following.find_token("USDC") == TOKENS[USDC]


def test_a_state_is_not_advanced_to_other_pools() -> None:
    one = v2(10, WETH, USDC, 10**18, 10**9)
    state = market(one)
    for stranger in (v2(11, WETH, USDC, 1, 1), replace(one, token1=DAI)):
        with pytest.raises(UsageError, match="not one of this state's 1 pools"):
            state.advanced(BLOCK, {stranger.address: stranger})
    other = replace(state, pools={at(11): v2(11, WETH, DAI, 1, 1)})
    assert not other.shares_topology(state)
    assert state.pools_of(DAI) == ()
    assert other.pool_addresses_of(DAI) == (at(11),)


def test_conversion_finds_the_deepest_way_among_many() -> None:
    """Against the rule as it is written, pool by pool."""
    rng = random.Random(5)
    tokens = [at(number) for number in range(1, 9)]
    for _ in range(30):
        pools = []
        for number in range(40):
            token0, token1 = sorted(rng.sample(tokens, 2), key=str.lower)
            pools.append(v2(100 + number, token0, token1, rng.randint(0, 6), rng.randint(0, 6)))
        state = market(*pools)
        wanted = rng.choice(tokens[1:])
        ways: list[tuple[int, tuple[Address, ...]]] = []
        for first in (pool for pool in pools if WETH in (pool.token0, pool.token1)):
            middle = first.token1 if first.token0 == WETH else first.token0
            up, down = first.spot_ratio(WETH)
            if middle == wanted:
                ways.append((first.depth(WETH), (first.address,)))
            elif up:
                ways += [
                    (min(first.depth(WETH), last.depth(middle) * down // up), (first.address, last.address))
                    for last in pools
                    if {middle, wanted} == {last.token0, last.token1}
                ]
        best = min(((-depth, way) for depth, way in ways if depth > 0), default=None)
        rate = state.conversion(Token(wanted, "", 0), TOKENS[WETH])
        if rate is not None:
            assert best is not None
            assert rate.pools == best[1]

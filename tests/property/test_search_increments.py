"""Increments against full passes, the best against all, and four hops against naive enumeration."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from arbtui.domain import BlockRef, PoolKind, Token
from arbtui.market import MarketState, Pool, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import sqrt_ratio_at_tick
from arbtui.search import Costs, Finder, enumerate_cycles, find_opportunities
from arbtui.units import PPM, Address, Ppm, Wei, mul_div_up, parse_address

TOKENS = [parse_address(f"0x{number:040x}") for number in range(1, 6)]
PAIRS = [(a, b) for a in range(5) for b in range(a + 1, 5)]
BLOCK = BlockRef(1, "0x01", "0x00", 0, Wei(0), 0, 0)
RESERVES = st.one_of(st.integers(1, 300), st.integers(10**6, 10**8), st.integers(10**18, 10**21))


def market(pools: list[Pool]) -> MarketState:
    return MarketState(
        BLOCK, {token: Token(token, "", 0) for token in TOKENS}, {pool.address: pool for pool in pools}
    )


@st.composite
def drawn_pools(draw: st.DrawFn, number: int) -> Pool:
    first, second = draw(st.sampled_from(PAIRS))
    address = parse_address(f"0x{number + 256:040x}")
    fee = Ppm(draw(st.sampled_from((0, 500, 3000))))
    if draw(st.integers(0, 3)):
        reserves = draw(RESERVES), draw(RESERVES)
        return UniswapV2Pool(address, "v2", TOKENS[first], TOKENS[second], fee, *reserves)
    liquidity = draw(st.sampled_from((0, 5, 10**4, 10**18)))
    tick = draw(st.integers(-20, 20)) * 60
    ticks = ((tick - 6000, liquidity), (tick + 6000, -liquidity)) if liquidity else ()
    return UniswapV3Pool(
        address,
        "v3",
        TOKENS[first],
        TOKENS[second],
        fee,
        60,
        sqrt_ratio_at_tick(tick),
        tick,
        liquidity,
        ticks,
    )


def another(draw: st.DrawFn | st.DataObject, pool: Pool) -> Pool:
    """The same pool in another state."""
    pick = draw.draw if isinstance(draw, st.DataObject) else draw
    if isinstance(pool, UniswapV2Pool):
        return replace(pool, reserve0=pick(RESERVES), reserve1=pick(RESERVES))
    assert isinstance(pool, UniswapV3Pool)
    tick = pool.tick + pick(st.integers(-20, 20)) * 60
    inside = sum(net for index, net in pool.ticks if index <= tick)
    return replace(pool, sqrt_price_x96=sqrt_ratio_at_tick(tick), tick=tick, liquidity=inside)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(3, 12), st.integers(2, 4))
def test_increments_find_what_a_full_pass_finds(data: st.DataObject, count: int, hops: int) -> None:
    pools = [data.draw(drawn_pools(number)) for number in range(count)]
    bases = [TOKENS[0], TOKENS[1]]
    finder = Finder(bases, hops, check_every=data.draw(st.sampled_from((2, 1000))))
    best = Finder(bases, hops, 3, size_all=False, check_every=1000)
    finder.find(market(pools))
    best.find(market(pools))
    for _ in range(4):
        changed = data.draw(st.sets(st.integers(0, count - 1), max_size=4))
        for number in changed:
            pools[number] = another(data, pools[number])
        state = market(pools)
        names = [pools[number].address for number in changed]
        result = finder.find(state, names)
        anew = find_opportunities(state, bases, hops)
        assert result.mismatch is None
        assert (result.opportunities, result.paying, result.cycles) == (
            anew.opportunities,
            anew.paying,
            anew.cycles,
        )
        assert (
            best.find(state, names).opportunities == find_opportunities(state, bases, hops, 3).opportunities
        )


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(6, 12))
def test_with_costs_the_best_by_net_are_there_too(data: st.DataObject, count: int) -> None:
    pools = [data.draw(drawn_pools(number)) for number in range(count)]
    base, top = TOKENS[0], 2
    finders = [Finder([base], 3, top, size_all=size_all, check_every=1_000) for size_all in (False, True)]
    changed: list[Address] | None = None
    for _ in range(3):
        state = market(pools)
        gas = data.draw(st.sampled_from((0, 3, 10**6, 10**17)))
        hop_gas = {PoolKind.UNISWAP_V2: gas, PoolKind.UNISWAP_V3: 2 * gas}
        worth = data.draw(st.sampled_from(((1, 1), (3, 7), (10**6, 1))))
        costs = Costs(data.draw(st.sampled_from((0, 900, 50_000))), worth, gas, hop_gas)
        left = {}
        everything = find_opportunities(state, [base], 3).opportunities
        for found in everything:
            fee = mul_div_up(found.amount_in, costs.fee_ppm, PPM)
            used = gas + sum(hop_gas[hop.kind] for hop in found.path.hops)
            net = (found.gross_profit - fee) * worth[0] - used * worth[1]
            if net > 0:
                left[found.id] = net
        for finder in finders:
            result = finder.find(state, changed, {base: costs}).opportunities
            names = [found.id for found in result]
            assert names[:top] == [found.id for found in everything[:top]]
            assert sorted(names, key=[found.id for found in everything].index) == names
            best = sorted((left[name] for name in names if name in left), reverse=True)[:top]
            assert best == sorted(left.values(), reverse=True)[:top]
            assert len(names) <= 2 * top
        assert finders[0].find(state, []).opportunities == everything[:top], "without costs none is added"
        numbers = data.draw(st.sets(st.integers(0, count - 1), max_size=3))
        for number in numbers:
            pools[number] = another(data, pools[number])
        changed = [pools[number].address for number in numbers]


def walks(state: MarketState, base: Address, hops: int) -> set[tuple[Address, ...]]:
    """Every closed walk from `base` that visits no token twice, as the pools it takes."""
    found = set()

    def walk(here: Address, taken: tuple[Address, ...], seen: frozenset[Address]) -> None:
        for pool in state.pools.values():
            if here not in (pool.token0, pool.token1) or pool.address in taken:
                continue
            there = pool.token1 if here == pool.token0 else pool.token0
            if there == base and len(taken) + 1 > 1:
                found.add((*taken, pool.address))
            elif there not in seen and len(taken) + 1 < hops:
                walk(there, (*taken, pool.address), seen | {there})

    walk(base, (), frozenset([base]))
    return {pools for pools in found if len(pools) > 1}


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(0, 14), st.integers(2, 4))
def test_every_cycle_is_enumerated_once_a_direction(data: st.DataObject, count: int, hops: int) -> None:
    # All of one depth, so that none of them is left out of the core for having no price.
    pools: list[Pool] = []
    for number in range(count):
        first, second = data.draw(st.sampled_from(PAIRS))
        tokens = TOKENS[first], TOKENS[second]
        pools.append(UniswapV2Pool(parse_address(f"0x{number + 256:040x}"), "v2", *tokens, Ppm(0), 9, 9))
    state = market(pools)
    priced = {token for pool in state.pools_of(TOKENS[0]) for token in (pool.token0, pool.token1)}
    index = enumerate_cycles(state, [TOKENS[0]], hops)
    listed = [tuple(index.pools[edge >> 1] for edge in cycle) for _, cycle in index]
    assert len(listed) == len(set(listed)) == index.count
    assert set(listed) == {
        walk
        for walk in walks(state, TOKENS[0], hops)
        if len(walk) < 4
        or all({state.pools[name].token0, state.pools[name].token1} & priced for name in walk)
    }
    for number in range(count):
        through = [at for at, walk in enumerate(listed) if index.pools[number] in walk]
        assert index.touching([number]).tolist() == through

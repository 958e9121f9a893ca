"""The finder against trying everything, on markets small enough for it."""

from __future__ import annotations

from itertools import permutations
from math import isqrt

from hypothesis import given, settings
from hypothesis import strategies as st

from arbtui.domain import BlockRef, Hop, Path, Token
from arbtui.market import MarketState, Pool, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import sqrt_ratio_at_tick, tick_at_sqrt_ratio
from arbtui.search import find_opportunities, size
from arbtui.units import Address, Ppm, Wei, parse_address

TOKENS = [parse_address(f"0x{number:040x}") for number in range(1, 4)]
BLOCK = BlockRef(1, "0x01", "0x00", 0, Wei(0), 0, 0)
FEES = (0, 500, 3000, 30_000)


def market(pools: list[Pool]) -> MarketState:
    return MarketState(
        BLOCK, {token: Token(token, "", 0) for token in TOKENS}, {pool.address: pool for pool in pools}
    )


@st.composite
def v2_pools(draw: st.DrawFn, number: int, most: int) -> UniswapV2Pool:
    first, second = draw(st.sampled_from([(a, b) for a in range(3) for b in range(a + 1, 3)]))
    reserves = st.integers(1, most)
    return UniswapV2Pool(
        parse_address(f"0x{number + 256:040x}"),
        "v2",
        TOKENS[first],
        TOKENS[second],
        Ppm(draw(st.sampled_from(FEES))),
        draw(reserves),
        draw(reserves),
    )


@st.composite
def v3_pools(draw: st.DrawFn, number: int, most: int) -> UniswapV3Pool:
    first, second = draw(st.sampled_from([(a, b) for a in range(3) for b in range(a + 1, 3)]))
    tick = draw(st.integers(-30, 30)) * 100
    nets: dict[int, int] = {}
    here = 0
    for _ in range(draw(st.integers(1, 4))):
        low = tick // 100 + draw(st.integers(-60, 20))
        high = low + draw(st.integers(1, 60))
        liquidity = draw(st.integers(1, most))
        nets[low * 100] = nets.get(low * 100, 0) + liquidity
        nets[high * 100] = nets.get(high * 100, 0) - liquidity
        here += liquidity if low * 100 <= tick < high * 100 else 0
    return UniswapV3Pool(
        parse_address(f"0x{number + 256:040x}"),
        "v3",
        TOKENS[first],
        TOKENS[second],
        Ppm(draw(st.sampled_from(FEES))),
        100,
        sqrt_ratio_at_tick(tick),
        tick,
        here,
        tuple(sorted(nets.items())),
        None,
    )


@st.composite
def markets(draw: st.DrawFn, most: int, with_v3: bool, least_pools: int = 2) -> MarketState:
    count = draw(st.integers(least_pools, 6))
    pools: list[Pool] = []
    for number in range(count):
        concentrated = with_v3 and draw(st.booleans())
        pools.append(draw(v3_pools(number, most) if concentrated else v2_pools(number, most)))
    return market(pools)


def all_cycles(state: MarketState, base: Address, max_hops: int) -> list[Path]:
    """Every ordering of every two or three pools that happens to be a closed walk from `base`."""
    found = []
    for hops in range(2, max_hops + 1):
        for pools in permutations(state.pools.values(), hops):
            here, walk, seen = base, [], {base}
            for pool in pools:
                if here not in (pool.token0, pool.token1):
                    break
                there = pool.token1 if here == pool.token0 else pool.token0
                walk.append(Hop(pool.address, pool.dex, pool.kind, pool.fee_ppm, here, there))
                if there in seen and len(walk) < hops:
                    break
                seen.add(there)
                here = there
            else:
                if here == base:
                    found.append(Path(tuple(walk)))
    return found


def through(state: MarketState, path: Path, amount: int) -> int:
    for hop in path.hops:
        amount = state.pools[hop.pool].quote_out(hop.token_in, amount)
    return amount


def best_by_trying(state: MarketState, path: Path, most: int) -> int:
    """Greatest profit of any input; beyond the greatest output there is nothing to gain."""
    return max(through(state, path, amount) - amount for amount in range(1, most))


def check(state: MarketState, most: int, slack: int) -> None:
    base = TOKENS[0]
    result = find_opportunities(state, [base], max_hops=3)
    paths = {path.id: path for path in all_cycles(state, base, 3)}
    assert result.cycles == len(paths)
    found = {opportunity.path.id: opportunity for opportunity in result.opportunities}
    assert len(found) == len(result.opportunities) == result.paying
    for name, path in paths.items():
        best = best_by_trying(state, path, most)
        if best <= 0:
            assert name not in found
            assert size(path, state) is None
            continue
        opportunity = found[name]
        assert size(path, state) == opportunity
        assert best - slack <= opportunity.gross_profit <= best
        assert opportunity.gross_profit > 0
        amount = opportunity.amount_in
        for hop, step in zip(path.hops, opportunity.hops, strict=True):
            assert (step.hop, step.amount_in) == (hop, amount)
            amount = state.pools[hop.pool].swap_exact_in(hop.token_in, amount).amount_out
            assert step.amount_out == amount
        assert amount == opportunity.amount_out == through(state, path, opportunity.amount_in)
        assert through(state, path, opportunity.amount_in - 1) < amount, "the least input for that output"
    gains = [opportunity.gross_profit for opportunity in result.opportunities]
    assert gains == sorted(gains, reverse=True)


@settings(max_examples=150, deadline=None)
@given(markets(most=60, with_v3=False))
def test_tiny_constant_product_markets_are_solved_exactly(state: MarketState) -> None:
    check(state, most=61, slack=0)


@settings(max_examples=60, deadline=None)
@given(markets(most=600, with_v3=False, least_pools=4))
def test_small_constant_product_markets_are_solved_exactly(state: MarketState) -> None:
    check(state, most=601, slack=0)


@settings(max_examples=80, deadline=None)
@given(markets(most=150, with_v3=True))
def test_small_mixed_markets_are_within_a_unit(state: MarketState) -> None:
    check(state, most=400, slack=1)


@st.composite
def uneven_pools(draw: st.DrawFn, number: int) -> UniswapV2Pool:
    """A base token that counts in single units, and others with so many that floats cannot count them."""
    first, second = draw(st.sampled_from([(a, b) for a in range(3) for b in range(a + 1, 3)]))

    def reserve(token: int) -> int:
        if not token:
            return draw(st.integers(1, 400))
        return draw(st.integers(1, 9)) * 10 ** draw(st.sampled_from((1, 6, 17, 24))) + draw(
            st.integers(0, 999)
        )

    return UniswapV2Pool(
        parse_address(f"0x{number + 256:040x}"),
        "v2",
        TOKENS[first],
        TOKENS[second],
        Ppm(draw(st.sampled_from(FEES))),
        reserve(first),
        reserve(second),
    )


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(3, 6))
def test_tokens_of_few_and_of_very_many_units_are_solved_exactly(data: st.DataObject, count: int) -> None:
    state = market([data.draw(uneven_pools(number)) for number in range(count)])
    check(state, most=401, slack=0)


@st.composite
def coarse_pools(draw: st.DrawFn, number: int, first: int, second: int) -> Pool:
    """Of the tokens so numbered; token 0 has 10**15 units for each of the others', and mostly it is V3."""
    units = draw(st.sampled_from((10_000, 30_000, 100_000)))
    reserve0, reserve1 = units * (1 if first else 10**15), units
    if first:
        # What is to be gained.
        reserve1 += units * draw(st.integers(10, 60)) // 1_000
    address, fee = parse_address(f"0x{number + 256:040x}"), Ppm(draw(st.sampled_from((100, 500))))
    if not draw(st.integers(0, 2)):
        return UniswapV2Pool(address, "v2", TOKENS[first], TOKENS[second], fee, reserve0, reserve1)
    price = isqrt((reserve1 << 192) // reserve0)
    tick = tick_at_sqrt_ratio(price)
    nets: dict[int, int] = {}
    here = 0
    for width in (*draw(st.lists(st.sampled_from((2, 10)), max_size=1)), 2_000):
        low, high = (tick // 60 - width) * 60, (tick // 60 + width) * 60
        liquidity = isqrt(reserve0 * reserve1)
        nets[low] = nets.get(low, 0) + liquidity
        nets[high] = nets.get(high, 0) - liquidity
        here += liquidity
    ticks = tuple(sorted(nets.items()))
    return UniswapV3Pool(
        address, "v3", TOKENS[first], TOKENS[second], fee, 60, price, tick, here, ticks, None
    )


@settings(max_examples=40, deadline=None)
@given(st.tuples(coarse_pools(0, 0, 1), coarse_pools(1, 1, 2), coarse_pools(2, 0, 2)))
def test_coarse_tokens_between_v3_pools_are_solved_exactly(pools: tuple[Pool, ...]) -> None:
    state = market(list(pools))
    result = find_opportunities(state, [TOKENS[0]], max_hops=3)
    (path,) = (path for path in all_cycles(state, TOKENS[0], 3) if path.hops[0].pool == pools[0].address)
    rest = Path(path.hops[1:])
    best = 0
    # The amounts after the first hop are few: each, for the least input that gives it, is every trade there is.
    # From 8,000 on more than the 6 % there are to be gained are lost to the price.
    for amount in range(1, 8_000):
        if not (amount_in := pools[0].least_in(TOKENS[0], amount)):
            break
        best = max(best, through(state, rest, amount) - amount_in)
    assert max((found.gross_profit for found in result.opportunities), default=0) == best

"""What the floats of the screen promise: rates within RATE_ERROR, bounds that no input beats, sizes near the bound."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arbtui.market import Pool, UniswapV2Pool, UniswapV3Pool
from arbtui.market.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, tick_at_sqrt_ratio
from arbtui.market.uniswap_v2 import MAX_RESERVE
from arbtui.search.edges import MARGIN, RATE_ERROR, Edges
from arbtui.units import Ppm, parse_address

A, B = (parse_address(f"0x{number:040x}") for number in (1, 2))
ANY_RESERVE = st.one_of(st.integers(1, MAX_RESERVE), st.integers(1, 2**60), st.integers(1, 1000))
FEES = st.integers(0, 999_999)


def v2(reserve0: int, reserve1: int, fee: int) -> UniswapV2Pool:
    return UniswapV2Pool(parse_address(f"0x{99:040x}"), "v2", A, B, Ppm(fee), reserve0, reserve1)


def v3(price: int, liquidity: int, fee: int) -> UniswapV3Pool:
    tick = tick_at_sqrt_ratio(price)
    return UniswapV3Pool(parse_address(f"0x{99:040x}"), "v3", A, B, Ppm(fee), 1, price, tick, liquidity, ())


POOLS = st.one_of(
    st.builds(v2, ANY_RESERVE, ANY_RESERVE, FEES),
    st.builds(v3, st.integers(MIN_SQRT_RATIO + 2, MAX_SQRT_RATIO - 2), st.integers(1, 2**128 - 1), FEES),
)


def taken_up(pools: list[Pool]) -> tuple[Edges, np.ndarray]:
    edges = Edges(len(pools))
    edges.put(range(len(pools)), pools)
    return edges, np.arange(0, 2 * len(pools), 2, dtype=np.int32)[:, None]


@settings(max_examples=300, deadline=None)
@given(st.lists(POOLS, min_size=1, max_size=4), st.integers(1, 3))
def test_a_float_rate_is_within_its_error_and_its_margin(pools: list[Pool], sides: int) -> None:
    edges, cycle = taken_up(pools)
    cycle[0] |= sides & 1
    exact = Fraction(1)
    product = np.float64(1)
    for number, edge in enumerate(cycle[:, 0].tolist()):
        up, down = pools[number].spot_ratio(B if edge & 1 else A)
        exact *= Fraction(up, down) * Fraction(1_000_000 - pools[number].fee_ppm, 1_000_000)
        product *= edges.rates[edge]
    # A V3 pool whose price leaves no room has no stretch, and then no rate.
    assume(all(edges.rates[edge] for edge in cycle[:, 0].tolist()))
    assert abs(Fraction(float(product)) / exact - 1) < Fraction(RATE_ERROR)
    assert RATE_ERROR < MARGIN / 100
    if exact > 1:
        assert edges.hits(cycle).tolist() == [0]


@st.composite
def around_one(draw: st.DrawFn) -> list[UniswapV2Pool]:
    """Two or three pools whose rates multiply to a little more than 1."""
    count = draw(st.integers(2, 3))
    sizes = [draw(st.integers(10**5, 10**27)) for _ in range(count + 1)]
    sizes[-1] = sizes[0]
    pools = []
    for number in range(count):
        depth = draw(st.integers(1, 1000))
        fee = draw(st.sampled_from((0, 500, 3000)))
        gain = 1 + Fraction(draw(st.integers(0, 10**9)), 10 ** draw(st.integers(9, 12)))
        up = sizes[number + 1] * depth * gain * Fraction(1_000_000, 1_000_000 - fee)
        pools.append(v2(sizes[number] * depth, int(up) + draw(st.integers(0, 2)), fee))
    return pools


@settings(max_examples=300, deadline=None)
@given(around_one())
def test_a_bound_is_no_less_than_the_real_optimum_and_a_size_is_near_it(pools: list[UniswapV2Pool]) -> None:
    edges, cycle = taken_up(list(pools))
    a, b, c = 1, 1, 0
    for pool in pools:
        kept = 1_000_000 - pool.fee_ppm
        p, q = pool.reserve1 * kept, pool.reserve0 * 1_000_000
        # out = p*x/(q + kept*x) after out = a*x/(b + c*x).
        a, b, c = a * p, b * q, c * q + kept * a
    with localcontext() as context:
        context.prec = 120
        best = ((Decimal(a).sqrt() - Decimal(b).sqrt()) ** 2) / Decimal(c) if a > b else Decimal(0)
    bound = float(edges.optima(cycle).bound[0])
    assert bound >= best or (bound == 0 and best < 1)
    (size,) = edges.sizes(cycle)
    if size is None:
        return

    def through(amount: int) -> int:
        for pool in pools:
            amount = pool.quote_out(A, amount)
        return amount

    assert through(size.amount_in) == size.amount_out
    assert 0 < size.profit <= best
    assert size.amount_in == 1 or through(size.amount_in - 1) < size.amount_out
    levels = [size.amount_in]
    for pool in pools:
        levels.append(pool.quote_out(A, levels[-1]))
    if min(levels) > 10**13:
        # Rounding costs a unit of each level, which is worth no more than this.
        worth = sum(Fraction(levels[-1], level) for level in levels)
        assert size.profit >= Fraction(best) * (1 - Fraction(1, 10**9)) - 2 * worth - 4

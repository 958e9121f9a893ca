"""The input that leaves most after a loan's fee, against trying every one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arbtui.domain import Hop, Opportunity, Path
from arbtui.market import MarketState, UniswapV2Pool
from arbtui.search import size
from arbtui.units import PPM, Ppm, mul_div_up, parse_address
from tests.property.test_search_brute_force import TOKENS, all_cycles, market, markets, through

FEES_PPM = st.sampled_from([1, 500, 900, 5_000, 200_000])


def left(amount: int, out: int, fee_ppm: int) -> int:
    return out - amount - mul_div_up(amount, fee_ppm, PPM)


def check(state: MarketState, fee_ppm: int, most: int, slack: int) -> None:
    for path in all_cycles(state, TOKENS[0], 3):
        best = max(left(amount, through(state, path, amount), fee_ppm) for amount in range(1, most))
        found = size(path, state, fee_ppm)
        if found is None:
            assert best <= slack
            continue
        assert found.amount_out == through(state, path, found.amount_in)
        assert best - slack <= left(found.amount_in, found.amount_out, fee_ppm) <= best


@settings(max_examples=60, deadline=None)
@given(markets(most=2_000, with_v3=False, least_pools=4), FEES_PPM)
def test_small_constant_product_markets(state: MarketState, fee_ppm: int) -> None:
    check(state, fee_ppm, most=2_001, slack=1)


@settings(max_examples=60, deadline=None)
@given(markets(most=150, with_v3=True), FEES_PPM)
def test_small_mixed_markets(state: MarketState, fee_ppm: int) -> None:
    check(state, fee_ppm, most=400, slack=2)


def two_pools(cheaper_bps: int) -> tuple[MarketState, Path]:
    """Two deep pools without a fee, one of which sells the second token so much cheaper."""
    deep = 10**24
    pools = [
        UniswapV2Pool(parse_address(f"0x{256 + number:040x}"), "v2", *TOKENS[:2], Ppm(0), reserve, deep)
        for number, reserve in enumerate((deep, deep * (10_000 + cheaper_bps) // 10_000))
    ]
    hops = [
        Hop(pool.address, "v2", pool.kind, pool.fee_ppm, TOKENS[at], TOKENS[1 - at])
        for at, pool in enumerate(pools)
    ]
    return market(list(pools)), Path(tuple(hops))


def sized(state: MarketState, path: Path, fee_ppm: int = 0) -> Opportunity:
    found = size(path, state, fee_ppm)
    assert found is not None
    return found


@pytest.mark.parametrize("fee_ppm", [500, 900])
def test_a_thin_spread_pays_at_a_smaller_input_where_the_greatest_gross_profit_does_not(fee_ppm: int) -> None:
    """Of a spread s the input of the greatest profit keeps s/2 on average: less than the fee, where the first parts
    of it still earn s."""
    state, path = two_pools(2 * fee_ppm // 110)
    gross, net = sized(state, path), sized(state, path, fee_ppm)
    assert left(gross.amount_in, gross.amount_out, fee_ppm) < 0
    assert left(net.amount_in, net.amount_out, fee_ppm) > 0
    assert net.amount_in < gross.amount_in


def test_what_is_left_is_greatest_there_and_the_first_order_says_by_how_much() -> None:
    state, path = two_pools(30)
    gross, net = sized(state, path), sized(state, path, 900)
    more = left(net.amount_in, net.amount_out, 900) / left(gross.amount_in, gross.amount_out, 900)
    # (s - f)**2 / (s * (s - 2*f)), with s = 30 bps and f = 9.
    assert more == pytest.approx(21**2 / (30 * 12), rel=0.01)
    for offset in (-(10**19), 10**19):
        amount = net.amount_in + offset
        assert left(amount, through(state, path, amount), 900) < left(net.amount_in, net.amount_out, 900)


def test_no_input_leaves_anything_after_a_fee_above_the_spread() -> None:
    state, path = two_pools(4)
    assert size(path, state) is not None
    assert size(path, state, 500) is None

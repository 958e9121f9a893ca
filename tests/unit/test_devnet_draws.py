"""The traders' draws: a pure function of the seed and the pools."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.devnet import draws, plan
from arbtui.devnet.draws import Venue
from arbtui.devnet.traffic import target_price, v2_input_to
from arbtui.units import GWEI, PPM, Address

SEEDS = (1, 7, 42)
MINUTE = 30


def market() -> tuple[Venue, ...]:
    """The plan's pools under made-up addresses, tokens in alphabetical order."""
    return tuple(
        Venue(Address(f"0x{number:040x}"), pool.kind, *sorted((pool.a, pool.b)), pool.fee_ppm)
        for number, pool in enumerate(plan.pools(1), start=1)
    )


def test_a_seed_gives_the_same_ticks_again() -> None:
    first = list(islice(draws.ticks(7, market()), 200))
    second = list(islice(draws.ticks(7, market()), 200))
    assert first == second


def test_seeds_differ() -> None:
    taken = {seed: draws.first_draws(seed, market(), 50) for seed in SEEDS}
    assert len(set(taken.values())) == len(SEEDS)


def test_draws_are_the_openings_of_the_ticks() -> None:
    openings = draws.first_draws(1, market(), 100)
    assert tuple(islice(draws.draws(1, market()), len(openings))) == openings


@pytest.mark.parametrize("seed", SEEDS)
def test_every_size_and_every_lifetime_is_drawn(seed: int) -> None:
    opened = draws.first_draws(seed, market(), 45)
    sizes = [abs(draw.offset_ppm) for draw in opened]
    assert min(sizes) >= 1_000
    assert sum(size <= 4_000 for size in sizes) >= 3, "none that gas or fees would eat"
    assert sum(8_000 <= size <= 20_000 for size in sizes) >= 10
    assert any(size >= 25_000 for size in sizes)
    assert max(sizes) <= 32_000
    lifetimes = [draw.lifetime for draw in opened]
    assert sum(lifetime == 1 for lifetime in lifetimes) >= 2, "none that is gone in the next block"
    assert sum(2 <= lifetime <= 10 for lifetime in lifetimes) >= 20
    assert any(lifetime >= MINUTE for lifetime in lifetimes)
    assert {draw.offset_ppm > 0 for draw in opened} == {True, False}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("pair", "least_ppm"),
    [
        ({"DAI", "WETH"}, 15_000),
        ({"WETH", "USDC"}, 11_000),
        ({"WETH", "USDC"}, 20_000),
        ({"WBTC", "USDT"}, 14_000),
    ],
)
def test_no_pair_is_quiet_for_long(seed: int, pair: set[str], least_ppm: int) -> None:
    venues = {venue.address: venue for venue in market()}
    good = [
        draw.tick
        for draw in draws.first_draws(seed, market(), 200)
        if venues[draw.pool].pair == pair and abs(draw.offset_ppm) >= least_ppm and draw.lifetime > 1
    ]
    gaps = [later - earlier for earlier, later in zip([0, *good], [*good, 200], strict=True)]
    assert max(gaps) <= 12, f"quiet for {max(gaps)} ticks"
    assert len(good) >= 200 // 10


@pytest.mark.parametrize("seed", SEEDS)
def test_what_opens_closes_and_no_pool_is_pushed_twice(seed: int) -> None:
    open_now: dict[Address, draws.Draw] = {}
    for tick in islice(draws.ticks(seed, market()), 300):
        for draw in tick.closes:
            assert open_now.pop(draw.pool) == draw
            assert tick.number == draw.tick + draw.lifetime
        for draw in tick.opens:
            assert draw.pool not in open_now
            open_now[draw.pool] = draw
        for upkeep in tick.upkeep:
            assert upkeep.pool not in open_now or open_now[upkeep.pool].tick == tick.number
        assert all(draw.tick + draw.lifetime > tick.number for draw in open_now.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_the_base_fee_walks_in_small_steps_between_its_bounds(seed: int) -> None:
    fees = list(islice(draws.base_fees(seed), 3_000))
    assert all(5 * GWEI <= fee <= 60 * GWEI for fee in fees)
    steps = [abs(b - a) * PPM // a for a, b in pairwise(fees)]
    assert max(steps) <= 120_000
    assert sum(step <= 60_000 for step in steps) >= 0.95 * len(steps)
    assert max(fees) > 1.5 * min(fees)


@pytest.mark.parametrize("seed", SEEDS)
def test_references_walk_and_stay_near_where_they_began(seed: int) -> None:
    for tick in islice(draws.ticks(seed, market()), 2_000):
        for token in plan.TOKENS:
            bound = 2_000 if token.usd == 1 else 80_000
            assert abs(tick.references[token.symbol] - token.usd * draws.MICRO) <= (
                token.usd * draws.MICRO * bound // PPM
            )
    assert tick.references["WETH"] != 2_500 * draws.MICRO


def test_the_pools_alone_decide_with_the_seed() -> None:
    other = tuple(
        replace(venue, address=Address("0x" + "1" * 39 + f"{i:x}")) for i, venue in enumerate(market())
    )
    places = {venue.address: index for venues in (market(), other) for index, venue in enumerate(venues)}

    def shape(venues: tuple[Venue, ...]) -> list[tuple[int, int, int]]:
        return [(d.tick, places[d.pool], d.offset_ppm) for d in draws.first_draws(42, venues, 100)]

    assert shape(market()) == shape(other)


def test_target_price_is_in_base_units() -> None:
    venue = Venue(Address("0x" + "1" * 40), "uniswap_v2", "WETH", "USDC", 3000)
    references = {"WETH": 2_500 * draws.MICRO, "USDC": draws.MICRO}
    assert target_price(venue, references) == Fraction(2_500 * 10**6, 10**18)
    assert target_price(venue, references, -10_000) == Fraction(2_475 * 10**6, 10**18)


@given(
    reserve_in=st.integers(10**9, 10**27),
    reserve_out=st.integers(10**9, 10**27),
    fall_ppm=st.integers(50, 500_000),
    fee_ppm=st.sampled_from([0, 500, 3000, 10_000]),
)
def test_v2_input_reaches_the_target_and_one_more_passes_it(
    reserve_in: int, reserve_out: int, fall_ppm: int, fee_ppm: int
) -> None:
    target = Fraction(reserve_out, reserve_in) * (PPM - fall_ppm) / PPM
    amount = v2_input_to(reserve_in, reserve_out, fee_ppm, target)

    def price_after(amount_in: int) -> Fraction:
        kept = Fraction(amount_in * (PPM - fee_ppm), PPM)
        return reserve_in * reserve_out / (reserve_in + kept) / (reserve_in + amount_in)

    assert price_after(amount + 2) <= target
    assert price_after(max(0, amount - 1)) >= target


def test_v2_input_is_nothing_where_the_price_is_past_the_target() -> None:
    assert v2_input_to(1_000, 1_000, 3000, Fraction(2)) == 0

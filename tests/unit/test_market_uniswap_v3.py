"""Uniswap V3 beside the bytecode test: published constants, a rational model, edges, and reading."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.domain import CallResult
from arbtui.errors import MalformedAnswer
from arbtui.market import NeedsMore, SwapReverts, UniswapV3Pool, read_calls, with_answers
from arbtui.market.tick_math import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    PriceError,
    sqrt_ratio_at_tick,
    tick_at_sqrt_ratio,
)
from arbtui.market.uniswap_v3 import BEYOND_WINDOW, WINDOW_WORDS
from arbtui.units import Ppm, parse_address

POOL = parse_address("0x" + "0f" * 20)
A = parse_address("0x" + "11" * 20)
B = parse_address("0x" + "22" * 20)


def v3(
    *positions: tuple[int, int, int],
    tick: int = 0,
    fee: int = 3000,
    spacing: int = 60,
    window: tuple[int, int] | None = None,
) -> UniswapV3Pool:
    nets: dict[int, int] = {}
    gross: dict[int, int] = {}
    for low, high, liquidity in positions:
        nets[low] = nets.get(low, 0) + liquidity
        nets[high] = nets.get(high, 0) - liquidity
        for index in (low, high):
            gross[index] = gross.get(index, 0) + liquidity
    here = sum(liquidity for low, high, liquidity in positions if low <= tick < high)
    price = sqrt_ratio_at_tick(tick)
    ticks = tuple(sorted(nets.items()))
    return UniswapV3Pool(
        POOL,
        "uniswap",
        A,
        B,
        Ppm(fee),
        spacing,
        price,
        tick,
        here,
        ticks,
        window,
        gross=tuple(gross[index] for index in sorted(gross)),
        reach=WINDOW_WORDS,
    )


def test_the_ends_of_the_price_range() -> None:
    assert sqrt_ratio_at_tick(MIN_TICK) == MIN_SQRT_RATIO
    assert sqrt_ratio_at_tick(MAX_TICK) == MAX_SQRT_RATIO
    assert sqrt_ratio_at_tick(0) == 2**96
    assert tick_at_sqrt_ratio(MIN_SQRT_RATIO) == MIN_TICK
    assert tick_at_sqrt_ratio(MAX_SQRT_RATIO - 1) == MAX_TICK - 1
    for tick in (MIN_TICK - 1, MAX_TICK + 1):
        with pytest.raises(PriceError, match="T"):
            sqrt_ratio_at_tick(tick)
    for price in (MIN_SQRT_RATIO - 1, MAX_SQRT_RATIO):
        with pytest.raises(PriceError, match="R"):
            tick_at_sqrt_ratio(price)


@given(st.integers(-3000, 3000))
def test_ratio_is_the_root_of_the_power(tick: int) -> None:
    power = Fraction(10_001, 10_000) ** tick
    root = isqrt(power.numerator * 2**192 // power.denominator)
    assert abs(sqrt_ratio_at_tick(tick) - root) <= 1 + root // 2**90


@given(st.integers(MIN_TICK, MAX_TICK - 1), st.integers(0, 2**200))
def test_tick_of_a_price_is_the_last_not_above_it(tick: int, salt: int) -> None:
    low, high = sqrt_ratio_at_tick(tick), sqrt_ratio_at_tick(tick + 1)
    assert low < high
    assert tick_at_sqrt_ratio(low + salt % (high - low)) == tick
    assert tick_at_sqrt_ratio(high - 1) == tick


@given(st.integers(1, 10**24), st.booleans())
def test_one_range_is_a_constant_product_rounded_against_the_trader(amount: int, zero_for_one: bool) -> None:
    pool = v3((-120, 120, 10**22), fee=500, spacing=10)
    token = A if zero_for_one else B
    capacity = pool.capacity_in(token)
    assert capacity is not None
    amount = min(amount, capacity - 1)
    kept = amount * Fraction(999_500, 1_000_000)
    ideal = Fraction(10**22) * kept / (10**22 + kept)
    got = pool.quote_out(token, amount)
    assert ideal - 3 <= got <= ideal
    (stretch, *_) = pool.stretches(token)
    assert Fraction(stretch.p * amount, stretch.q + stretch.r * amount) == ideal


def test_capacity_reaches_the_next_initialised_tick_and_no_further() -> None:
    pool = v3((-600, 600, 10**18), (-60, 120, 10**18))
    for token, edge in ((A, -60), (B, 120)):
        capacity = pool.capacity_in(token)
        assert capacity is not None
        reached = pool.swap_exact_in(token, capacity).after
        assert isinstance(reached, UniswapV3Pool)
        assert reached.sqrt_price_x96 == sqrt_ratio_at_tick(edge)
        assert reached.liquidity == 10**18
        short = pool.swap_exact_in(token, capacity - 1).after
        assert isinstance(short, UniswapV3Pool)
        assert short.liquidity == 2 * 10**18


def test_stretches_cover_the_liquidity_and_skip_the_gaps() -> None:
    pool = v3((-120, 120, 10**18), (600, 660, 5 * 10**18))
    up = list(pool.stretches(B))
    assert len(up) == 2
    taken = sum(stretch.capacity for stretch in up)
    done = pool.swap_exact_in(B, taken)
    assert taken - 2 <= done.amount_in <= taken
    assert done.amount_out == pool.swap_exact_in(B, 10 * taken).amount_out
    assert pool.quote_out(B, 10 * taken) == 0, "a quote is for the whole input"
    assert pool.swap_exact_in(B, 10 * taken).amount_in == done.amount_in


def test_exact_out_beyond_the_liquidity_gives_what_there_is() -> None:
    pool = v3((-120, 120, 10**18))
    done = pool.swap_exact_out(A, 10**30)
    assert 0 < done.amount_out < 10**18
    assert pool.least_in(A, 10**30) == 0


@given(st.integers(1, 10**17), st.booleans(), st.sampled_from([0, -65_000, 190_000]))
def test_least_in_is_the_least(amount: int, zero_for_one: bool, tick: int) -> None:
    base = tick // 60 * 60
    pool = v3((base - 600, base + 600, 10**15), (base - 60, base + 120, 3 * 10**15), tick=tick)
    token = A if zero_for_one else B
    least = pool.least_in(token, amount)
    if least:
        assert pool.quote_out(token, least) >= amount
        assert pool.quote_out(token, least - 1) < amount
    else:
        assert pool.swap_exact_out(token, amount).amount_out < amount


@pytest.mark.parametrize(
    ("pool", "token", "amount", "reason"),
    [
        (v3((-60, 60, 10**18)), A, 0, "AS"),
        (v3((-60, 60, 10**18)), A, 2**255, "the amount does not fit int256"),
        (UniswapV3Pool.unread(POOL, "uniswap", A, B, Ppm(500), 10), A, 1, "LOK"),
        (v3(tick=MIN_TICK), A, 1, "SPL"),
    ],
)
def test_reverts_carry_the_contracts_reason(
    pool: UniswapV3Pool, token: str, amount: int, reason: str
) -> None:
    with pytest.raises(SwapReverts) as refused:
        pool.swap_exact_in(A, amount)
    assert refused.value.reason == reason
    assert pool.quote_out(A, amount) == 0


def test_exact_out_never_gives_more_than_asked() -> None:
    # Beyond 2**96 of liquidity one step of the sqrt price is worth more than one base unit.
    pool = v3((-600, 600, 2**115))
    for token in (A, B):
        done = pool.swap_exact_out(token, 1)
        assert done.amount_out == 1
        assert done.amount_in > 1


def test_an_empty_pool_moves_to_the_end_for_nothing() -> None:
    done = v3(tick=1000, spacing=1).swap_exact_in(A, 5)
    assert (done.amount_in, done.amount_out, done.fee) == (0, 0, 0)
    assert isinstance(done.after, UniswapV3Pool)
    assert done.after.sqrt_price_x96 == MIN_SQRT_RATIO + 1


def test_a_window_ends_what_is_known() -> None:
    span = 256 * 60
    whole = v3((-4 * span, 4 * span, 10**18))
    read = v3((-4 * span, 4 * span, 10**18), window=(-span, span - 60))
    near = 10**17
    assert read.swap_exact_in(A, near).amount_out == whole.swap_exact_in(A, near).amount_out
    capacity = sum(stretch.capacity for stretch in UniswapV3Pool.stretches(_cut(read), A))
    assert read.quote_out(A, capacity - 5) > 0
    for token in (A, B):
        with pytest.raises(SwapReverts, match=BEYOND_WINDOW):
            read.swap_exact_in(token, 10**19)
        assert whole.swap_exact_in(token, 10**18).amount_out > 0


def _cut(pool: UniswapV3Pool) -> UniswapV3Pool:
    """The same pool, holding only the ticks inside its window, as a reader would have it."""
    assert pool.window is not None
    low, high = pool.window
    ticks = tuple(tick for tick in pool.ticks if low <= tick[0] <= high)
    return UniswapV3Pool(
        POOL, pool.dex, A, B, pool.fee_ppm, pool.tick_spacing, pool.sqrt_price_x96, pool.tick, pool.liquidity,
        ticks, pool.window,
    )  # fmt: skip


def words(*values: int) -> bytes:
    return b"".join((value % 2**256).to_bytes(32) for value in values)


def answer(pool: UniswapV3Pool, what: str) -> CallResult:
    """What the contract of `pool` would answer to the call named `what`."""
    if "slot0" in what:
        return CallResult(True, words(pool.sqrt_price_x96, pool.tick, 0, 1, 1, 0, 1))
    if "liquidity" in what:
        return CallResult(True, words(pool.liquidity))
    number = int(what[what.rindex("(") + 1 : -1])
    if "tickBitmap" in what:
        bits = [index // pool.tick_spacing for index, _ in pool.ticks]
        return CallResult(True, words(sum(1 << (bit & 255) for bit in bits if bit >> 8 == number)))
    place = [index for index, _ in pool.ticks].index(number)
    return CallResult(True, words((pool.gross or ())[place], pool.ticks[place][1], 0, 0, 0, 0, 0, 1))


def test_reading_asks_until_it_has_all_ticks() -> None:
    there = v3((-6000, 6000, 10**18), (-60, 60, 7), (60 * 256 * 5, 60 * 256 * 6, 9), tick=-59)
    known = UniswapV3Pool.unread(POOL, "uniswap", A, B, Ppm(3000), 60)
    step = with_answers(known, [answer(there, call.what) for call in read_calls(known)])
    rounds = 1
    while isinstance(step, NeedsMore):
        step = with_answers(step, [answer(there, call.what) for call in step.calls])
        rounds += 1
    assert isinstance(step, UniswapV3Pool)
    assert rounds == 3
    assert (step.sqrt_price_x96, step.tick, step.liquidity) == (there.sqrt_price_x96, -59, there.liquidity)
    assert step.ticks == ((-6000, 10**18), (-60, 7), (60, -7), (6000, -(10**18)))
    assert step.window == (-3 * 256 * 60, (256 * 2 - 1) * 60)
    assert with_answers(step, [answer(there, call.what) for call in read_calls(step)]) == step


def test_all_words_read_is_no_window() -> None:
    there = v3((-16000, 16000, 10**18), spacing=16_000)
    step = with_answers(there, [answer(there, call.what) for call in read_calls(there)])
    assert isinstance(step, UniswapV3Pool)
    assert step.window is None
    assert step == there


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("slot0()", CallResult(True, b"")),
        ("liquidity()", CallResult(False, b"")),
        ("tickBitmap(0)", CallResult(True, bytes(31))),
        ("ticks(-60)", CallResult(False, bytes(256))),
    ],
)
def test_a_failed_or_short_answer_names_pool_and_call(name: str, result: CallResult) -> None:
    pool = v3((-60, 60, 10**18))
    results = [result if call.what.endswith(name) else answer(pool, call.what) for call in read_calls(pool)]
    with pytest.raises(MalformedAnswer) as refused:
        with_answers(pool, results)
    assert POOL in str(refused.value)
    assert name in str(refused.value)


def test_a_number_of_answers_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MalformedAnswer, match="1 answers"):
        with_answers(v3((-60, 60, 1)), [CallResult(True, bytes(224))])

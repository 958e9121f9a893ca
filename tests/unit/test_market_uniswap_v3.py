"""Uniswap V3 beside the bytecode test: published constants, a rational model, edges, and reading."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import topic
from arbtui.domain import CallResult, Log
from arbtui.errors import MalformedAnswer
from arbtui.market import (
    FAMILIES,
    LOG_TOPICS,
    LogRefused,
    NeedsMore,
    Pool,
    SwapReverts,
    UniswapV3Pool,
    bitmap_words,
    read_calls,
    with_answers,
)
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


def log(signature: str, indexed: Sequence[int], *values: int) -> Log:
    topics = (topic(signature), *("0x" + (value % 2**256).to_bytes(32).hex() for value in indexed))
    return Log(POOL, topics, words(*values), 1, "0x01", 0)


SWAP = "Swap(address,address,int256,int256,uint160,uint128,int24)"
PANCAKE_SWAP = "Swap(address,address,int256,int256,uint160,uint128,int24,uint128,uint128)"


def swapped(tick: int, liquidity: int, price: int | None = None, signature: str = SWAP) -> Log:
    price = sqrt_ratio_at_tick(tick) if price is None else price
    tail = (3, 0) if signature == PANCAKE_SWAP else ()
    return log(signature, (1, 2), 5, -5, price, liquidity, tick, *tail)


def minted(low: int, high: int, amount: int) -> Log:
    return log("Mint(address,address,int24,int24,uint128,uint256,uint256)", (1, low, high), 9, amount, 1, 1)


def burned(low: int, high: int, amount: int) -> Log:
    return log("Burn(address,int24,int24,uint128,uint256,uint256)", (1, low, high), amount, 1, 1)


def after(pool: Pool, *logs: Log) -> UniswapV3Pool:
    for entry in logs:
        pool = FAMILIES[pool.kind].apply_log(pool, entry)
    assert isinstance(pool, UniswapV3Pool)
    return pool


@pytest.mark.parametrize("signature", [SWAP, PANCAKE_SWAP])
def test_a_swap_log_moves_price_tick_and_liquidity(signature: str) -> None:
    pool = v3((-600, 600, 1000), (120, 240, 7))
    moved = after(pool, swapped(130, 1007, signature=signature))
    assert moved == replace(pool, sqrt_price_x96=sqrt_ratio_at_tick(130), tick=130, liquidity=1007)
    assert after(moved, swapped(-5, 1000, signature=signature)).liquidity == 1000
    # Stopped on a tick on the way down: the price is the tick's, the tick one below.
    assert after(moved, swapped(119, 1000, sqrt_ratio_at_tick(120))).tick == 119
    assert {topic(signature)} <= FAMILIES[pool.kind].log_topics <= LOG_TOPICS


def test_positions_make_and_end_ticks() -> None:
    pool = v3((-600, 600, 1000))
    one = after(pool, minted(-120, 60, 5))
    assert one == v3((-600, 600, 1000), (-120, 60, 5))
    # A second position that ends where the first begins: the nets cancel, the tick stays a step's end.
    two = after(one, minted(-240, -120, 5))
    assert two == v3((-600, 600, 1000), (-120, 60, 5), (-240, -120, 5))
    assert (-120, 0) in two.ticks
    assert two.liquidity == 1005
    assert after(two, burned(-240, -120, 5)) == one
    assert after(two, burned(-120, 60, 5)) == v3((-600, 600, 1000), (-240, -120, 5))
    assert after(two, burned(-240, -120, 5), burned(-120, 60, 5)) == pool
    # What collects fees burns nothing.
    assert after(two, burned(-240, -120, 0)) is two


def test_a_tick_whose_net_is_0_rounds_as_a_step_does() -> None:
    """Why gross liquidity is kept: with and without the tick the pool gives different amounts."""
    kept = v3((-600, 600, 10**6), (-120, -60, 10**6), (-60, 0, 10**6), tick=-30)
    lost = replace(kept, ticks=tuple(tick for tick in kept.ticks if tick[1]), gross=None)
    assert (-60, 0) in kept.ticks
    assert any(kept.quote_out(A, amount) != lost.quote_out(A, amount) for amount in range(1, 8000))


def test_gross_liquidity_that_is_not_known_is_not_guessed() -> None:
    pool = replace(v3((-600, 600, 1000), (-120, 60, 5)), gross=None)
    grown = after(pool, minted(-240, -120, 5))
    assert (grown.gross, dict(grown.ticks)[-120]) == (None, 0)
    assert after(pool, burned(-600, 600, 1)).gross is None, "a net that is not 0 proves the tick"
    with pytest.raises(LogRefused, match="may end tick -600: its gross liquidity is not known"):
        after(pool, burned(-600, 600, 1000))


def test_a_new_pool_is_known_from_its_first_log() -> None:
    blank = UniswapV3Pool.unread(POOL, "uniswap", A, B, Ppm(3000), 60, None)
    price = sqrt_ratio_at_tick(61)
    made = after(
        blank, log("Initialize(uint160,int24)", (), price, 61), minted(0, 120, 9), minted(-60, 60, 4)
    )
    assert made == v3((0, 120, 9), (-60, 60, 4), tick=61)


UNFIT = [
    (swapped(130, 1007), "a Swap that leaves a liquidity of 1007, where the ticks kept give 1000"),
    (swapped(700, 1000), "a Swap that leaves a liquidity of 1000, where the ticks kept give 0"),
    (swapped(130, 1000, price=5), "a price that no pool can have"),
    (swapped(130, 1000, price=sqrt_ratio_at_tick(132)), "sqrt_price_x96 does not lie in tick"),
    (swapped(0, 2**128), "a Swap that leaves a liquidity beyond uint128"),
    (log(SWAP, (1, 2), 5, -5, 2**96, 1000, 2**23), "a word that is no int24"),
    (log(SWAP, (1, 2), 5, -5, 2**96, 1000, -(2**255)), "a word that is no int24"),
    (log(SWAP, (1,), 5, -5, 2**96, 1000, 0), "a Swap of 2 topics and 160 bytes, not 3 and 160"),
    (log(SWAP, (1, 2), 5, -5, 2**96, 1000), "a Swap of 3 topics and 128 bytes, not 3 and 160"),
    (log(PANCAKE_SWAP, (1, 2), 5, -5, 2**96, 1000, 0), "a Swap of 3 topics and 160 bytes, not 3 and 224"),
    (minted(60, 60, 5), "a Mint from tick 60 to 60"),
    (minted(-61, 60, 5), "a Mint from tick -61 to 60"),
    (minted(-60, 887_280, 5), "a Mint from tick -60 to 887280"),
    (minted(-60, 60, 2**128), "a Mint beyond uint128"),
    (
        minted(-60, 60, 2**128 - 1000),
        "a Mint that leaves a liquidity of 340282366920938463463374607431768211456",
    ),
    (burned(-60, 60, 5), "a Burn at tick -60, which is not initialised"),
    (burned(-600, 600, 1001), "a gross liquidity of -1 and a net of -1 at tick -600"),
    (log("Initialize(uint160,int24)", (), 2**96, 0), "an Initialize of a pool that is initialised"),
    (log("Sync(uint112,uint112)", (), 1, 1), "that is not one of its family"),
]


@pytest.mark.parametrize(("entry", "reason"), UNFIT, ids=[reason for _, reason in UNFIT])
def test_a_log_that_does_not_fit_the_pool_is_refused(entry: Log, reason: str) -> None:
    with pytest.raises(LogRefused) as refused:
        after(v3((-600, 600, 1000)), entry)
    assert reason in refused.value.reason
    assert POOL in str(refused.value)


@pytest.mark.parametrize("entry", [swapped(0, 0), minted(-60, 60, 1), burned(-60, 60, 1)])
def test_nothing_happens_in_a_pool_that_is_not_initialised(entry: Log) -> None:
    with pytest.raises(LogRefused, match="not initialised"):
        after(UniswapV3Pool.unread(POOL, "uniswap", A, B, Ppm(3000), 60), entry)


@pytest.mark.parametrize("text", ["0x5", "-0x" + "0" * 63, "0x" + "zz" * 32, "0x" + "0" * 65, ""])
def test_a_topic_that_is_no_word_is_refused(text: str) -> None:
    entry = minted(-60, 60, 5)
    with pytest.raises(LogRefused, match="topic 2 is not 0x and 64 hex digits"):
        after(v3((-600, 600, 1000)), replace(entry, topics=(*entry.topics[:2], text, entry.topics[3])))


def test_a_windowed_pool_keeps_the_ticks_of_its_window_alone() -> None:
    span = 256 * 60
    pool = _cut(v3((-600, 600, 1000), (-2 * span, 2 * span, 50), window=(-span, span - 60)))
    pool = replace(pool, gross=(1000, 1000))
    grown = after(pool, minted(-span - 60, 120, 5), burned(-2 * span, 2 * span, 20))
    assert grown.ticks == ((-600, 1000), (120, -5), (600, -1000))
    assert grown.gross == (1000, 5, 1000)
    assert grown.liquidity == 1035
    # Outside, what a Swap says cannot be checked and is taken as it is.
    assert after(grown, swapped(span + 5, 123)).liquidity == 123
    with pytest.raises(LogRefused, match="a Burn that leaves a liquidity of -5"):
        after(grown, burned(-span - 60, 2 * span, 1040))


def test_the_whole_bitmap_is_read_in_two_rounds() -> None:
    there = v3((-6000, 6000, 10**18), (-60, 60, 7), (-887_220, 887_220, 9), (60 * 256 * 5, 60 * 256 * 6, 9))
    known = UniswapV3Pool.unread(POOL, "uniswap", A, B, Ppm(3000), 60, None)
    calls = read_calls(known)
    assert len(calls) == 2 + bitmap_words(60) == 2 + 116
    step = with_answers(known, [answer(there, call.what) for call in calls])
    assert isinstance(step, NeedsMore)
    assert len(step.calls) == 8
    step = with_answers(step, [answer(there, call.what) for call in step.calls])
    assert step == there
    assert isinstance(step, UniswapV3Pool)
    assert step.window is None
    # Known already, it is read anew in one.
    assert with_answers(step, [answer(there, call.what) for call in read_calls(step)]) == there


def test_bitmap_words_of_the_usual_spacings() -> None:
    assert [bitmap_words(spacing) for spacing in (1, 10, 60, 200, 16_383)] == [6932, 694, 116, 36, 2]


CONTRADICTIONS = [
    ("liquidity()", words(5), "liquidity differs from the sum of liquidity_net up to tick"),
    ("slot0()", words(2**96, 3, 0, 1, 1, 0, 1), "sqrt_price_x96 does not lie in tick"),
    ("slot0()", words(2**96, 2**24, 0, 1, 1, 0, 1), "a word that is no int24"),
    ("ticks(60)", words(4, -5, 0, 0, 0, 0, 0, 1), "liquidity_gross at 60 is out of range"),
    ("ticks(60)", words(0, 0, 0, 0, 0, 0, 0, 0), "liquidity_gross at 60 is out of range"),
    ("ticks(60)", words(2**128, 2**127, 0, 0, 0, 0, 0, 1), "a word that is no int128"),
]


@pytest.mark.parametrize(("name", "body", "reason"), CONTRADICTIONS)
def test_answers_that_contradict_each_other_are_refused(name: str, body: bytes, reason: str) -> None:
    pool = replace(v3((-60, 60, 10**18)), reach=None)
    results = [
        CallResult(True, body) if call.what.endswith(name) else answer(pool, call.what)
        for call in read_calls(pool)
    ]
    with pytest.raises(MalformedAnswer) as refused:
        with_answers(pool, results)
    assert reason in str(refused.value)
    assert POOL in str(refused.value)


def test_a_bitmap_with_a_bit_past_the_last_tick_is_refused() -> None:
    pool = UniswapV3Pool.unread(POOL, "uniswap", A, B, Ppm(3000), 60, None)
    there = v3((-60, 60, 10**18))

    def lying(what: str) -> CallResult:
        if "tickBitmap(57)" in what:
            return CallResult(True, words(1 << 255))
        return CallResult(True, words(1, 0)) if "ticks(890820)" in what else answer(there, what)

    step = with_answers(pool, [lying(call.what) for call in read_calls(pool)])
    assert isinstance(step, NeedsMore)
    with pytest.raises(MalformedAnswer, match="index 890820 is out of range"):
        with_answers(step, [lying(call.what) for call in step.calls])


@given(
    st.lists(
        st.tuples(st.integers(-40, 39), st.integers(1, 40), st.integers(1, 10**6)), min_size=1, max_size=12
    ),
    st.integers(-2000, 2000),
    st.booleans(),
    st.lists(st.integers(1, 10**7), min_size=1, max_size=8),
)
def test_kept_steps_say_what_steps_walked_anew_say(
    positions: list[tuple[int, int, int]], tick: int, zero_for_one: bool, amounts: list[int]
) -> None:
    """One pool asked in any order, against a pool that was asked nothing else; and exact-in splits at any step."""
    pool = v3(*((low * 60, (low + wide) * 60, liquidity) for low, wide, liquidity in positions), tick=tick)
    token = A if zero_for_one else B
    for amount in amounts:
        fresh = pool.at_price(pool.sqrt_price_x96, pool.tick, pool.liquidity)
        kept, walked = pool.swap_exact_in(token, amount), fresh.swap_exact_in(token, amount)
        assert kept == walked
        assert pool.quote_out(token, amount) == (walked.amount_out if walked.amount_in == amount else 0)
        asked = pool.swap_exact_out(token, amount)
        assert asked == fresh.swap_exact_out(token, amount)
        least = pool.least_in(token, amount)
        if asked.amount_out == amount:
            assert pool.quote_out(token, least) >= amount > pool.quote_out(token, least - 1)
        else:
            assert least == 0


def test_the_least_input_is_found_where_one_unit_out_costs_very_many_in() -> None:
    pool = v3((-480_000, -240_000, 10**12), tick=-360_000)
    for amount in (1, 2, 17):
        least = pool.least_in(A, amount)
        assert least > 1 << 40
        assert pool.quote_out(A, least) >= amount > pool.quote_out(A, least - 1)


def test_many_threads_may_quote_one_pool() -> None:
    pool = v3(*((low * 60, (low + 30) * 60, 10**6 + low) for low in range(-200, 170)))
    amounts = [random.Random(3).randint(1, 10**8) for _ in range(300)]
    alone = [pool.at_price(pool.sqrt_price_x96, pool.tick, pool.liquidity).quote_out(A, x) for x in amounts]
    with ThreadPoolExecutor(8) as threads:
        for answers in threads.map(lambda _: [pool.quote_out(A, amount) for amount in amounts], range(8)):
            assert answers == alone

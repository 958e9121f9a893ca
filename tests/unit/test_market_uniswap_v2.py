from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.domain import CallResult, PoolKind
from arbtui.errors import MalformedAnswer, UsageError
from arbtui.market import SwapReverts, UniswapV2Pool, read_calls, with_answers
from arbtui.units import Address, Ppm, parse_address

POOL = parse_address("0x" + "0f" * 20)
A = parse_address("0x" + "11" * 20)
B = parse_address("0x" + "22" * 20)
C = parse_address("0x" + "33" * 20)

reserves = st.integers(1, 2**112 - 1)
fees = st.sampled_from([0, 1, 500, 2500, 3000, 10_000, 999_999])


def pair(reserve0: int, reserve1: int, fee_ppm: int = 3000) -> UniswapV2Pool:
    return UniswapV2Pool(POOL, "uniswap", A, B, Ppm(fee_ppm), reserve0, reserve1)


def k_holds(r_in: int, r_out: int, fee_ppm: int, amount_in: int, amount_out: int) -> bool:
    """UniswapV2Pair.swap's own check, told with fractions: the product after the fee may not fall."""
    kept = r_in + amount_in * (1 - Fraction(fee_ppm, 1_000_000))
    return amount_out < r_out and kept * (r_out - amount_out) >= r_in * r_out


def test_a_swap_of_the_books() -> None:
    done = pair(10_000, 20_000).swap_exact_in(A, 1_000)
    assert (done.amount_in, done.amount_out, done.fee) == (1_000, 1_813, 3)
    assert done.after == pair(11_000, 18_187)
    # 997 in at a price of 2 would be 1994 out; 1813 are 9.08 % short of it.
    assert done.price_impact_bps == pytest.approx((1994 - 1813) / 1994 * 10_000)


@given(reserves, reserves, fees, st.integers(1, 2**112), st.booleans())
def test_exact_in_gives_the_most_that_the_pair_lets_go(
    r0: int, r1: int, fee: int, amount: int, forwards: bool
) -> None:
    pool = pair(r0, r1, fee)
    token_in, r_in, r_out = (A, r0, r1) if forwards else (B, r1, r0)
    quote = pool.quote_out(token_in, amount)
    if quote == 0:
        overflows = r_in + amount >= 2**112
        assert overflows or not k_holds(r_in, r_out, fee, amount, 1)
        with pytest.raises(SwapReverts) as refused:
            pool.swap_exact_in(token_in, amount)
        assert refused.value.reason in ("OVERFLOW", "INSUFFICIENT_OUTPUT_AMOUNT")
        return
    assert k_holds(r_in, r_out, fee, amount, quote)
    assert not k_holds(r_in, r_out, fee, amount, quote + 1)
    done = pool.swap_exact_in(token_in, amount)
    assert done.amount_out == quote
    assert done.after.spot_ratio(token_in) == (r_out - quote, r_in + amount)
    assert done.fee >= Fraction(amount * fee, 1_000_000) > done.fee - 1


@given(reserves, reserves, fees, st.integers(1, 2**112), st.booleans())
def test_exact_out_asks_for_the_least_or_one_unit_more(
    r0: int, r1: int, fee: int, amount: int, forwards: bool
) -> None:
    pool = pair(r0, r1, fee)
    token_in, r_in, r_out = (A, r0, r1) if forwards else (B, r1, r0)
    least = pool.least_in(token_in, amount)
    if least:
        assert pool.quote_out(token_in, least) >= amount
        assert pool.quote_out(token_in, least - 1) < amount
    try:
        done = pool.swap_exact_out(token_in, amount)
    except SwapReverts as revert:
        overflows = revert.reason == "OVERFLOW"
        assert overflows != (amount >= r_out)
        assert not overflows or pool.quote_out(token_in, 2**112 - 2 - r_in) < amount
    else:
        assert done.amount_in - 1 <= least <= done.amount_in
        assert done.amount_out == amount


@pytest.mark.parametrize(
    ("pool", "exact_in", "amount", "reason"),
    [
        (pair(1, 10**18), True, 0, "INSUFFICIENT_INPUT_AMOUNT"),
        (pair(10**18, 5), True, 1, "INSUFFICIENT_OUTPUT_AMOUNT"),
        (pair(0, 0), True, 1, "INSUFFICIENT_LIQUIDITY"),
        (pair(100, 100), False, 0, "INSUFFICIENT_OUTPUT_AMOUNT"),
        (pair(100, 100), False, 100, "INSUFFICIENT_LIQUIDITY"),
        (pair(2**112 - 2, 2**112 - 1), True, 2, "OVERFLOW"),
    ],
)
def test_reverts_carry_the_contracts_reason(
    pool: UniswapV2Pool, exact_in: bool, amount: int, reason: str
) -> None:
    with pytest.raises(SwapReverts) as refused:
        pool.swap_exact_in(A, amount) if exact_in else pool.swap_exact_out(A, amount)
    assert refused.value.reason == reason
    assert POOL in str(refused.value)


def test_a_token_it_does_not_hold_is_bad_usage() -> None:
    for ask in (pair(1, 1).quote_out, pair(1, 1).swap_exact_in, pair(1, 1).swap_exact_out):
        with pytest.raises(UsageError, match=f"not {C}"):
            ask(C, 1)


def test_what_the_curve_says_of_itself() -> None:
    pool = pair(1_000, 4_000)
    assert pool.kind is PoolKind.UNISWAP_V2
    assert pool.spot_ratio(A) == (4_000, 1_000)
    assert pool.spot_ratio(B) == (1_000, 4_000)
    assert pool.depth(B) == 4_000
    assert pool.capacity_in(A) is None
    (stretch,) = pool.stretches(B)
    assert stretch.exact
    assert stretch.capacity == 2**112 - 1 - 4_000
    amount = 777
    assert stretch.p * amount // (stretch.q + stretch.r * amount) == pool.quote_out(B, amount)


def words(*values: int) -> bytes:
    return b"".join(value.to_bytes(32) for value in values)


def test_reserves_are_read() -> None:
    pool = pair(1, 1)
    (call,) = read_calls(pool)
    assert (call.target, call.data.hex()) == (POOL, "0902f1ac")
    assert with_answers(pool, [CallResult(True, words(7, 8, 9))]) == pair(7, 8)


@pytest.mark.parametrize(
    "result",
    [CallResult(False, words(1, 1, 1)), CallResult(True, words(1, 1)), CallResult(True, words(2**112, 1, 1))],
)
def test_a_bad_answer_names_the_pool(result: CallResult) -> None:
    with pytest.raises(MalformedAnswer, match=POOL):
        with_answers(pair(1, 1), [result])


def test_addresses_are_compared_whole() -> None:
    near = Address(A[:-1] + "2")
    with pytest.raises(UsageError):
        pair(5, 5).spot_ratio(near)

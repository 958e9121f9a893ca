"""Lenders understand raw answers; what real contracts answer is in tests/integration/test_lenders.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.domain import CallResult, ConversionRate, LenderId, LoanQuote
from arbtui.lenders import (
    AaveV2,
    AaveV3,
    BalancerV2,
    FlashLoanManager,
    GasView,
    Maker,
    OwnCapital,
    cheapest,
    why_lost,
)
from arbtui.lenders.base import Lender, Reason
from arbtui.units import GWEI, Wei
from tests.factories import DAI, EXECUTOR, POOL_A, POOL_B, TREASURY, USDC, WETH

LENDER = POOL_A
ATOKEN = POOL_B


def words(*values: int) -> CallResult:
    return CallResult(True, b"".join(value.to_bytes(32, "big") for value in values))


REVERTED = CallResult(False, b"")
NO_CODE = CallResult(True, b"")
V2 = AaveV2(LENDER)
V3 = AaveV3(LENDER)
VAULT = BalancerV2(LENDER)
FLASH = Maker(LENDER)
V3_OPEN = (1 << 56) | (1 << 63)


@pytest.mark.parametrize(
    ("lender", "amount", "answers", "reason", "available", "fee"),
    [
        (V2, 1_000, [words(9), words(0), words(5_000)], None, 5_000, 1),
        (V2, 5_001, [words(9), words(0), words(5_000)], Reason.INSUFFICIENT_LIQUIDITY, 5_000, 5),
        (V2, 5_000, [words(9), words(0), words(5_000)], None, 5_000, 5),
        (V2, 1_000, [words(9), words(1), words(5_000)], Reason.PAUSED, 5_000, 1),
        (V2, 0, [words(9), words(0), words(5_000)], Reason.ZERO_AMOUNT, 5_000, None),
        (V2, 1, [NO_CODE, words(0), words(5_000)], Reason.NO_CODE, None, None),
        (V2, 1, [words(9), REVERTED, words(5_000)], Reason.UNREADABLE, None, None),
        (V3, 10_001, [words(5), words(V3_OPEN), words(10**6), words(10**6), REVERTED], None, 10**6, 6),
        (
            V3,
            10,
            [words(5), words(V3_OPEN), words(10**6), words(10**6), words(9)],
            "insufficient_liquidity",
            9,
            1,
        ),
        (
            V3,
            10,
            [words(5), words(V3_OPEN), words(9), words(10**6), REVERTED],
            "insufficient_liquidity",
            9,
            1,
        ),
        (V3, 10, [words(5), words(1 << 63), words(10**6), words(10**6), REVERTED], Reason.INACTIVE, 10**6, 1),
        (V3, 10, [words(5), words(V3_OPEN | 1 << 60), words(99), words(99), REVERTED], Reason.PAUSED, 99, 1),
        (V3, 10, [words(5), words(V3_OPEN | 1 << 57), words(99), words(99), REVERTED], None, 99, 1),  # frozen
        (
            V3,
            10,
            [words(5), words(1 << 56), words(99), words(99), REVERTED],
            Reason.FLASH_LOANS_DISABLED,
            99,
            1,
        ),
        (VAULT, 10**6, [words(0), words(0, 1, 2), words(10**7)], None, 10**7, 0),
        (VAULT, 3, [words(10**16), words(0, 1, 2), words(10**7)], None, 10**7, 1),
        (VAULT, 3, [words(0), words(1, 1, 2), words(10**7)], Reason.PAUSED, 10**7, 0),
        (VAULT, 3, [words(0), words(0, 1, 2), words(0)], Reason.TOKEN_NOT_ACCEPTED, 0, 0),
        (FLASH, 10, [words(100), words(0), words(1)], None, 100, 0),
        (FLASH, 101, [words(100), words(0), words(1)], Reason.CEILING, 100, 0),
        (FLASH, 10, [words(100), words(0), words(0)], Reason.NOT_LIVE, 100, 0),
        (FLASH, 10, [words(0), REVERTED, words(1)], Reason.TOKEN_NOT_ACCEPTED, 0, None),
        (FLASH, 10, [NO_CODE, NO_CODE, NO_CODE], Reason.NO_CODE, None, None),
        (OwnCapital(EXECUTOR), 10, [words(100)], Reason.DISABLED, 100, 0),
        (OwnCapital(EXECUTOR, 50), 50, [words(100)], None, 50, 0),
        (OwnCapital(EXECUTOR, 50), 51, [words(100)], Reason.INSUFFICIENT_LIQUIDITY, 50, 0),
    ],
)
def test_terms(
    lender: Lender,
    amount: int,
    answers: list[CallResult],
    reason: str | None,
    available: int | None,
    fee: int | None,
) -> None:
    terms = lender.terms(DAI.address, amount, ATOKEN, answers)
    assert (terms.reason, terms.available, terms.fee) == (reason, available, fee)
    assert terms.detail


@pytest.mark.parametrize(("lender", "position"), [(V2, 7), (V3, 8)])
def test_a_token_that_aave_does_not_list(lender: Any, position: int) -> None:
    found = lender.discovered(DAI.address, [words(*[0] * (position + 1))])
    assert found.reason is Reason.NOT_A_RESERVE
    listed = [0] * position + [int(ATOKEN, 16)]
    assert lender.discovered(DAI.address, [words(*listed)]) == ATOKEN


@given(st.integers(1, 2**120), st.integers(0, 100))
def test_the_premium_is_never_quoted_below_what_aave_takes(amount: int, bps: int) -> None:
    fee = V2.terms(DAI.address, amount, ATOKEN, [words(bps), words(0), words(2**121)]).fee
    assert fee is not None
    assert 0 <= fee - amount * bps // 10_000 <= 1  # v2 floors
    assert fee >= (amount * bps + 5_000) // 10_000  # v3.0 rounds half up, v3.6 up


RATE = ConversionRate(USDC, 2_500, 10**12, 1, (POOL_A,))
GAS = GasView(Wei(20 * GWEI), RATE, {})


def quote(lender: LenderId, total: int | None, *, fee: int = 0, usable: bool = True) -> LoanQuote:
    return LoanQuote(
        lender, "p", "v", USDC, 10, 1, usable, None if usable else "paused", "said so", 10, fee, 1, "prior",
        None if total is None else total - fee, total,
    )  # fmt: skip


def test_the_cheapest_is_by_total_and_never_by_fee() -> None:
    free_but_heavy = quote(LenderId.MAKER, 90, fee=0)
    paid_but_light = quote(LenderId.AAVE_V3, 80, fee=50)
    broken = quote(LenderId.BALANCER_V2, 1, usable=False)
    unknown = quote(LenderId.AAVE_V2, None)
    assert cheapest([free_but_heavy, paid_but_light, broken, unknown]) is paid_but_light
    assert cheapest([broken, unknown]) is None
    lost = why_lost([free_but_heavy, paid_but_light, broken, unknown], paid_but_light)
    assert lost[LenderId.MAKER].startswith("dearer by 10 base units")
    assert lost[LenderId.BALANCER_V2] == "cannot lend: paused (said so)"
    assert LenderId.AAVE_V3 not in lost
    assert len(lost) == 3


def manager(
    answers: dict[str, CallResult], lenders: tuple[Lender, ...], submitted: list[Any] | None = None
) -> Any:
    reads: list[list[str]] = []

    async def read(calls, block):  # type: ignore[no-untyped-def]
        reads.append([call.what for call in calls])
        return [answers[call.what] for call in calls]

    async def now(token):  # type: ignore[no-untyped-def]
        from tests.factories import block_ref

        return block_ref(), GAS

    async def submit(chosen, params):  # type: ignore[no-untyped-def]
        assert submitted is not None
        submitted.append(chosen.lender)
        return "sent"

    made = FlashLoanManager(lenders, read, now, submit if submitted is not None else None)
    return made, reads


VAULT_ANSWERS = {
    "Vault.getProtocolFeesCollector": words(int(TREASURY, 16)),
    "FeesCollector.getFlashLoanFeePercentage": words(0),
    "Vault.getPausedState": words(0, 1, 2),
    "token.balanceOf(Vault)": words(10**12),
}
MAKER_ANSWERS = {
    "DssFlash.vat": REVERTED,
    "DssFlash.maxFlashLoan": words(10**12),
    "DssFlash.flashFee": words(0),
    "Vat.live": words(1),
}


async def test_gas_decides_between_two_that_ask_no_fee() -> None:
    made, reads = manager(VAULT_ANSWERS | MAKER_ANSWERS, (VAULT, Maker(POOL_B)))
    best = await made.find_optimal_flash_loan(1_000, USDC)
    assert best is not None
    assert best.lender is LenderId.BALANCER_V2
    # At 20 gwei, 2,500 base units of USDC for 1e12 wei.
    assert best.total_cost == VAULT.gas_prior * 20 * GWEI * 2_500 // 10**12
    assert Maker(POOL_B).gas_prior > Maker(POOL_B, stand_in=True).gas_prior > VAULT.gas_prior
    assert best.gas_overhead_source == "prior"
    await made.find_optimal_flash_loan(1_000, USDC)
    assert len(reads) == 3, "addresses that never change are asked once"


async def test_a_lender_that_is_a_pool_of_the_path_is_refused_for_it() -> None:
    from tests.factories import block_ref

    made, _ = manager(VAULT_ANSWERS, (VAULT,))
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), GAS, {VAULT.address})
    assert (quoted.usable, quoted.reason) == (False, "collides_with_path")


async def test_measured_gas_takes_the_place_of_the_prior() -> None:
    from tests.factories import block_ref

    made, _ = manager(VAULT_ANSWERS, (VAULT,))
    view = GasView(GAS.price, RATE, {LenderId.BALANCER_V2: 41_234})
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), view)
    assert (quoted.gas_overhead, quoted.gas_overhead_source) == (41_234, "measured")


async def test_execute_through_exactly_that_lender_or_say_why_not() -> None:
    from arbtui.errors import UsageError

    submitted: list[Any] = []
    made, _ = manager(VAULT_ANSWERS, (VAULT,), submitted)
    params = {"token": WETH, "amount": 10**12}
    assert await made.execute_flash_loan("balancer", "v2", params) == "sent"
    refused = await made.execute_flash_loan("balancer", "v2", params | {"amount": 10**12 + 1})
    assert refused.reason == "insufficient_liquidity"
    assert submitted == [LenderId.BALANCER_V2]
    with pytest.raises(UsageError, match="no lender dydx v1 is configured here; there are: balancer v2"):
        await made.execute_flash_loan("dydx", "v1", params)

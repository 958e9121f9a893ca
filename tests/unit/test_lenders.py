"""Lenders understand raw answers; what real contracts answer is in tests/integration/test_lenders.py."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arbtui.abi import selector
from arbtui.domain import LENDER_CODES, CallResult, ConversionRate, LenderId, LoanQuote
from arbtui.errors import UsageError
from arbtui.lenders import (
    AaveV2,
    AaveV3,
    BalancerV2,
    Erc3156,
    FlashLoanManager,
    GasView,
    Maker,
    Morpho,
    OwnCapital,
    Track,
    UniswapV2,
    UniswapV3,
    cheapest,
    reliability,
    why_lost,
)
from arbtui.lenders.aave_v2 import Reserve
from arbtui.lenders.base import Lender, Reason
from arbtui.lenders.flash_swap import FlashSwap
from arbtui.lenders.maker import Flash
from arbtui.lenders.manager import FACTS_LIVE_BLOCKS
from arbtui.lenders.uniswap_v2 import Pair
from arbtui.lenders.uniswap_v3 import FeePool
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.market.uniswap_v3 import UniswapV3Pool
from arbtui.units import GWEI, Address, Ppm, Wei
from tests.factories import DAI, EXECUTOR, HEAD, POOL_A, POOL_B, TREASURY, USDC, WETH, block_ref

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
MINT = Erc3156(LENDER)
BLUE = Morpho(LENDER)
V3_POOLS = UniswapV3(lambda _: (), frozenset({"uniswap"}))
V2_PAIRS = UniswapV2(lambda _: (), frozenset({"uniswap"}))
#: What discovery has found of each lender that the rows below ask.
FACTS: dict[LenderId, Any] = {
    LenderId.AAVE_V2: Reserve(LENDER, ATOKEN),
    LenderId.AAVE_V3: Reserve(LENDER, ATOKEN),
    LenderId.BALANCER_V2: TREASURY,
    LenderId.MAKER: Flash(LENDER, ATOKEN),
    LenderId.ERC3156: LENDER,
    LenderId.MORPHO: None,
    LenderId.OWN: None,
    LenderId.UNISWAP_V3: (FeePool(POOL_A, 500), FeePool(POOL_B, 3_000)),
    LenderId.UNISWAP_V2: (Pair(POOL_A, 0, 3_000), Pair(POOL_B, 1, 3_000)),
}
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
        (FLASH, 0, [words(100), words(0), words(1)], Reason.ZERO_AMOUNT, 100, None),
        (FLASH, 10, [words(100), words(0), REVERTED], Reason.UNREADABLE, None, None),
        (MINT, 10, [words(100), words(3)], None, 100, 3),
        (MINT, 101, [words(100), words(3)], Reason.CEILING, 100, 3),
        (MINT, 10, [words(0), REVERTED], Reason.TOKEN_NOT_ACCEPTED, 0, None),
        (MINT, 10, [NO_CODE, NO_CODE], Reason.NO_CODE, None, None),
        (BLUE, 100, [words(1), words(100)], None, 100, 0),
        (BLUE, 101, [words(1), words(100)], Reason.INSUFFICIENT_LIQUIDITY, 100, 0),
        (BLUE, 1, [words(1), words(0)], Reason.TOKEN_NOT_ACCEPTED, 0, 0),
        (BLUE, 1, [NO_CODE, words(0)], Reason.NO_CODE, None, None),
        (BLUE, 0, [words(1), words(100)], Reason.ZERO_AMOUNT, 100, None),
        # liquidity and balance of the 500 ppm pool, then of the 3,000 ppm pool
        (V3_POOLS, 1_001, [words(1), words(2_000), words(1), words(9_000)], None, 2_000, 1),
        (V3_POOLS, 2_000, [words(1), words(2_000), words(1), words(9_000)], None, 2_000, 1),
        (V3_POOLS, 2_001, [words(1), words(2_000), words(1), words(9_000)], None, 9_000, 7),
        (V3_POOLS, 1_000, [words(0), words(2_000), words(1), words(9_000)], None, 9_000, 3),
        (
            V3_POOLS,
            9_001,
            [words(1), words(2_000), words(1), words(9_000)],
            "insufficient_liquidity",
            9_000,
            28,
        ),
        (V3_POOLS, 9, [NO_CODE, words(0), NO_CODE, words(0)], Reason.NO_CODE, None, None),
        # reserves of the pair whose token0 it is, then of the one whose token1 it is
        (V2_PAIRS, 997, [words(1_000, 7, 0), words(7, 900, 0)], None, 999, 3),
        (V2_PAIRS, 998, [words(1_000, 7, 0), words(7, 2_000, 0)], None, 1_999, 4),
        (V2_PAIRS, 2_000, [words(1_000, 7, 0), words(7, 2_000, 0)], "insufficient_liquidity", 1_999, 7),
        (V2_PAIRS, 0, [words(1_000, 7, 0), words(7, 900, 0)], Reason.ZERO_AMOUNT, 999, None),
        (V2_PAIRS, 1, [words(0, 0, 0), words(0, 0, 0)], Reason.INSUFFICIENT_LIQUIDITY, 0, 1),
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
    terms = lender.terms(DAI.address, amount, FACTS[lender.id], answers)
    assert (terms.reason, terms.available, terms.fee) == (reason, available, fee)
    assert terms.detail
    assert len(lender.reads(DAI.address, amount, FACTS[lender.id])) == len(answers)
    assert terms.source in (LENDER, POOL_B, EXECUTOR)


def asked(lender: Lender, *rounds: list[CallResult], token: Address = DAI.address) -> tuple[list[Any], Any]:
    """What discovery asks in each round, and what it makes of these answers."""
    discovery, calls, answers = lender.discover(token), [], iter(rounds)
    try:
        some = next(discovery)
        while True:
            calls.append(some)
            some = discovery.send(next(answers))
    except StopIteration as end:
        return calls, end.value


@pytest.mark.parametrize(("lender", "position"), [(V2, 7), (V3, 8)])
def test_a_token_that_aave_does_not_list(lender: Any, position: int) -> None:
    _, found = asked(lender, [words(*[0] * (position + 1))])
    assert found.reason is Reason.NOT_A_RESERVE
    listed = [0] * position + [int(ATOKEN, 16)]
    assert asked(lender, [words(*listed)])[1] == Reserve(LENDER, ATOKEN)
    assert asked(lender, [words(*listed[:-1])])[1].reason is Reason.UNREADABLE
    assert asked(lender, [NO_CODE])[1].reason is Reason.NO_CODE
    # A word that is no address is a "no", not an error that would take every lender's quote with it.
    assert asked(lender, [words(*[0] * position, 1 << 200)])[1].reason is Reason.NOT_A_RESERVE


@pytest.mark.parametrize(
    ("lender", "signature", "rest", "facts"),
    [
        (
            AaveV2(None, TREASURY),
            "getLendingPool()",
            [words(*[0] * 7, int(ATOKEN, 16))],
            Reserve(LENDER, ATOKEN),
        ),
        (AaveV3(None, TREASURY), "getPool()", [words(*[0] * 8, int(ATOKEN, 16))], Reserve(LENDER, ATOKEN)),
        (Maker(None, TREASURY), "getAddress(bytes32)", [words(int(ATOKEN, 16))], Flash(LENDER, ATOKEN)),
        (Maker(None, TREASURY), "getAddress(bytes32)", [REVERTED], Flash(LENDER, LENDER)),
    ],
)
def test_a_contract_that_turns_is_asked_of_its_registry(
    lender: Lender, signature: str, rest: list[CallResult], facts: Any
) -> None:
    calls, found = asked(lender, [words(int(LENDER, 16))], rest)
    assert found == facts
    (first,), (second,) = calls
    assert (first.target, first.data[:4]) == (TREASURY, selector(signature))
    assert second.target == LENDER
    for nothing in (words(0), NO_CODE, REVERTED):
        assert asked(lender, [nothing])[1].reason in (Reason.UNREADABLE, Reason.NO_CODE)


def v3_pool(address: Address, dex: str = "uniswap") -> UniswapV3Pool:
    low, high = sorted((DAI.address, WETH.address), key=lambda text: int(text, 16))
    return UniswapV3Pool.unread(address, dex, low, high, Ppm(3_000), 60)


def v2_pair(address: Address, dex: str = "uniswap") -> UniswapV2Pool:
    low, high = sorted((DAI.address, WETH.address), key=lambda text: int(text, 16))
    return UniswapV2Pool(address, dex, low, high, Ppm(3_000), 0, 0)


def test_the_pools_of_other_families_and_exchanges_do_not_lend() -> None:
    pools = [v3_pool(POOL_A), v3_pool(POOL_B, "pancakeswap"), v2_pair(TREASURY)]
    lender = UniswapV3(lambda _: pools, frozenset({"uniswap"}))
    calls, found = asked(lender, [words(500), words(10)])
    assert [call.target for call in calls[0]] == [POOL_A, DAI.address]
    assert found == (FeePool(POOL_A, 500),)  # the pool's own word, not the configuration's 3,000
    pairs = UniswapV2(lambda _: pools, frozenset({"uniswap"}))
    side = int(int(DAI.address, 16) > int(WETH.address, 16))
    assert asked(pairs, [words(5, 5, 0)])[1] == (Pair(TREASURY, side, 3_000),)
    for none in (UniswapV3(lambda _: (), frozenset({"uniswap"})), UniswapV2(lambda _: (), frozenset())):
        assert asked(none, [])[1].reason is Reason.TOKEN_NOT_ACCEPTED
    assert asked(lender, [REVERTED, words(10)])[1].reason is Reason.TOKEN_NOT_ACCEPTED


def test_of_each_fee_the_deepest_three_are_asked_each_block() -> None:
    pools = [v3_pool(Address("0x" + f"{number:040x}")) for number in range(1, 8)]
    lender = UniswapV3(lambda _: pools, frozenset({"uniswap"}))
    held = {1: (500, 10), 2: (500, 40), 3: (500, 30), 4: (500, 20), 5: (100, 1), 6: (3_000, 99), 7: (500, 40)}
    answers = [words(number) for pool in held.values() for number in pool]
    _, found = asked(lender, answers)
    assert [int(pool.address, 16) for pool in found] == [5, 2, 7, 3, 6]


@given(st.integers(1, 2**112), st.integers(1, 2**112), st.integers(1, 99_999))
def test_a_pair_takes_what_is_quoted_and_not_a_unit_less(reserve: int, amount: int, fee_ppm: int) -> None:
    amount = 1 + amount % max(1, reserve - 1)
    facts = (Pair(POOL_A, 0, fee_ppm),)
    terms = V2_PAIRS.terms(DAI.address, amount, facts, [words(reserve, 1, 0)])
    assert terms.fee is not None
    if amount >= reserve:
        assert terms.reason is Reason.INSUFFICIENT_LIQUIDITY
        return

    def kept(repaid: int) -> bool:
        """UniswapV2Pair.swap's check, with the fee in millionths."""
        balance = reserve - amount + repaid
        return balance * 10**6 - repaid * fee_ppm >= reserve * 10**6

    assert kept(amount + terms.fee)
    assert not kept(amount + terms.fee - 1)


@given(st.integers(1, 2**120), st.integers(0, 100))
def test_the_premium_is_never_quoted_below_what_aave_takes(amount: int, bps: int) -> None:
    fee = V2.terms(DAI.address, amount, FACTS[LenderId.AAVE_V2], [words(bps), words(0), words(2**121)]).fee
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


def test_a_tie_goes_to_the_more_reliable_then_to_the_name() -> None:
    one, other = quote(LenderId.MAKER, 80), quote(LenderId.AAVE_V3, 80, fee=50)
    assert cheapest([one, other]) is other  # by name: nothing is known of either
    proven = replace(one, settled=9, executed=9)
    assert cheapest([proven, other]) is proven
    failing = replace(other, settled=1, executed=5)
    assert cheapest([one, failing]) is one, "an untried lender goes before one that has failed"
    assert cheapest([replace(proven, total_cost=81), other]) is other, "a unit of cost outweighs any record"
    assert [reliability(q) for q in (one, proven, failing)] == [
        Fraction(1, 2),
        Fraction(10, 11),
        Fraction(2, 7),
    ]
    lost = why_lost([proven, failing], proven)[LenderId.AAVE_V3]
    assert lost == "as dear as maker; of its executions 1 of 5 settled, against 9 of 9"


def manager(
    answers: dict[str, CallResult],
    lenders: tuple[Lender, ...],
    submitted: list[Any] | None = None,
    **options: Any,
) -> Any:
    reads: list[list[str]] = []

    async def read(calls, block):  # type: ignore[no-untyped-def]
        reads.append([call.what for call in calls])
        return [answers[call.what] for call in calls]

    async def now(token):  # type: ignore[no-untyped-def]
        return block_ref(), GAS

    async def submit(chosen, params):  # type: ignore[no-untyped-def]
        assert submitted is not None
        submitted.append(chosen.lender)
        return "sent"

    made = FlashLoanManager(lenders, read, now, submit if submitted is not None else None, **options)
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
    await made.find_optimal_flash_loan(2_000, USDC)
    assert len(reads) == 3, (
        "addresses that hardly ever change are asked once, and all lenders in one round trip"
    )
    later = replace(block_ref(), number=block_ref().number + FACTS_LIVE_BLOCKS)
    await made.quote_all(1_000, USDC, later, GAS)
    assert len(reads) == 5, "and again after a while: a registry may have turned"


async def test_a_lender_that_is_a_pool_of_the_path_is_refused_for_it() -> None:
    made, _ = manager(VAULT_ANSWERS, (VAULT,))
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), GAS, [VAULT.address])
    assert (quoted.usable, quoted.reason) == (False, "collides_with_path")


async def test_measured_gas_takes_the_place_of_the_prior() -> None:
    made, _ = manager(VAULT_ANSWERS, (VAULT,))
    view = GasView(GAS.price, RATE, {LenderId.BALANCER_V2: 41_234})
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), view)
    assert (quoted.gas_overhead, quoted.gas_overhead_source) == (41_234, "measured")


async def test_execute_through_exactly_that_lender_or_say_why_not() -> None:
    submitted: list[Any] = []
    made, _ = manager(VAULT_ANSWERS, (VAULT,), submitted)
    params = {"token": WETH, "amount": 10**12}
    assert await made.execute_flash_loan("balancer", "v2", params) == "sent"
    refused = await made.execute_flash_loan("balancer", "v2", params | {"amount": 10**12 + 1})
    assert refused.reason == "insufficient_liquidity"
    assert submitted == [LenderId.BALANCER_V2]
    with pytest.raises(UsageError, match="no lender dydx v1 is configured here; there are: balancer v2"):
        await made.execute_flash_loan("dydx", "v1", params)


V3_ANSWERS = {
    "pool.fee": words(500),
    "pool.liquidity": words(1),
    "token.balanceOf(pool)": words(10**12),
}


async def test_a_lender_with_another_pool_lends_beside_the_path() -> None:
    pools = [v3_pool(POOL_A), v3_pool(POOL_B)]
    lender = UniswapV3(lambda _: pools, frozenset({"uniswap"}))
    made, _ = manager(V3_ANSWERS, (lender,), executor_has=set(LenderId))
    low, high = sorted((POOL_A, POOL_B))
    for path, source in (((), low), ([low], high), ([high], low)):
        (quoted,) = await made.quote_all(1_000, DAI, block_ref(), GAS, path)
        assert (quoted.usable, quoted.source) == (True, source)
    (quoted,) = await made.quote_all(1_000, DAI, block_ref(), GAS, [low, high])
    assert (quoted.usable, quoted.reason) == (False, "collides_with_path")
    assert low in quoted.detail


async def test_a_path_of_pairs_alone_may_have_its_last_one_pay_first() -> None:
    fork_pair = EXECUTOR
    pools = {pool.address: pool for pool in (v2_pair(POOL_A), v2_pair(fork_pair, "fork"), v3_pool(TREASURY))}
    made, reads = manager({}, (FlashSwap(pools.get, frozenset({"uniswap"})),))
    for path, reason in (
        ((), "needs_path"),
        ((fork_pair, POOL_A), None),
        ((POOL_A, fork_pair), "path_not_v2"),  # the last one calls back by another name
        ((TREASURY, POOL_A), "path_not_v2"),
        ((USDC.address, POOL_A), "path_not_v2"),  # nobody knows it
    ):
        (quoted,) = await made.quote_all(10**30, DAI, block_ref(), GAS, path)
        assert (quoted.usable, quoted.reason) == (reason is None, reason), path
        if quoted.usable:
            assert (quoted.fee, quoted.source) == (0, None)
            assert POOL_A in quoted.detail
    assert set(map(len, reads)) == {0}


async def test_what_may_not_be_used_is_quoted_all_the_same() -> None:
    lender = UniswapV3(lambda _: [v3_pool(POOL_A)], frozenset({"uniswap"}))
    made, _ = manager(V3_ANSWERS, (lender,), off={LenderId.UNISWAP_V3})
    (quoted,) = await made.quote_all(1_000, DAI, block_ref(), GAS)
    assert (quoted.usable, quoted.reason, quoted.available, quoted.fee) == (False, "disabled", 10**12, 1)
    made, _ = manager(V3_ANSWERS, (lender,), executor_has=set(LENDER_CODES) - {LenderId.UNISWAP_V3})
    (quoted,) = await made.quote_all(1_000, DAI, block_ref(), GAS)
    assert (quoted.usable, quoted.reason, quoted.source) == (False, "not_in_executor", POOL_A)
    # What the lender itself says goes first.
    (quoted,) = await made.quote_all(10**13, DAI, block_ref(), GAS)
    assert quoted.reason == "insufficient_liquidity"


@pytest.mark.parametrize(
    ("allowed", "place", "reason"),
    [
        (words(1), words(int(VAULT.address, 16)), None),
        (words(0), words(int(VAULT.address, 16)), "off_in_executor"),
        (words(1), words(0x77), "not_in_executor"),
        (words(1), words(0), "not_in_executor"),
        # Nothing is deployed there yet: quotes are still quotes.
        (CallResult(True, b""), CallResult(True, b""), None),
        (REVERTED, REVERTED, None),
    ],
)
async def test_what_the_deployed_executor_does_not_borrow_from_is_not_usable(
    allowed: CallResult, place: CallResult, reason: str | None
) -> None:
    said = {"Executor.lenderAllowed(3)": allowed, "Executor.lenders(3)": place}
    made, reads = manager(VAULT_ANSWERS | said, (VAULT,), executor=EXECUTOR)
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), GAS)
    assert (quoted.usable, quoted.reason) == (reason is None, reason)
    assert (quoted.available, quoted.fee) == (10**12, 0), "the figures are told all the same"
    assert set(said) < set(reads[-1]), "in the same round trip"
    if reason == "off_in_executor":
        assert "setLender(3, true)" in quoted.detail


async def test_a_contract_that_did_not_answer_is_asked_again_with_the_next_block() -> None:
    answers = {**VAULT_ANSWERS, "Vault.getProtocolFeesCollector": CallResult(False, b"")}
    made, _ = manager(answers, (VAULT,))
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), GAS)
    assert quoted.reason == "unreadable"
    answers |= VAULT_ANSWERS
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), GAS)
    assert quoted.reason == "unreadable", "of the same block"
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(HEAD + 1), GAS)
    assert quoted.usable


async def test_what_own_executions_say_is_in_the_quote() -> None:
    made, _ = manager(VAULT_ANSWERS, (VAULT,))
    tracks = {LenderId.BALANCER_V2: Track(3, 4)}
    (quoted,) = await made.quote_all(1_000, USDC, block_ref(), replace(GAS, tracks=tracks))
    assert (quoted.settled, quoted.executed) == (3, 4)


async def test_a_manager_that_only_quotes_says_so() -> None:
    made, _ = manager(VAULT_ANSWERS, (VAULT,))
    with pytest.raises(UsageError, match="only quotes"):
        await made.execute_flash_loan("balancer", "v2", {"token": WETH, "amount": 1})

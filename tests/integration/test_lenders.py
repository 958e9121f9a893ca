"""The four lenders as they really answer, against values read by plain calls, and lent through for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from arbtui.abi import decode_uint, encode_call
from arbtui.bootstrap import open_desk
from arbtui.chain.rpc import data
from arbtui.devnet import Devnet
from arbtui.domain import LenderId, LoanQuote
from arbtui.store import open_store
from arbtui.units import Address, parse_amount
from tests.chain import Hand, config_for, in_hand, running_chain, trade_until

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def word(hand: Hand, to: Address, signature: str, *args: object) -> int:
    call = {"to": to, "data": "0x" + encode_call(signature, *args).hex()}
    return decode_uint(data(await hand.rpc.call("eth_call", [call, "latest"]), signature), signature)


async def quotes(
    hand: Hand, folder: Path, symbol: str, amount: str
) -> tuple[dict[str, LoanQuote], LoanQuote | None]:
    async with open_desk(config_for(hand.devnet, folder / "store")) as desk:
        token = next(token for token in desk.tokens.values() if token.symbol == symbol)
        _, found, best = await desk.quotes(parse_amount(amount, token.decimals), token)
    return {str(quote.lender): quote for quote in found}, best


@pytest.mark.parametrize(
    ("symbol", "amount", "best"),
    [
        ("DAI", "25000", LenderId.MAKER),
        ("USDC", "20000", LenderId.BALANCER_V2),
        ("WETH", "10", LenderId.BALANCER_V2),
        ("USDC", "200000", LenderId.AAVE_V3),
        ("WETH", "400", LenderId.AAVE_V3),
        ("WBTC", "0.5", LenderId.AAVE_V2),
        ("USDT", "30000", LenderId.AAVE_V2),
    ],
)
async def test_each_lender_is_the_honest_cheapest_somewhere(
    devnet: Devnet, tmp_path: Path, symbol: str, amount: str, best: LenderId
) -> None:
    async with in_hand(devnet) as hand:
        found, chosen = await quotes(hand, tmp_path, symbol, amount)
    assert chosen is not None
    assert chosen.lender is best
    usable = [quote.total_cost for quote in found.values() if quote.usable]
    assert chosen.total_cost == min(cost for cost in usable if cost is not None)


async def test_figures_are_those_of_plain_calls(devnet: Devnet, tmp_path: Path) -> None:
    async with in_hand(devnet) as hand:
        found, _ = await quotes(hand, tmp_path, "WETH", "10")
        book, weth = hand.book, hand.book.token("WETH").address
        lenders = book.lenders
        v3, v2 = lenders["aave_v3"], lenders["aave_v2"]
        premium = await word(hand, v3, "FLASHLOAN_PREMIUM_TOTAL()")
        assert found["aave_v3"].fee == -(-(10**19) * premium // 10_000)
        assert premium == 5
        assert found["aave_v2"].fee == 10**19 * await word(hand, v2, "FLASHLOAN_PREMIUM_TOTAL()") // 10_000
        assert found["balancer_v2"].available == await word(
            hand, weth, "balanceOf(address)", lenders["balancer_v2"]
        )
        assert found["balancer_v2"].fee == 0
        assert (found["maker"].usable, found["maker"].reason) == (False, "token_not_accepted")
        assert "stand-in" in found["maker"].detail
        assert (found["own"].usable, found["own"].reason) == (False, "disabled")
        dai, _ = await quotes(hand, tmp_path, "DAI", "10")
        ceiling = await word(hand, lenders["maker"], "maxFlashLoan(address)", book.token("DAI").address)
        assert dai["maker"].available == ceiling
        assert dai["aave_v3"].reason == "not_a_reserve"


async def test_the_exact_maximum_and_one_unit_more(devnet: Devnet, tmp_path: Path) -> None:
    async with in_hand(devnet) as hand:
        found, _ = await quotes(hand, tmp_path, "USDC", "1")
        available = found["balancer_v2"].available
        assert available is not None
        whole = f"{available // 10**6}.{available % 10**6:06d}"
        more = f"{(available + 1) // 10**6}.{(available + 1) % 10**6:06d}"
        at_most, _ = await quotes(hand, tmp_path, "USDC", whole)
        too_much, _ = await quotes(hand, tmp_path, "USDC", more)
    assert at_most["balancer_v2"].usable
    assert too_much["balancer_v2"].reason == "insufficient_liquidity"
    assert too_much["balancer_v2"].detail.startswith("short by 1;")


@pytest.mark.parametrize(
    ("pair", "offset_ppm", "lender", "symbols"),
    [
        ("DAI/WETH", 15_000, LenderId.MAKER, {"DAI"}),
        ("USDC/WETH", 9_000, LenderId.BALANCER_V2, {"USDC", "WETH"}),
        ("USDC/WETH", 60_000, LenderId.AAVE_V3, {"USDC", "WETH"}),
        ("WBTC/USDT", 20_000, LenderId.AAVE_V2, {"WBTC", "USDT"}),
    ],
)
async def test_an_arbitrage_through_each_lender_settles_to_the_wei(
    devnet: Devnet, tmp_path: Path, pair: str, offset_ppm: int, lender: LenderId, symbols: set[str]
) -> None:
    config = config_for(devnet, tmp_path / "store")
    if lender is not LenderId.BALANCER_V2:
        # Only the dislocated pair and one base, so that the loan asked is the one under test.
        base = "DAI" if lender is LenderId.MAKER else min(symbols)
        config = config.model_copy(
            update={"search": config.search.model_copy(update={"base_tokens": (base,)})}
        )
    config = config.model_copy(
        update={"validation": config.validation.model_copy(update={"max_price_impact_bps": 2_000})}
    )
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate(pair, offset_ppm)
        tally = await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        assert tally.confirmed >= 1
        assert tally.unreconciled == 0
        with open_store(config.store.directory) as reader:
            first = reader.executions()[-1]
            assert (first["status"], first["lender"]) == ("mined", str(lender))
            row = reader.execution(first["id"])
            assert row is not None
            assert row["reconciled"]
            assert row["token"]["symbol"] in symbols
            quoted = {quote["lender"]: quote for quote in row["quotes"]}
            (settled,) = reader.settlements(execution_id=first["id"])
        assert len(quoted) == 7
        usable = {name: int(quote["total_cost"]) for name, quote in quoted.items() if quote["usable"]}
        assert min(usable, key=lambda name: usable[name]) == str(lender)
        assert all(quote["why_lost"] for name, quote in quoted.items() if name != str(lender))
        fee = int(quoted[str(lender)]["fee"])
        assert 0 <= fee - int(settled["loan_fee"]) <= 1
        # What the contract said it would bring, to the unit: nothing else traded in that block.
        treasury = [d for d in settled["deltas"] if d["role"] == "treasury"]
        assert [int(d["amount"]) for d in treasury] == [int(row["expected_profit"])]
        assert not [d for d in settled["deltas"] if d["role"] == "executor"]

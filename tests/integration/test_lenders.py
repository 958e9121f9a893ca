"""The four lenders as they really answer, against values read by plain calls, and lent through for real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from arbtui.abi import decode_uint, encode_call
from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_desk, open_engine
from arbtui.chain.rpc import data
from arbtui.cli import cli
from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.domain import LENDER_CODES, LenderId, LoanQuote, Opportunity, Stage, Ticket
from arbtui.engine import Engine, Submitted
from arbtui.engine.deciding import Dropped
from arbtui.engine.direct import priced
from arbtui.errors import RefusedError, UsageError
from arbtui.lenders.policy import LenderPolicy, UniswapPolicy
from arbtui.search import find_opportunities
from arbtui.store import open_store
from arbtui.units import Address, parse_amount
from tests.chain import Hand, config_for, in_hand, limited, running_chain, trade_until

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
        assert len(quoted) == 8
        usable = {name: int(quote["total_cost"]) for name, quote in quoted.items() if quote["usable"]}
        assert min(usable, key=lambda name: usable[name]) == str(lender)
        assert all(quote["why_lost"] for name, quote in quoted.items() if name != str(lender))
        fee = int(quoted[str(lender)]["fee"])
        assert 0 <= fee - int(settled["loan_fee"]) <= 1
        # What the contract said it would bring, to the unit: nothing else traded in that block.
        treasury = [d for d in settled["deltas"] if d["role"] == "treasury"]
        assert [int(d["amount"]) for d in treasury] == [int(row["expected_profit"])]
        assert not [d for d in settled["deltas"] if d["role"] == "executor"]


# ---- one round trip


async def test_all_lenders_are_asked_in_one_request_at_one_block(devnet: Devnet, tmp_path: Path) -> None:
    async with in_hand(devnet) as hand, open_desk(config_for(devnet, tmp_path / "store")) as desk:
        asked: list[tuple[str, Any]] = []
        call = desk.node.rpc.call

        async def watched(method: str, params: Any = ()) -> Any:
            asked.append((method, params))
            return await call(method, params)

        desk.node.rpc.call = watched  # type: ignore[method-assign]
        token = desk.tokens[hand.book.token("USDC").address]
        block, gas = await desk._now(token)
        first = await desk.manager.quote_all(10**9, token, block, gas)
        asked.clear()
        await hand.mine()
        later, gas = await desk._now(token)
        asked.clear()
        second = await desk.manager.quote_all(10**10, token, later, gas)
        ((method, params),) = asked
        assert (method, params[0]["to"]) == ("eth_call", hand.book.multicall)
        assert params[1] == {"blockHash": later.hash}
        assert {quote.block for quote in second} == {later.number} != {quote.block for quote in first}
        assert {quote.source for quote in second} >= set(hand.book.lenders.values())


# ---- what earlier runs measured


def quoted(config: Config, path: Path, symbol: str, amount: str) -> dict[str, dict[str, Any]]:
    """`arbtui quote --json`, in this process."""
    del config
    ended = CliRunner().invoke(cli, ["quote", symbol, amount, "--config", str(path), "--json"])
    return {quote["lender"]: quote for quote in json.loads(ended.stdout)["quotes"]}


async def test_receipts_of_an_earlier_run_price_the_gas_of_the_next_quote_and_run(
    devnet: Devnet, tmp_path: Path
) -> None:
    config, file = config_for(devnet, tmp_path / "store"), tmp_path / "store.toml"
    prior = await asyncio.to_thread(quoted, config, file, "USDC", "1000")
    assert {quote["gas_overhead_source"] for quote in prior.values()} == {"prior"}
    async with in_hand(devnet) as hand:
        await hand.align()

        async def dislocate(number: int) -> None:
            if number % 6 == 0:
                await hand.dislocate("USDC/WETH", 9_000 if number % 12 else -9_000, mine=False)

        tally = await trade_until(hand, config, lambda seen: seen.confirmed >= 3, between=dislocate)
        assert tally.by_lender[LenderId.BALANCER_V2] >= 3
        after = await asyncio.to_thread(quoted, config, file, "USDC", "1000")
        with open_store(config.store.directory) as reader:
            used = [row["gas_used"] for row in reader.settlements()]
        async with open_engine(config, Stage.PAPER, ApproveMode.NONE, lambda _: None) as engine:
            measured = engine._decider.measured_overheads
            tracks = engine._decider.tracks
    vault = after["balancer_v2"]
    assert vault["gas_overhead_source"] == "measured"
    assert 0 < vault["gas_overhead"] < max(used)
    assert vault["gas_overhead"] != prior["balancer_v2"]["gas_overhead"]
    assert (vault["settled"], vault["executed"]) == (len(used), len(used))
    assert after["aave_v3"]["gas_overhead_source"] == "prior"
    assert measured == {LenderId.BALANCER_V2: vault["gas_overhead"]}
    assert tracks[LenderId.BALANCER_V2].settled == len(used)


async def test_what_the_executors_owner_switched_off_is_not_chosen(devnet: Devnet, tmp_path: Path) -> None:
    """The cheapest lender is off in the contract itself: the next one takes the trade, and nothing reverts."""
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("USDC/WETH", 40_000)
        book = hand.book
        before = await quoted_in(config, book.token("USDC").address, 10**9)
        assert before[LenderId.BALANCER_V2].usable
        off = LENDER_CODES[LenderId.BALANCER_V2]
        await hand.send(book.accounts[0], config.wallet.executor, "setLender(uint8,bool)", off, False)
        after = await quoted_in(config, book.token("USDC").address, 10**9)
        assert (after[LenderId.BALANCER_V2].usable, after[LenderId.BALANCER_V2].reason) == (
            False,
            "off_in_executor",
        )
        assert after[LenderId.BALANCER_V2].fee == before[LenderId.BALANCER_V2].fee == 0
        assert after[LenderId.AAVE_V3].usable
        tally = await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        assert tally.confirmed >= 1
        assert tally.reverted == 0
        assert LenderId.BALANCER_V2 not in tally.by_lender


async def test_any_lender_of_erc_3156_lends_where_the_executor_has_its_address(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    lenders = config.lenders.model_copy(
        update={
            "erc3156": LenderPolicy(address=devnet.book.lenders["maker"]),
            "maker": config.lenders.maker.model_copy(update={"enabled": False}),
            "uniswap_v2": UniswapPolicy(enabled=False),
            "uniswap_v3": UniswapPolicy(enabled=False),
        }
    )
    config = config.model_copy(update={"lenders": lenders})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        tally = await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        assert tally.by_lender[LenderId.ERC3156] >= 1
        assert tally.unreconciled == 0
        elsewhere = config.lenders.model_copy(
            update={"erc3156": LenderPolicy(address=hand.book.token("DAI").address)}
        )
        quotes = await quoted_in(
            config.model_copy(update={"lenders": elsewhere}), hand.book.token("DAI").address, 10**18
        )
    assert not quotes[LenderId.ERC3156].usable


async def test_the_last_pair_of_a_path_pays_first_where_that_costs_least(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    lenders = config.lenders.model_copy(update={"flash_swap": UniswapPolicy()})
    config = config.model_copy(update={"lenders": lenders})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        tally = await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        assert tally.by_lender[LenderId.FLASH_SWAP] >= 1
        assert (tally.reverted, tally.unreconciled) == (0, 0)
    with open_store(config.store.directory) as reader:
        first = next(row for row in reversed(reader.executions()) if row["lender"] == "flash_swap")
        row = reader.execution(first["id"])
        assert row is not None
        (settled,) = reader.settlements(execution_id=row["id"])
        ticket = reader.ticket(row["ticket"])
    assert ticket is not None
    assert (row["lender"], row["reconciled"], settled["loan_fee"]) == ("flash_swap", True, "0")
    treasury = [d for d in settled["deltas"] if d["role"] == "treasury"]
    assert [int(d["amount"]) for d in treasury] == [int(row["expected_profit"])]
    quoted = {quote["lender"]: quote for quote in row["quotes"]}
    assert int(quoted["flash_swap"]["gas_cost"]) < int(quoted["maker"]["gas_cost"])
    assert ticket["fallback"]["lender"] == "maker", "a loan, should the pair not pay first any more"


async def test_the_amount_leaves_most_after_the_lenders_fee(devnet: Devnet, tmp_path: Path) -> None:
    config = config_for(devnet, tmp_path / "store")
    alone = config.lenders.model_copy(update=dict.fromkeys(("aave_v3", "balancer_v2", "maker")))
    config = config.model_copy(update={"lenders": alone})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 15_000)
        async with open_engine(config, Stage.PAPER, ApproveMode.NONE, lambda _: None) as engine:
            decider, weth = engine._decider, hand.book.token("WETH").address
            state = await engine._newest()
            fees, _ = await engine._look(state.block)

            async def decided(opportunity: Opportunity) -> Ticket:
                made = await decider.decide(
                    opportunity, state, fees, engine._new_id(), state.block.number + 5
                )
                assert isinstance(made, Ticket)
                assert made.lender is LenderId.AAVE_V2
                return made

            found = find_opportunities(state, [weth]).opportunities[0]
            assert decider.fitted(found, state) is found, "what a loan costs is not known yet"
            greatest_before = await decided(found)
            assert 900 <= decider.loan_cost(weth).fee_ppm <= 901, "in whole units against us"
            greatest_after = await decided(decider.fitted(found, state))
    assert greatest_after.opportunity.amount_in < greatest_before.opportunity.amount_in
    assert greatest_after.expected_profit > greatest_before.expected_profit


async def test_where_no_lender_has_as_much_as_would_pay_most_what_there_is_is_traded(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "USDC")
    others = {"uniswap_v2": UniswapPolicy(enabled=False), **dict.fromkeys(("aave_v2", "aave_v3", "maker"))}
    config = config.model_copy(update={"lenders": config.lenders.model_copy(update=others)})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("USDC/WETH", 60_000)
        tally = await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        assert (tally.reverted, tally.unreconciled) == (0, 0)
    with open_store(config.store.directory) as reader:
        first, *_ = reversed(reader.executions())
        row = reader.execution(first["id"])
        assert row is not None
        refused = [entry for entry in reader.opportunities() if entry["reason"] == "loan"]
    short = next(quote for quote in row["quotes"] if quote["lender"] == "balancer_v2")
    assert row["reconciled"]
    assert short["usable"]
    assert short["amount"] == short["available"]
    assert any(int(entry["amount_in"]) > int(short["available"]) for entry in refused), (
        "first it was too much"
    )


async def quoted_in(config: Config, token: Address, amount: int) -> dict[LenderId, LoanQuote]:
    """Every lender's quote at the newest block, by a desk of its own."""
    async with open_desk(config) as desk:
        _, quotes, _ = await desk.quotes(amount, desk.tokens[token])
        return {quote.lender: quote for quote in quotes}


# ---- execute_flash_loan


async def both_ways(engine: Engine, hand: Hand, pair: str, symbol: str, amount: int) -> list[Address]:
    """The order of the pair's two V2 pools in which the amount gains."""
    one, other = (hand.pool(pair, dex).address for dex in ("uniswap", "sushiswap"))
    token = engine._tokens[hand.book.token(symbol).address]
    state = await engine._newest()
    gains = {
        pools: priced(token, amount, pools, state).gross_profit for pools in ((one, other), (other, one))
    }
    return list(max(gains, key=lambda pools: gains[pools]))


@pytest.mark.parametrize(
    ("protocol", "version", "lender", "pair", "symbol", "amount"),
    [
        ("maker", "v1", LenderId.MAKER, "DAI/WETH", "DAI", 20_000 * 10**18),
        ("balancer", "v2", LenderId.BALANCER_V2, "USDC/WETH", "USDC", 20_000 * 10**6),
        # Neither is the cheapest here: it is used because it is the one that was named.
        ("aave", "v3", LenderId.AAVE_V3, "USDC/WETH", "USDC", 20_000 * 10**6),
        ("aave", "v2", LenderId.AAVE_V2, "USDC/WETH", "USDC", 20_000 * 10**6),
    ],
)
async def test_execute_through_exactly_the_lender_that_is_named(
    devnet: Devnet,
    tmp_path: Path,
    protocol: str,
    version: str,
    lender: LenderId,
    pair: str,
    symbol: str,
    amount: int,
) -> None:
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate(pair, 20_000)
        async with open_engine(config, Stage.LIVE, ApproveMode.NONE, lambda _: None) as engine:
            token = engine._tokens[hand.book.token(symbol).address]
            params = {
                "token": token,
                "amount": amount,
                "pools": await both_ways(engine, hand, pair, symbol, amount),
            }
            loans = engine.flash_loans
            stop = asyncio.Event()
            running = asyncio.create_task(engine.run(30, stop))
            # The wrong way round loses: a "no" with the check that says so, and nothing is sent.
            backwards = params | {"pools": params["pools"][::-1]}
            refused = await loans.execute_flash_loan(protocol, version, backwards)
            assert isinstance(refused, Dropped)
            assert refused.check == "gas_cost"
            # More than the lender has: its quote, with the reason.
            too_much = await loans.execute_flash_loan(protocol, version, params | {"amount": 10**40})
            assert isinstance(too_much, LoanQuote)
            assert too_much.reason in ("ceiling", "insufficient_liquidity")
            sent = await loans.execute_flash_loan(protocol, version, params)
            assert isinstance(sent, Submitted), sent
            assert sent.tx_hash
            with pytest.raises(RefusedError, match="another transaction is in flight"):
                await loans.execute_flash_loan(protocol, version, params)
            while engine.tally.confirmed + engine.tally.reverted == 0:
                await hand.mine()
                await asyncio.sleep(0.2)
            stop.set()
            await running
            assert (engine.tally.confirmed, engine.tally.unreconciled) == (1, 0)
        with open_store(config.store.directory) as reader:
            (row,) = reader.executions()
            ticket = reader.ticket(sent.ticket_id)
            (settled,) = reader.settlements()
        assert (row["id"], row["lender"], row["status"]) == (sent.execution_id, str(lender), "mined")
        assert row["tx_hashes"] == [sent.tx_hash]
        assert row["reconciled"]
        assert ticket is not None
        assert ticket["fallback"] is None, "exactly this lender: no other leg"
        assert ticket["decision"] == "approved_by_hand"
        chosen = next(quote for quote in row["quotes"] if quote["lender"] == str(lender))
        assert 0 <= int(chosen["fee"]) - int(settled["loan_fee"]) <= 1


@pytest.mark.parametrize(("version", "lender"), [("v3", LenderId.UNISWAP_V3), ("v2", LenderId.UNISWAP_V2)])
async def test_a_pool_beside_the_path_lends_where_the_executor_knows_how(
    devnet: Devnet, tmp_path: Path, version: str, lender: LenderId
) -> None:
    config = config_for(devnet, tmp_path / "store")
    lenders = config.lenders.model_copy(update={"uniswap_v3": UniswapPolicy()})
    config = config.model_copy(update={"lenders": lenders})
    amount = 8 * 10**18
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("USDC/WETH", 20_000)
        async with open_engine(config, Stage.LIVE, ApproveMode.NONE, lambda _: None) as engine:
            token = engine._tokens[hand.book.token("WETH").address]
            pools = await both_ways(engine, hand, "USDC/WETH", "WETH", amount)
            params = {"token": token, "amount": amount, "pools": pools}
            stop = asyncio.Event()
            running = asyncio.create_task(engine.run(30, stop))
            answer = await engine.flash_loans.execute_flash_loan("uniswap", version, params)
            while isinstance(answer, Submitted) and engine.tally.confirmed + engine.tally.reverted == 0:
                await hand.mine()
                await asyncio.sleep(0.2)
            stop.set()
            await running
    if lender not in LENDER_CODES:
        assert isinstance(answer, LoanQuote)
        assert (answer.reason, answer.source in pools) == ("not_in_executor", False)
        return
    assert (engine.tally.confirmed, engine.tally.unreconciled) == (1, 0)
    with open_store(config.store.directory) as reader:
        (row,), (settled,) = reader.executions(), reader.settlements()
    assert row["lender"] == str(lender)
    chosen = next(quote for quote in row["quotes"] if quote["lender"] == str(lender))
    assert chosen["fee"] == settled["loan_fee"]
    assert not any(pool in chosen["detail"] for pool in pools), "another pool than those of the path"


async def test_nothing_executes_outside_stage_live(devnet: Devnet, tmp_path: Path) -> None:
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        async with open_engine(config, Stage.PAPER, ApproveMode.NONE, lambda _: None) as engine:
            token = engine._tokens[hand.book.token("DAI").address]
            with pytest.raises(UsageError, match="only quotes"):
                await engine.flash_loans.execute_flash_loan("maker", "v1", {"token": token, "amount": 1})
        async with open_engine(config, Stage.LIVE, ApproveMode.NONE, lambda _: None) as engine:
            params = {"token": token, "amount": 10**18, "pools": [hand.pool("DAI/WETH").address]}
            with pytest.raises(UsageError, match="1 pools that end in WETH, not in DAI"):
                await engine.flash_loans.execute_flash_loan("maker", "v1", params)

"""The engine on a real local chain that the test moves: what it takes, what it leaves, and why."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.domain import Stage
from arbtui.engine import Engine
from arbtui.errors import LockHeld, NodeError, NodeUnreachable, StoreError
from arbtui.execution import decode_execute
from arbtui.execution.calldata import contract_ticket
from arbtui.monitor import strategy_record
from arbtui.store import CommandPost, open_store
from tests.chain import Hand, config_for, in_hand, limited, running_chain, trade_until

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def test_a_trade_that_moves_the_pool_makes_the_ticket_stale_and_is_named(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Two independent dislocations: while the first executes, somebody closes the second."""
    config = limited(config_for(devnet, tmp_path / "store"), "DAI", "USDT")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 30_000, mine=False)
        pool = await hand.dislocate("WBTC/USDT", 12_000)

        async def close_the_second(block: int) -> None:
            if block == 0:
                await hand.dislocate("WBTC/USDT", 0, mine=False)

        tally = await trade_until(hand, config, lambda seen: seen.stale > 0, between=close_the_second)
        assert tally.stale >= 1
        assert tally.confirmed >= 1
        with open_store(config.store.directory) as reader:
            (stale,) = [row for row in reader.decisions() if row["kind"] == "stale"][:1]
            ticket = reader.ticket(stale["ticket_id"])
            moved_at = await hand.node.receipt(stale["moved_by_tx"])
        assert ticket is not None
        assert stale["moved_by_pool"] == pool
        assert moved_at is not None
        assert moved_at.block_number == stale["moved_by_block"]
        sender = (await hand.rpc.call("eth_getTransactionByHash", [stale["moved_by_tx"]]))["from"]
        assert sender.lower() in {trader.lower() for trader in hand.book.traders}
        (failed,) = [c for c in ticket["checks"] if c["phase"] == "send" and not c["passed"]][:1]
        assert failed["check"] == "simulation"
        assert int(failed["margin"]) == int(failed["observed"]) - int(failed["limit"])
        assert int(failed["margin"]) < 0
        assert str(failed["limit"]) in stale["reason"]


async def test_what_does_not_pay_for_its_gas_is_dropped_with_its_margin(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 6_800)
        tally = await trade_until(hand, config, lambda seen: seen.blocks >= 2)
        assert tally.dropped >= 1
        assert tally.tickets == 0
        with open_store(config.store.directory) as reader:
            dropped = reader.opportunities(outcome="dropped")[0]
            checks = reader.checks(dropped["id"])
        assert dropped["reason"] == "gas_cost"
        (gas,) = [check for check in checks if check["check"] == "gas_cost"]
        assert int(gas["margin"]) == int(gas["limit"]) - int(gas["observed"])
        assert int(gas["margin"]) < 0
        assert int(dropped["gross_profit"]) > 0


async def test_a_wallet_that_cannot_pay_the_worst_case_and_a_cancel_drops_it(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    wallet = config.wallet.address
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        full, poor = await hand.node.balance(wallet), 10**12
        await hand.rpc.call("anvil_setBalance", [wallet, hex(poor)])
        try:
            tally = await trade_until(hand, config, lambda seen: seen.blocks >= 2)
        finally:
            await hand.rpc.call("anvil_setBalance", [wallet, hex(full)])
        assert (tally.tickets, tally.confirmed) == (0, 0)
        with open_store(config.store.directory) as reader:
            dropped = reader.opportunities(outcome="dropped")[0]
            (funds,) = [check for check in reader.checks(dropped["id"]) if check["check"] == "funds"]
        assert dropped["reason"] == "funds"
        assert (int(funds["observed"]), funds["unit"]) == (poor, "wei")
        assert int(funds["margin"]) == poor - int(funds["limit"]) < 0
        # With the money back, what is needed is the ladder's worst case and the cancel beside it, to the wei.
        again = config.model_copy(
            update={"store": config.store.model_copy(update={"directory": tmp_path / "b"})}
        )
        assert (await trade_until(hand, again, lambda seen: seen.confirmed >= 1)).confirmed >= 1
    with open_store(again.store.directory) as reader:
        ticket = reader.ticket(reader.executions()[-1]["ticket"])
    assert ticket is not None
    needed = int(ticket["ladder"]["worst_cost"]) + int(ticket["ladder"]["cancel_headroom"])
    (funds,) = [c for c in ticket["checks"] if c["check"] == "funds" and c["phase"] == "ticket"][:1]
    assert int(funds["limit"]) == needed
    assert int(funds["observed"]) == full


async def test_dynamic_says_what_it_stands_for_and_remembers_how_that_fared(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    config = config.model_copy(update={"gas": config.gas.model_copy(update={"strategy": "dynamic"})})
    async with in_hand(devnet) as hand:
        await hand.align()

        async def move(block: int) -> None:
            if block % 4 == 0:
                await hand.dislocate("DAI/WETH", 20_000 + 2_000 * block, mine=False)

        await trade_until(hand, config, lambda seen: seen.confirmed >= 2, between=move)
        with open_store(config.store.directory) as reader:
            tickets = [reader.ticket(row["ticket"]) for row in reader.executions()]
            ends = [row["status"] for row in reader.executions()]
            records = strategy_record(reader, config.chain.chain_id, config.wallet.address).records()
        async with open_engine(config, Stage.PAPER, ApproveMode.NONE, lambda _: None) as engine:
            assert engine._decider.inclusion == records
    chosen = []
    for ticket in tickets:
        assert ticket is not None
        ladder = ticket["ladder"]
        assert ladder["strategy"] == "dynamic"
        assert ladder["chosen"] in config.gas.strategies
        assert ladder["why"].startswith(f"{ladder['chosen']}: ")
        chosen.append(ladder["chosen"])
    assert len(ends) >= 2
    assert {name: record.sent for name, record in records.items()} == Counter(chosen)
    assert sum(record.mined for record in records.values()) == len(ends) - ends.count("cancelled")


async def test_paper_does_everything_but_the_send(devnet: Devnet, tmp_path: Path) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        before = await hand.node.nonce(config.wallet.address)
        tally = await trade_until(hand, config, lambda seen: seen.blocks >= 3, stage=Stage.PAPER)
        assert await hand.node.nonce(config.wallet.address) == before
        assert await hand.node.nonce(config.wallet.address, "pending") == before
    # The dislocation stays open, since nobody took it: it is papered once, not once a block.
    assert tally.paper == 1
    with open_store(config.store.directory, "paper") as reader:
        (row,) = reader.executions()
        assert row["status"] == "paper"
        assert int(row["expected_profit"]) > 0
        assert row["tx_hashes"] == []
    assert not (config.store.directory / "live.sqlite").exists()


async def test_observe_makes_tickets_that_nobody_decides(devnet: Devnet, tmp_path: Path) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        await trade_until(
            hand, config, lambda seen: seen.blocks >= 2, stage=Stage.OBSERVE, approve=ApproveMode.NONE
        )
    with open_store(config.store.directory, "paper") as reader:
        assert reader.executions() == []
        (ticket,) = reader.tickets()
        said = decode_execute(bytes.fromhex(str(reader.ticket(ticket["id"])["calldata"])[2:]))  # type: ignore[index]
    assert ticket["decision"] == "expired_unseen"
    assert said["ticket"] == f"0x{contract_ticket(ticket['id']):016x}"
    assert said["min_profit"] == int(ticket["min_profit"])
    assert said["last_block"] == ticket["last_block"]


async def test_who_closed_a_missed_opportunity_is_told_from_the_chain(devnet: Devnet, tmp_path: Path) -> None:
    """The first swap on its pools past its last block: position, sender and tip as the receipt says."""
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        pool = await hand.dislocate("DAI/WETH", 20_000)

        async def close(block: int) -> None:
            if block == 2:
                await hand.dislocate("DAI/WETH", 0, mine=False)

        await trade_until(
            hand,
            config,
            lambda seen: seen.blocks >= 5,
            stage=Stage.OBSERVE,
            approve=ApproveMode.NONE,
            between=close,
        )
        with open_store(config.store.directory, "paper") as reader:
            closings = reader.closings()
            opened = [reader.opportunity(row["opportunity_id"]) for row in closings]
        assert closings
        for row in closings:
            receipt = await hand.node.receipt(row["tx"])
            assert receipt is not None
            block = await hand.node.block(receipt.block_hash)
            assert (row["closed_by"], row["closed_block"]) == ("foreign", receipt.block_number)
            assert row["tx_index"] == receipt.tx_index
            assert row["sender"] == receipt.sender
            assert row["sender"] in hand.book.traders
            assert int(row["tip_per_gas"]) == receipt.effective_gas_price - block.base_fee_per_gas
            assert row["last_block"] == receipt.block_number - 1
        assert {row["pool"] for row in closings} == {pool}
        # Of a path whose ticket waited the ticket's own row, else that of the last block on which it paid.
        assert all(
            found is not None and (found["outcome"] == "ticket" or found["block"] == row["last_block"])
            for found, row in zip(opened, closings, strict=True)
        )
        assert any(found is not None and found["outcome"] == "ticket" for found in opened)


async def test_a_second_engine_is_refused(devnet: Devnet, tmp_path: Path) -> None:
    config = config_for(devnet, tmp_path / "store")
    other = config_for(devnet, tmp_path / "other")
    async with open_engine(config, Stage.OBSERVE, ApproveMode.NONE, lambda _: None):
        with pytest.raises(LockHeld, match="engine.lock"):
            async with open_engine(config, Stage.OBSERVE, ApproveMode.NONE, lambda _: None):
                pass
        with pytest.raises(LockHeld, match="choose another wallet"):
            async with open_engine(other, Stage.OBSERVE, ApproveMode.NONE, lambda _: None):
                pass


async def test_every_rate_names_its_pools_and_block(devnet: Devnet, tmp_path: Path) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI", "USDC", "USDT")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        pools = {pool.address for pool in hand.book.pools}
    with open_store(config.store.directory) as reader:
        tickets = reader.tickets()
    assert tickets
    for ticket in tickets:
        assert ticket["rate_block"] == ticket["block"]
        assert ticket["rate_pools"]
        assert set(ticket["rate_pools"]) <= pools


async def hand_wallet_nonce(hand: Hand, config: Config) -> int:
    return await hand.node.nonce(config.wallet.address)


async def test_an_evicted_transaction_ends_in_a_mined_cancel_and_settles(
    devnet: Devnet, tmp_path: Path
) -> None:
    """The node drops our transaction, past its last block the nonce is taken by a self-transfer."""
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        before = await hand_wallet_nonce(hand, config)

        async def evict(block: int) -> None:
            pending = await hand.rpc.call("txpool_content")
            ours = pending["pending"].get(config.wallet.address) or pending["pending"].get(
                config.wallet.address.lower(), {}
            )
            for transaction in ours.values():
                if transaction["to"].lower() == config.wallet.executor.lower():
                    await hand.rpc.call("anvil_dropTransaction", [transaction["hash"]])

        await trade_until(hand, config, lambda seen: seen.reverted >= 1, between=evict)
        after = await hand_wallet_nonce(hand, config)
    with open_store(config.store.directory) as reader:
        rows = [reader.execution(row["id"]) for row in reader.executions()]
    assert after == before + len(rows)
    for nonce, row in enumerate(reversed(rows), before):
        assert row is not None
        assert row["status"] == "cancelled"
        assert row["reconciled"]
        assert [attempt["kind"] for attempt in row["attempts"]][-1] == "cancel"
        assert {attempt["nonce"] for attempt in row["attempts"]} == {nonce}
        assert int(row["net_profit"]) < 0
        assert row["gas_used"] == 21_000


async def waiting_ticket(config: Config) -> dict[str, Any]:
    """The newest ticket that nobody has decided."""
    for _ in range(100):
        with contextlib.suppress(StoreError), open_store(config.store.directory) as reader:
            for ticket in reader.tickets():
                if ticket["decision"] is None and ticket["now_block"] is not None:
                    return ticket
        await asyncio.sleep(0.05)
    raise AssertionError("no ticket was made")


async def answer(config: Config, kind: str, argument: dict[str, Any]) -> str:
    """Post a command as a desk would, and what the engine made of it."""
    with CommandPost(config.store.directory, "live") as post:
        number = post.post(kind, argument)
        for _ in range(200):
            if (result := post.result(number)) is not None:
                return result
            await asyncio.sleep(0.02)
    raise AssertionError(f"{kind} was not taken up")


@contextlib.asynccontextmanager
async def engine_by_hand(config: Config) -> AsyncIterator[Engine]:
    """A live engine that approves nothing by itself."""
    async with open_engine(config, Stage.LIVE, ApproveMode.NONE, lambda _: None) as engine:
        stop = asyncio.Event()
        running = asyncio.create_task(engine.run(60, stop))
        try:
            yield engine
        finally:
            stop.set()
            await running


async def test_a_ticket_approved_by_hand_is_sent_and_settles(devnet: Devnet, tmp_path: Path) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        before = await hand.node.nonce(config.wallet.address)
        async with engine_by_hand(config):
            ticket = await waiting_ticket(config)
            asked = {"ticket": ticket["id"], "by": "a test"}
            refused = await answer(config, "approve", asked | {"digest": "0x" + "00" * 32})
            assert refused == "refused: the digest is not this ticket's"
            assert await hand.node.nonce(config.wallet.address, "pending") == before
            assert await answer(config, "launder", asked) == "refused: there is no command launder"
            sent = await answer(config, "approve", asked | {"digest": ticket["digest"]})
            assert sent.startswith("sent as x")
            again = await answer(config, "approve", asked | {"digest": ticket["digest"]})
            assert again.startswith("gone")
            await hand.mine()
        assert await hand.node.nonce(config.wallet.address) == before + 1
    with open_store(config.store.directory) as reader:
        (row,) = [row for row in reader.executions() if row["ticket"] == ticket["id"]]
        (decision,) = [d for d in reader.decisions() if d["ticket_id"] == ticket["id"]]
    assert (row["status"], row["reconciled"]) == ("mined", True)
    assert (decision["kind"], decision["reason"]) == ("approved_by_hand", "by a test")


async def test_what_moved_between_ticket_and_key_press_is_said(devnet: Devnet, tmp_path: Path) -> None:
    """The pool is moved in a block that the engine will not look for in a while when the approval arrives."""
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    rare = config.chain.model_copy(update={"poll_interval_s": 20.0, "push_url": None})
    config = config.model_copy(update={"chain": rare})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        before = await hand.node.nonce(config.wallet.address)
        async with engine_by_hand(config):
            ticket = await waiting_ticket(config)
            await hand.dislocate("DAI/WETH", 0)
            result = await answer(
                config, "approve", {"ticket": ticket["id"], "digest": ticket["digest"], "by": "a test"}
            )
        assert await hand.node.nonce(config.wallet.address) == before
    assert result.startswith("stale: simulation failed")
    with open_store(config.store.directory) as reader:
        (decision,) = [d for d in reader.decisions() if d["ticket_id"] == ticket["id"]]
    assert decision["kind"] == "stale"
    assert decision["moved_by_tx"]


async def test_rejected_and_expired_seen_and_unseen(devnet: Devnet, tmp_path: Path) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI", "USDT")
    config = config.model_copy(update={"tickets": config.tickets.model_copy(update={"manual_ttl_s": 3})})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        async with engine_by_hand(config):
            first = await waiting_ticket(config)
            said = await answer(
                config, "reject", {"ticket": first["id"], "reason": "too\x1b[31m thin", "by": "a test"}
            )
            assert said == "rejected"
            await hand.mine()
            second = await waiting_ticket(config)
            assert await answer(config, "seen", {"ticket": second["id"]}) == "seen"
            for _ in range(4):
                await hand.mine()
                await asyncio.sleep(0.3)
            await waiting_ticket(config)
    with open_store(config.store.directory) as reader:
        kinds = {d["ticket_id"]: (d["kind"], d["reason"]) for d in reader.decisions()}
        shown = reader.ticket(second["id"])
    assert kinds[first["id"]] == ("rejected", "too\ufffd[31m thin (by a test)")
    assert kinds[second["id"]][0] == "expired_seen"
    assert "expired_unseen" in {kind for kind, _ in kinds.values()}
    assert shown is not None
    assert shown["seen_at"]


async def test_a_lender_paused_before_the_send_leaves_it_to_the_fallback_leg(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Aave v3 is paused between ticket and approval: the second lender's bytes go out, and only those."""
    config = limited(config_for(devnet, tmp_path / "store"), "WETH")
    config = config.model_copy(
        update={"validation": config.validation.model_copy(update={"max_price_impact_bps": 2_000})}
    )
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("USDC/WETH", 60_000)
        async with engine_by_hand(config):
            ticket = await waiting_ticket(config)
            assert ticket["lender"] == "aave_v3"
            assert ticket["fallback"]["lender"] == "aave_v2"
            provider = await hand.ask_address(hand.book.lenders["aave_v3"], "ADDRESSES_PROVIDER()")
            configurator = await hand.ask_address(provider, "getPoolConfigurator()")
            await hand.send(hand.book.accounts[0], configurator, "setPoolPause(bool)", True)
            result = await answer(
                config, "approve", {"ticket": ticket["id"], "digest": ticket["digest"], "by": "a test"}
            )
            assert result.startswith("sent as x"), result
            await hand.mine()
    with open_store(config.store.directory) as reader:
        (row,) = [row for row in reader.executions() if row["ticket"] == ticket["id"]]
        whole = reader.execution(row["id"])
        settled = [s for s in reader.settlements() if s["execution_id"] == row["id"]]
    assert whole is not None
    assert (row["status"], row["lender"], row["reconciled"]) == ("mined", "aave_v2", True)
    quoted = {quote["lender"]: quote for quote in whole["quotes"]}
    assert quoted["aave_v3"]["reason"] == "paused"
    assert len(row["tx_hashes"]) == 1
    treasury = sum(int(d["amount"]) for d in settled[0]["deltas"] if d["role"] == "treasury")
    assert treasury >= int(ticket["fallback"]["min_profit"])


async def test_another_gas_strategy_is_another_ticket_with_its_own_ladder_and_digest(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        async with engine_by_hand(config):
            old = await waiting_ticket(config)
            with CommandPost(config.store.directory, "live") as post:

                async def ask(ticket: str, strategy: str) -> str:
                    number = post.post("strategy", {"ticket": ticket, "strategy": strategy, "by": "a test"})
                    for _ in range(300):
                        if (result := post.result(number)) is not None:
                            return result
                        await asyncio.sleep(0.02)
                    raise AssertionError("no answer")

                refused = await ask(old["id"], "reckless")
                switched = await ask(old["id"], "next")
                with open_store(config.store.directory) as reader:
                    rows = {row["id"]: row for row in reader.tickets()}
                (new,) = [row for row in rows.values() if row["decision"] is None]
                gone = await ask(old["id"], "next")
        assert refused.startswith("refused: no gas strategy is called reckless; there are conservative")
        assert switched == f"switched: ticket {new['digest'][2:10]} with aggressive"
        assert gone.startswith("gone")
        assert (rows[old["id"]]["decision"], rows[old["id"]]["strategy"]) == ("stale", "balanced")
        assert new["digest"][2:10] in rows[old["id"]]["decision_reason"]
        assert new["strategy"] == "aggressive"
        assert new["digest"] != old["digest"]
        assert len(new["ladder"]["steps"]) == 3, "aggressive has three tries"
        assert new["path_id"] == rows[old["id"]]["path_id"]
        assert await hand.node.nonce(config.wallet.address) == 0


# ---- a node that fails in the middle of a block's work


async def test_a_failure_after_the_tickets_loses_no_row_of_them(devnet: Devnet, tmp_path: Path) -> None:
    """Tickets that were made before the node failed are in the store, and are sent with a later block."""
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        async with open_engine(config, Stage.LIVE, ApproveMode.ALL, lambda _: None) as engine:
            made, failed = engine._tickets_of, 0

            async def fails_once(*arguments: Any) -> Any:
                nonlocal failed
                drops = await made(*arguments)
                if engine._waiting and not failed:
                    failed += 1
                    raise NodeError(-32005, "too many requests")
                return drops

            engine._tickets_of = fails_once  # type: ignore[method-assign]
            running = asyncio.create_task(engine.run(20, asyncio.Event(), lambda seen: seen.confirmed >= 1))
            while not running.done():
                await asyncio.sleep(0.2)
                await hand.mine()
            await running
    assert failed == 1
    with open_store(config.store.directory) as reader:
        (first, *_) = reversed(reader.tickets())
        kinds = [row["kind"] for row in reader.query("SELECT kind FROM incident")]
        assert reader.executions()[-1]["ticket"] == first["id"], "the ticket of the block that failed"
        assert reader.executions()[-1]["status"] == "mined"
    assert "node" in kinds


async def test_an_approval_that_failed_is_none(devnet: Devnet, tmp_path: Path) -> None:
    """The node fails while the approved ticket is looked at again: the answer is `failed`, and nothing is sent."""
    config = limited(config_for(devnet, tmp_path / "store"), "DAI")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        before = await hand.node.nonce(config.wallet.address)
        async with engine_by_hand(config) as engine:
            ticket = await waiting_ticket(config)
            asked = {"ticket": ticket["id"], "digest": ticket["digest"], "by": "a test"}
            good = engine._decider.still_good

            async def fails(*_: Any) -> Any:
                raise NodeUnreachable("no answer within 10 s")

            engine._decider.still_good = fails  # type: ignore[method-assign]
            assert await answer(config, "approve", asked) == "failed: no answer within 10 s"
            engine._decider.still_good = good  # type: ignore[method-assign]
            for _ in range(3):
                await hand.mine()
                await asyncio.sleep(0.3)
            assert await hand.node.nonce(config.wallet.address, "pending") == before
            assert (await answer(config, "approve", asked)).startswith("sent as x")
            await hand.mine()

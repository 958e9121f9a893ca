"""The engine on a real local chain that the test moves: what it takes, what it leaves, and why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.domain import Stage
from arbtui.errors import LockHeld
from arbtui.execution import decode_execute
from arbtui.store import open_store
from tests.chain import Hand, config_for, in_hand, running_chain, trade_until

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def limited(config: Config, *bases: str) -> Config:
    return config.model_copy(update={"search": config.search.model_copy(update={"base_tokens": bases})})


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
    assert said["ticket"] == ticket["id"]
    assert said["min_profit"] == int(ticket["min_profit"])
    assert said["last_block"] == ticket["last_block"]


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

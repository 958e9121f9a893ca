"""Balances followed from final block to final block on a real chain: what fits, what does not, and what that stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.devnet.anvil import STATES_KEPT
from arbtui.domain import Stage
from arbtui.monitor import build_report
from arbtui.store import CommandPost, Store, open_store
from arbtui.units import ETHER
from tests import factories as make
from tests.chain import Hand, config_for, in_hand, running_chain, trade_until

pytestmark = pytest.mark.chain
DEPTH = 2


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def shallow(devnet: Devnet, store: Path, **changes: Any) -> Config:
    config = config_for(devnet, store)
    return config.model_copy(
        update={
            "search": config.search.model_copy(update={"base_tokens": ("DAI", "USDT")}),
            "reconciliation": config.reconciliation.model_copy(update={"depth_blocks": DEPTH, **changes}),
        }
    )


async def give(hand: Hand, to: str, wei: int) -> None:
    """Ether from one of the traders, with the next block."""
    call = {"from": hand.book.traders[0], "to": to, "value": hex(wei), "gas": hex(30_000)}
    await hand.rpc.call("eth_sendTransaction", [call])


async def test_trades_fit_to_the_last_unit_over_any_number_of_blocks(devnet: Devnet, tmp_path: Path) -> None:
    config = shallow(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()

        async def move(block: int) -> None:
            if block % 4 == 1:
                await hand.dislocate("DAI/WETH", 30_000 + 1_000 * block, mine=False)

        await trade_until(
            hand,
            config,
            lambda seen: seen.confirmed >= 2 and seen.blocks >= 12,
            between=move,
            every_s=0.15,
        )
        with open_store(config.store.directory) as reader:
            first = build_report(reader)["reconciliation"]
        # A restart goes on where the last run stopped; what was settled at its end is compared now.
        await trade_until(
            hand, config, lambda seen: seen.blocks >= DEPTH + 4, approve=ApproveMode.NONE, every_s=0.15
        )
        with open_store(config.store.directory) as reader:
            report = build_report(reader)
            rows = reader.reconciliations()
            settled = reader.settlements()
            balances = reader.balances()
        head = await hand.node.block()
        held = await hand.node.balance(config.wallet.address, head.number)
    assert report["unreconciled"] == 0
    told = report["reconciliation"]
    assert told["from_block"] == first["from_block"]
    assert told["through_block"] > first["through_block"]
    assert told["settlements"] == len(settled) >= 2
    assert all(row["ok"] for row in rows)
    assert len(rows) < told["through_block"] - told["from_block"], "quiet blocks share a row"
    (wallet,) = [b for b in balances if b["role"] == "wallet" and b["token_symbol"] == "ETH"]
    assert int(wallet["amount"]) == held
    final = report["times"]["mined_to_final"]
    assert final["count"] == len(settled)
    assert final["p50_s"] > 0


async def test_money_from_nowhere_is_named_stops_sending_and_goes_on_when_acknowledged(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = shallow(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()
        treasury = config.wallet.treasury
        async with open_engine(config, Stage.LIVE, ApproveMode.ALL, lambda _: None) as engine:
            stop = asyncio.Event()
            running = asyncio.create_task(engine.run(60, stop))
            blocks = 0

            async def mine_until(done: Any) -> None:
                nonlocal blocks
                for _ in range(80):
                    if done():
                        return
                    await hand.mine()
                    blocks += 1
                    await asyncio.sleep(0.15)
                raise AssertionError("it did not come to that")

            def report() -> dict[str, Any]:
                with open_store(config.store.directory) as reader:
                    return build_report(reader)

            await mine_until(lambda: engine.tally.blocks >= DEPTH + 2)
            await give(hand, treasury, 12_345)
            await mine_until(lambda: report()["unreconciled"] == 1)
            (named,) = report()["unreconciled_named"]
            assert named["what"] == "balances"
            assert f"treasury {treasury}: +0.000000000000012345 ETH" in named["difference"]
            # An opportunity is there, its ticket is made and approved, and nothing is sent.
            await hand.dislocate("DAI/WETH", 30_000, mine=False)
            tickets = engine.tally.tickets
            await mine_until(lambda: engine.tally.tickets > tickets and engine.tally.expired > 0)
            assert report()["executions"] == 0
            assert report()["reconciliation"]["sending_stopped"]
            with CommandPost(config.store.directory, "live") as post:
                mute = post.post("acknowledge", {"id": named["reconciliation"], "reason": " "})
                number = post.post(
                    "acknowledge", {"id": named["reconciliation"], "reason": "topped up", "by": "me"}
                )
                await mine_until(lambda: post.result(number) is not None)
                assert post.result(mute) == "refused: a reason is wanted; it is kept"
                assert post.result(number) == f"acknowledged: {named['reconciliation']}"
            await mine_until(lambda: engine.tally.confirmed >= 1)
            await mine_until(lambda: report()["reconciliation"]["settlements"] >= 1)
            stop.set()
            await running
        told = report()
    assert told["unreconciled"] == 0
    assert told["reconciliation"]["acknowledged"] == 1
    with open_store(config.store.directory) as reader:
        (row,) = [row for row in reader.reconciliations() if not row["ok"]]
    assert (row["acknowledged_by"], row["reason"]) == ("me", "topped up")


async def test_an_engine_prunes_old_days_while_it_trades(devnet: Devnet, tmp_path: Path) -> None:
    config = config_for(devnet, tmp_path / "store")
    directory = config.store.directory
    with Store.open(directory, "live", clock=lambda: "2020-01-02T00:00:00.000000+00:00") as store:
        store.start_run(make.run_info())
        with store.batch() as batch:
            for number in range(170):
                batch.dropped(
                    make.opportunity(ETHER + number), make.quotes(), make.checks(), "place", net_wei=5
                )
        store.end_run()
    kept = config.store.model_copy(update={"keep_days": 30})
    config = config.model_copy(update={"store": kept})
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        seen = await trade_until(
            hand, config, lambda seen: seen.confirmed >= 1 and seen.blocks >= 8, every_s=0.25
        )
    assert seen.confirmed >= 1
    with open_store(directory) as reader:
        report = build_report(reader)
        (row,) = reader.query("SELECT * FROM command")
        old = reader.query("SELECT count(*) AS n FROM opportunity WHERE at < '2021'")
        (rolled,) = reader.query("SELECT * FROM rollup WHERE kind = 'dropped'")
    assert old == [{"n": 0}]
    assert (rolled["day"], rolled["name"], rolled["count"], rolled["net_wei"]) == (
        "2020-01-02",
        "place",
        170,
        "850",
    )
    assert report["dropped"]["place"] == 170
    assert (row["kind"], row["result"][:6]) == ("prune", "pruned")
    assert report["unreconciled"] == 0


async def test_a_gain_may_be_let_pass(devnet: Devnet, tmp_path: Path) -> None:
    config = shallow(devnet, tmp_path / "store", stop_on_gain=False)
    async with in_hand(devnet) as hand:
        await hand.align()

        async def gift(block: int) -> None:
            if block == DEPTH + 2:
                await give(hand, config.wallet.treasury, 1)

        await trade_until(hand, config, lambda seen: seen.blocks >= 2 * DEPTH + 6, between=gift, every_s=0.15)
    with open_store(config.store.directory) as reader:
        report = build_report(reader)
        (incident,) = [row for row in reader.incidents() if row["kind"] == "unreconciled"]
    assert "treasury" in incident["detail"]
    assert (report["unreconciled"], report["reconciliation"]["acknowledged"]) == (0, 1)


async def test_a_token_watched_anew_after_a_long_stop_is_followed_from_then_on(
    devnet: Devnet, tmp_path: Path
) -> None:
    """The state of the last compared block is gone by then: the others are compared all the same."""
    config = shallow(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()
        few = config.model_copy(update={"search": config.search.model_copy(update={"base_tokens": ("DAI",)})})
        await trade_until(hand, few, lambda seen: seen.blocks >= DEPTH + 3, every_s=0.1)
        with open_store(config.store.directory) as reader:
            before = build_report(reader)["reconciliation"]["through_block"]
            watched = {row["token_symbol"] for row in reader.balances()}
        await hand.rpc.call("anvil_mine", [hex(STATES_KEPT + 20)])
        head = await hand.node.block()
        await hand.rpc.call("anvil_setTime", [max(int(time.time()), head.timestamp + 1)])
        await trade_until(hand, config, lambda seen: seen.blocks >= DEPTH + 3, every_s=0.1)
    with open_store(config.store.directory) as reader:
        report = build_report(reader)
        incidents = [row["detail"] for row in reader.query("SELECT detail FROM incident")]
        after = {row["token_symbol"] for row in reader.balances()}
    assert report["unreconciled"] == 0
    assert report["reconciliation"]["through_block"] > before + STATES_KEPT
    assert after - watched == {"USDT"}
    assert f"USDT: no balances at block {before} any more" in " ".join(incidents)


async def test_a_reorganisation_below_what_was_compared_is_written_down(
    devnet: Devnet, tmp_path: Path
) -> None:
    config = shallow(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()
        await trade_until(hand, config, lambda seen: seen.blocks >= DEPTH + 4, every_s=0.1)
        with open_store(config.store.directory) as reader:
            compared = build_report(reader)["reconciliation"]["through_block"]
        await hand.rpc.call("anvil_reorg", [DEPTH + 4, []])
        await trade_until(hand, config, lambda seen: seen.blocks >= DEPTH + 4, every_s=0.1)
    with open_store(config.store.directory) as reader:
        told = [row["detail"] for row in reader.query("SELECT detail FROM incident WHERE kind = 'reorg'")]
        report = build_report(reader)
    assert [detail for detail in told if f"block {compared} was reorganised away" in detail]
    assert report["unreconciled"] == 0
    assert report["reconciliation"]["through_block"] > compared

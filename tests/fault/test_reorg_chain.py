"""A real engine on a real chain whose blocks are undone: outcomes go back and come again, the report follows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.cli.running import report_of
from arbtui.devnet import Devnet
from arbtui.domain import Stage
from arbtui.store import open_store
from tests.chain import config_for, in_hand, running_chain

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def test_a_mined_execution_is_undone_and_mined_again(devnet: Devnet, tmp_path: Path) -> None:
    """Its profit leaves the report with its block, and is there again with the next receipt; one nonce, one hash."""
    config = config_for(devnet, tmp_path / "store")
    config = config.model_copy(update={"tickets": config.tickets.model_copy(update={"auto_ttl_blocks": 30})})
    path = config.store.directory

    def rows() -> list[tuple[str, str]]:
        with open_store(path) as reader:
            return [(row["id"], row["status"]) for row in reader.executions()]

    async def until(status: str, *, mine: bool) -> None:
        for _ in range(60):
            # The first one: what a reorganisation brings back may be traded anew.
            if path.joinpath("live.sqlite").exists() and [row[1] for row in rows()][-1:] == [status]:
                return
            if mine:
                await hand.mine()
            await asyncio.sleep(0.1)
        raise AssertionError(f"never {status}: {rows()}")

    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        nonce = await hand.node.nonce(config.wallet.address)
        async with open_engine(config, Stage.LIVE, ApproveMode.ALL, lambda _: None) as engine:
            running = asyncio.create_task(engine.run(60, asyncio.Event(), lambda tally: tally.blocks >= 200))
            await until("submitted", mine=False)
            await until("mined", mine=True)
            earned = int(report_of(config, Stage.LIVE)["net_profit"] or 0)
            before = rows()[-1]
            with open_store(path) as reader:
                whole = reader.execution(before[0])
            assert whole is not None
            (tx_hash,) = whole["tx_hashes"]
            receipt = await hand.node.receipt(tx_hash)
            assert receipt is not None
            depth = (await hand.node.block()).number - receipt.block_number + 1
            # Undone with an empty chain in its place.
            await hand.rpc.call("anvil_reorg", [depth, []])
            await hand.rpc.call("anvil_dropTransaction", [tx_hash])
            await until("submitted", mine=True)
            assert int(report_of(config, Stage.LIVE)["net_profit"] or 0) != earned or earned == 0
            await until("mined", mine=True)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert await hand.node.nonce(config.wallet.address) >= nonce + 1
        again = await hand.node.receipt(tx_hash)
        assert again is not None
        assert again.block_hash != receipt.block_hash
    with open_store(path) as reader:
        row = reader.executions()[-1]
        kinds = [incident["kind"] for incident in reader.incidents()]
    assert row["tx_hashes"] == [tx_hash]
    assert row["reconciled"]
    assert "reorg" in kinds

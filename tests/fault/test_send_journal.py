"""What is on disk when the bytes leave, and what a kill in between does."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.approval import ApproveMode
from arbtui.devnet import Devnet
from arbtui.domain import ExecutionStatus, Stage
from arbtui.store import SqliteJournal, open_store
from arbtui.store.driver import open_reader
from tests.chain import config_for, in_hand, running_chain, trade_until

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def test_the_bytes_are_readable_on_disk_when_they_arrive(
    devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node in between looks into the journal, with a connection of its own, before it passes the send on."""
    from aiohttp import ClientSession, web
    from pydantic import SecretStr

    config = config_for(devnet, tmp_path / "store")
    on_disk: list[bool] = []

    async with in_hand(devnet) as hand, ClientSession() as session:

        async def forward(request: web.Request) -> web.Response:
            body = await request.text()
            asked: Any = await request.json()
            if asked["method"] == "eth_sendRawTransaction":
                reader = open_reader(config.store.directory / "journal.sqlite")
                rows = reader.execute("SELECT payload FROM record WHERE kind = 'reserve'").fetchall()
                reader.close()
                on_disk.append(any(asked["params"][0] in row[0] for row in rows))
            async with session.post(devnet.rpc_url, data=body, headers=dict(request.headers)) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        app = web.Application()
        app.router.add_post("/", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        through = config.model_copy(
            update={"chain": config.chain.model_copy(update={"rpc_url": SecretStr(url)})}
        )
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        tally = await trade_until(hand, through, lambda seen: seen.confirmed >= 1)
        await runner.cleanup()
    assert tally.confirmed >= 1
    assert on_disk
    assert all(on_disk)


DYING = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from arbtui.approval import ApproveMode
    from arbtui.bootstrap import open_engine
    from arbtui.chain import Node
    from arbtui.config import load_config
    from arbtui.domain import Stage

    when = sys.argv[2]
    real = Node.send_raw

    async def send_raw(self, raw):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await real(self, raw)
        os.kill(os.getpid(), signal.SIGKILL)

    Node.send_raw = send_raw

    async def main():
        async with open_engine(load_config(sys.argv[1]), Stage.LIVE, ApproveMode.ALL, print) as engine:
            await engine.run(20, asyncio.Event())

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("world", ["in time", "too late", "mined meanwhile"])
async def test_a_kill_around_the_send_never_loses_and_never_doubles(
    devnet: Devnet, tmp_path: Path, when: str, world: str
) -> None:
    """SIGKILL after the journal's commit, before or after the send; the next start settles it, once."""
    store = tmp_path / "store"
    config = config_for(devnet, store)
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        nonce = await hand.node.nonce(config.wallet.address)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DYING, str(tmp_path / "store.toml"), when
        )
        assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
        with SqliteJournal(store, config.chain.chain_id, config.wallet.address) as journal:
            (known,) = journal.open_executions()
        assert known.status is ExecutionStatus.PREPARED
        (attempt,) = known.attempts
        assert await hand.node.knows(attempt.tx_hash) is (when == "after")

        if world == "mined meanwhile":
            await hand.mine(1)
        elif world == "too late":
            if when == "after":
                await hand.rpc.call("anvil_dropTransaction", [attempt.tx_hash])
            await hand.mine(4)

        # Nothing new may be decided: what is looked for is the end of the old one.
        idle = config.model_copy(
            update={"validation": config.validation.model_copy(update={"min_net_profit_wei": 10**24})}
        )
        await trade_until(hand, idle, lambda seen: seen.blocks >= 4)
        assert await hand.node.nonce(config.wallet.address) == nonce + 1
        with open_store(store) as reader:
            (row,) = reader.executions()
            landed = [h for h in row["tx_hashes"] if await hand.node.receipt(h) is not None]
        assert len(landed) == 1
        assert row["reconciled"]
        if world == "too late":
            assert row["status"] == "cancelled"
        else:
            assert row["status"] == "mined"
            # The very bytes of the journal, not a new signature.
            assert landed == [attempt.tx_hash]
            assert int(row["net_profit"]) > 0


async def test_a_run_that_is_not_live_sends_not_even_old_bytes(devnet: Devnet, tmp_path: Path) -> None:
    """Killed before the send, started again with --stage observe: the journal stays as it is, nothing leaves."""
    store = tmp_path / "store"
    config = config_for(devnet, store)
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", DYING, str(tmp_path / "store.toml"), "before"
        )
        assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
        await trade_until(
            hand, config, lambda seen: seen.blocks >= 3, stage=Stage.OBSERVE, approve=ApproveMode.NONE
        )
        assert await hand.node.nonce(config.wallet.address, "pending") == 0
        with SqliteJournal(store, config.chain.chain_id, config.wallet.address) as journal:
            (known,) = journal.open_executions()
        assert known.status is ExecutionStatus.PREPARED
    with open_store(store, "paper") as reader:
        assert reader.executions() == []


async def test_a_settlement_that_a_crash_kept_from_the_store_is_made_at_the_next_start(
    devnet: Devnet, tmp_path: Path
) -> None:
    """The journal says mined, the store never heard: as after a kill between their two commits."""
    store = tmp_path / "store"
    config = config_for(devnet, store)
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        await trade_until(hand, config, lambda seen: seen.confirmed >= 1)
        with open_store(store) as reader:
            whole = reader.executions()
        from arbtui.store.driver import open_writer

        writer = open_writer(store / "live.sqlite", create=False)
        for table in ("settlement_delta", "settlement"):
            writer.execute(f"DELETE FROM {table}")  # noqa: S608
        writer.execute("UPDATE execution SET status = 'submitted', mined_at = NULL")
        writer.commit()
        writer.close()
        idle = config.model_copy(
            update={"validation": config.validation.model_copy(update={"min_net_profit_wei": 10**24})}
        )
        await trade_until(hand, idle, lambda seen: seen.blocks >= 1)
        with open_store(store) as reader:
            again = reader.executions()
    for before, after in zip(whole, again, strict=True):
        assert (after["id"], after["status"], after["net_profit"]) == (
            before["id"],
            before["status"],
            before["net_profit"],
        )
        assert after["reconciled"]

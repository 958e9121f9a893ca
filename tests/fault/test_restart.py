"""The engine killed with tickets in every state, and started again: each has an end, none is sent twice."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.devnet import Devnet
from arbtui.errors import StoreError
from arbtui.store import CommandPost, open_store
from tests.chain import config_for, in_hand, running_chain, trade_until

pytestmark = pytest.mark.chain


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


ENGINE = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from arbtui.approval import ApproveMode
    from arbtui.bootstrap import open_engine
    from arbtui.config import load_config
    from arbtui.domain import Stage
    from arbtui.store.journal import SqliteJournal

    if sys.argv[2] == "at the intent":
        # The decision is committed, the journal not yet: the narrowest moment there is.
        SqliteJournal.intend = lambda self, intent: os.kill(os.getpid(), signal.SIGKILL)
    if sys.argv[2] == "after the intent":
        real = SqliteJournal.intend
        def intend(self, intent):
            real(self, intent)
            os.kill(os.getpid(), signal.SIGKILL)
        SqliteJournal.intend = intend

    async def main():
        async with open_engine(load_config(sys.argv[1]), Stage.LIVE, ApproveMode.NONE, print) as engine:
            await engine.run(60, asyncio.Event())

    asyncio.run(main())
    """
)


async def undecided(store: Path, count: int) -> list[dict[str, Any]]:
    for _ in range(200):
        with contextlib.suppress(StoreError), open_store(store) as reader:
            rows = [row for row in reader.tickets() if row["decision"] is None and row["now_block"]]
            if len(rows) >= count:
                return rows
        await asyncio.sleep(0.05)
    raise AssertionError(f"{count} tickets were not made")


@pytest.mark.parametrize("moment", ["waiting", "at the intent", "after the intent", "in flight"])
async def test_killed_with_a_ticket_in_each_state(devnet: Devnet, tmp_path: Path, moment: str) -> None:
    store = tmp_path / "store"
    config = config_for(devnet, store)
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000, mine=False)
        await hand.dislocate("WBTC/USDT", 20_000)
        nonce = await hand.node.nonce(config.wallet.address)
        engine = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ENGINE, str(tmp_path / "store.toml"), moment
        )
        first, second = (await undecided(store, 2))[:2]
        with CommandPost(store, "live") as post:
            seen = post.post("seen", {"ticket": second["id"]})
            for _ in range(200):
                if post.result(seen) is not None:
                    break
                await asyncio.sleep(0.02)
            if moment != "waiting":
                number = post.post(
                    "approve", {"ticket": first["id"], "digest": first["digest"], "by": "a test"}
                )
            if moment == "in flight":
                for _ in range(200):
                    if post.result(number) is not None:
                        break
                    await asyncio.sleep(0.02)
        if moment in ("waiting", "in flight"):
            engine.send_signal(signal.SIGKILL)
        assert await asyncio.wait_for(engine.wait(), 30) == -signal.SIGKILL

        idle = config.model_copy(
            update={"validation": config.validation.model_copy(update={"min_net_profit_wei": 10**24})}
        )
        await trade_until(hand, idle, lambda tally: tally.blocks >= 4)
        sent = await hand.node.nonce(config.wallet.address) - nonce
        with open_store(store) as reader:
            ends = {row["id"]: row["decision"] for row in reader.tickets()}
            executions = reader.executions()
    assert ends[second["id"]] == "expired_seen"
    if moment == "in flight":
        assert ends[first["id"]] == "approved_by_hand"
        assert [row["status"] for row in executions] == ["mined"]
        assert executions[0]["reconciled"]
        assert sent == 1
    elif moment == "after the intent":
        assert [row["status"] for row in executions] == ["expired"]
        assert sent == 0
    else:
        assert executions == []
        assert str(ends[first["id"]]).startswith("expired")
        assert sent == 0

"""kill -9 at each journal step, the transaction mined, pending or lost meanwhile; then `arbtui recover`."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arbtui.config import Config
from arbtui.devnet import Devnet
from arbtui.domain import ExecutionStatus
from arbtui.store import SqliteJournal, open_store
from tests.chain import Hand, config_for, in_hand, running_chain
from tests.conftest import PROFILE

pytestmark = pytest.mark.chain
DEEP = PROFILE == "deep"

#: Commits of one execution, in order; the process dies right after the named one.
STEPS = ("intend", "reserve", "outcome", "move 1", "seen", "move 2")
WORLDS = ("mined", "pending", "lost")
CASES = [(step, world) for step in STEPS for world in WORLDS]
#: In the suite every step and every world, but not all pairs.
SUITE = [(step, WORLDS[at % 3]) for at, step in enumerate(STEPS)]

ENGINE = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from arbtui.approval import ApproveMode
    from arbtui.bootstrap import open_engine
    from arbtui.config import load_config
    from arbtui.domain import Stage
    from arbtui.store.journal import SqliteJournal

    name, _, count = sys.argv[2].partition(" ")
    left = [int(count or 1)]
    if name:
        real = getattr(SqliteJournal, name)
        def dying(self, *args):
            real(self, *args)
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        setattr(SqliteJournal, name, dying)

    async def main():
        async with open_engine(load_config(sys.argv[1]), Stage.LIVE, ApproveMode.ALL, print) as engine:
            print("up", flush=True)
            await engine.run(60, asyncio.Event())

    asyncio.run(main())
    """
)


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def recover(tmp_path: Path, hand: Hand, *more: str) -> tuple[int, dict[str, Any]]:
    """The command itself, in a process of its own, while blocks come."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arbtui", "recover", "--json", "--config", str(tmp_path / "store.toml")),
        *more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    talk = asyncio.ensure_future(child.communicate())
    while not talk.done():
        await asyncio.wait([talk], timeout=0.25)
        if more:
            await hand.mine()
    out, err = talk.result()
    assert out, err.decode()
    assert child.returncode is not None
    return child.returncode, json.loads(out)


async def started(tmp_path: Path, dies_at: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENGINE, str(tmp_path / "store.toml"), dies_at, stdout=asyncio.subprocess.PIPE
    )


async def settled_once(config: Config, hand: Hand, first_nonce: int) -> None:
    """No gap, one mined hash for every nonce used, each journalled, none for a ticket twice."""
    nonce = await hand.node.nonce(config.wallet.address)
    with SqliteJournal(config.store.directory, config.chain.chain_id, config.wallet.address) as journal:
        assert journal.open_executions() == []
        known = journal.latest_executions(1_000)
        highest = journal.highest_nonce(config.chain.chain_id, config.wallet.address)
    assert nonce == first_nonce if highest is None else highest + 1
    landed = 0
    for execution in known:
        receipts = [await hand.node.receipt(attempt.tx_hash) for attempt in execution.attempts]
        mined = [receipt for receipt in receipts if receipt is not None]
        assert len(mined) <= 1
        landed += len(mined)
        if execution.status in (
            ExecutionStatus.MINED,
            ExecutionStatus.REVERTED,
            ExecutionStatus.CANCELLED,
        ):
            assert len(mined) == 1
    assert landed == nonce - first_nonce
    assert len({execution.intent.ticket_id for execution in known}) == len(known)
    with open_store(config.store.directory) as reader:
        rows = reader.executions(1_000)
    assert all(row["reconciled"] for row in rows if row["status"] in ("mined", "reverted", "cancelled"))


@pytest.mark.parametrize(("step", "world"), CASES if DEEP else SUITE)
async def test_killed_after_a_journal_step(devnet: Devnet, tmp_path: Path, step: str, world: str) -> None:
    config = config_for(devnet, tmp_path / "store")
    async with in_hand(devnet) as hand:
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        nonce = await hand.node.nonce(config.wallet.address)
        child = await started(tmp_path, step)
        for _ in range(240):
            if child.returncode is not None:
                break
            await asyncio.sleep(0.25)
            if step in ("seen", "move 2"):
                await hand.mine()
        assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL

        with SqliteJournal(config.store.directory, config.chain.chain_id, config.wallet.address) as journal:
            hashes = [a.tx_hash for known in journal.latest_executions() for a in known.attempts]
        if world == "mined":
            await hand.mine()
        elif world == "lost":
            for tx_hash in hashes:
                await hand.rpc.call("anvil_dropTransaction", [tx_hash])
            await hand.mine(3)
        code, shown = await recover(tmp_path, hand)
        assert shown["open"] == (0 if step == "move 2" else 1), shown
        assert code == (1 if shown["open"] else 0)
        assert all(row["will"] for row in shown["executions"])
        code, after = await recover(tmp_path, hand, "--resume")
        assert (code, after["open"], after["stopped"]) == (0, 0, None), after
        await settled_once(config, hand, nonce)


async def test_random_kills_under_traffic(devnet: Devnet, tmp_path: Path) -> None:
    """The engine is killed again and again while it trades; in the end everything is settled, nothing twice."""
    config = config_for(devnet, tmp_path / "store")
    draw = random.Random(6)
    async with in_hand(devnet) as hand:
        await hand.align()
        nonce = await hand.node.nonce(config.wallet.address)
        for _ in range(200 if DEEP else 20):
            await hand.dislocate("DAI/WETH", draw.choice([-1, 1]) * draw.randrange(15_000, 60_000))
            child = await started(tmp_path, "")
            assert child.stdout is not None
            await child.stdout.readuntil(b"up")
            for _ in range(draw.randrange(1, 6)):
                await asyncio.sleep(draw.uniform(0.02, 0.3))
                await hand.mine()
            await asyncio.sleep(draw.uniform(0, 0.2))
            child.kill()
            await child.wait()
            if draw.random() < 0.3:
                await hand.rpc.call("anvil_dropAllTransactions")
        _, after = await recover(tmp_path, hand, "--resume")
        assert (after["open"], after["stopped"]) == (0, None), after
        await settled_once(config, hand, nonce)


async def test_a_stopped_account_waits_for_a_person(devnet: Devnet, tmp_path: Path) -> None:
    """The stop outlives the engine; nothing is sent under it; `recover --acknowledge` lifts it."""
    config = config_for(devnet, tmp_path / "store")
    path = config.store.directory
    async with in_hand(devnet) as hand:
        with SqliteJournal(path, config.chain.chain_id, config.wallet.address) as journal:
            journal.stop("nonce 7 was used by a transaction that is not ours", "")
        await hand.align()
        await hand.dislocate("DAI/WETH", 20_000)
        nonce = await hand.node.nonce(config.wallet.address)
        child = await started(tmp_path, "")
        assert child.stdout is not None
        await child.stdout.readuntil(b"up")
        for _ in range(4):
            await asyncio.sleep(0.3)
            await hand.mine()
        assert await hand.node.nonce(config.wallet.address, "pending") == nonce, "approved, and not sent"
        lifted = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "arbtui", "recover", "--acknowledge", "--config"),
            str(tmp_path / "store.toml"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await lifted.communicate()
        assert (lifted.returncode, out.decode().strip()) == (0, "acknowledged")
        for _ in range(12):
            await asyncio.sleep(0.3)
            await hand.mine()
            if await hand.node.nonce(config.wallet.address) > nonce:
                break
        assert await hand.node.nonce(config.wallet.address) > nonce
        child.kill()
        await child.wait()
        with SqliteJournal(path, config.chain.chain_id, config.wallet.address) as journal:
            journal.stop("again", "")
        code, shown = await recover(tmp_path, hand)
        assert (code, shown["stopped"]) == (1, "again")
        _, answer = await recover(tmp_path, hand, "--acknowledge")
        assert answer == {"result": "acknowledged"}
        code, shown = await recover(tmp_path, hand, "--resume")
        assert (code, shown["stopped"], shown["open"]) == (0, None, 0)

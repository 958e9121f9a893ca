"""The crash drill: an engine in a process of its own, killed between every two steps of its journal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arbtui.config import Config
from arbtui.domain import FINAL_STATUSES
from arbtui.drills.scene import BLOCK_S, Scene
from arbtui.drills.timeline import Outcome
from arbtui.execution import OpenExecution
from arbtui.store import SqliteJournal

#: Journal step after which (or before which) the engine dies, as `arbtui.drills.dying` takes it, and in words.
CUTS: tuple[tuple[str, str], ...] = (
    ("before intend", "approved, and the journal does not know it"),
    ("after intend", "the intent is on disk, nothing is signed"),
    ("before reserve", "signed in memory, and not on disk"),
    ("after reserve", "the signed bytes are on disk, and were not sent"),
    ("before outcome", "the node has the transaction, its answer is not on disk"),
    ("after outcome", "the answer is on disk, the execution is not submitted yet"),
    ("after move", "submitted; the store was not told"),
    ("before seen", "mined, and nobody has seen it"),
    ("after seen", "seen in a block, not moved"),
    ("after end", "the journal knows the end, the store does not"),
    ("after finish", "the end is too deep to be undone, and the store does not know"),
)
_DIES_S = 18.0
_SETTLES_BLOCKS = 40


async def crash(scene: Scene, cuts: tuple[tuple[str, str], ...] = CUTS) -> Outcome:
    """Kill, start again, and compare, once for each cut; on one chain and one store."""
    idle = scene.config.model_copy(
        update={"validation": scene.config.validation.model_copy(update={"min_net_profit_wei": 10**24})}
    )
    bad: list[str] = []
    async with _ready(scene, cuts[0][0]) as first:
        child = first
        for at, (cut, words) in enumerate(cuts):
            scene.inject(f"kill -9 {cut}: {words}")
            await scene.align()
            await scene.dislocate()
            died = await _killed(scene, child)
            if at + 1 < len(cuts):
                # It imports while this one is recovered from, and waits for the word.
                child = await _spawn(scene, cuts[at + 1][0])
            if not died:
                bad.append(f"{cut}: the engine never came there")
            before = _journal(scene.config)
            await _recovered(scene, idle)
            after = _journal(scene.config)
            bad += _compare(cut, before, after)
    why = f"{len(cuts)} kills; " + ("; ".join(bad) if bad else "each execution has one end")
    return Outcome(scene.watch.event("journal"), not bad, why)


def _journal(config: Config) -> dict[str, OpenExecution]:
    with SqliteJournal(config.store.directory, config.chain.chain_id, config.wallet.address) as journal:
        return {known.intent.execution_id: known for known in journal.latest_executions(1_000)}


def _compare(cut: str, before: dict[str, OpenExecution], after: dict[str, OpenExecution]) -> list[str]:
    """What a restart must not do: leave one open, begin one, or sign a trade anew."""
    bad = [
        f"{cut}: {name} is left {known.status}"
        for name, known in after.items()
        if known.status not in FINAL_STATUSES
    ]
    bad += [f"{cut}: {name} was begun by the restart" for name in after.keys() - before.keys()]
    for name in before.keys() & after.keys():
        if len({attempt.nonce for attempt in after[name].attempts}) > 1:
            bad.append(f"{cut}: {name} has two nonces")
    return bad


async def _recovered(scene: Scene, idle: Config) -> None:
    """Start an engine that makes no new trade, and let it end what it finds."""
    async with scene.engine(config=idle):
        first = (await scene.node.block()).number
        # It takes up what is open before it works on a block: what it has not done by its second one it does not do.
        await scene.until(
            lambda: scene.watch.block >= first + 2 and scene.watch.settled_down(), _SETTLES_BLOCKS * BLOCK_S
        )
    await scene.hold_mining()


async def _killed(scene: Scene, child: Process) -> bool:
    """Let the child run while blocks come, until it has killed itself."""
    assert child.stdin is not None  # noqa: S101 - it was asked for as a pipe
    child.stdin.write(b"go\n")
    await child.stdin.drain()
    waiting = asyncio.create_task(child.wait())
    died = False
    try:
        for _ in range(int(_DIES_S / BLOCK_S)):
            await scene.mine()
            await asyncio.wait([waiting], timeout=BLOCK_S)
            if died := waiting.done():
                break
    finally:
        if not died:
            child.kill()
        await waiting
    scene.watch.look()
    return died and child.returncode == -signal.SIGKILL


async def _spawn(scene: Scene, cut: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arbtui.drills.dying", str(scene.config_path), cut),
        stdin=PIPE,
        stdout=DEVNULL,
        stderr=DEVNULL,
        # A Ctrl-C is for the drill, which ends it.
        start_new_session=True,
    )


@asynccontextmanager
async def _ready(scene: Scene, cut: str) -> AsyncIterator[Process]:
    """The first child; whichever runs at the end is ended."""
    child = await _spawn(scene, cut)
    try:
        yield child
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()

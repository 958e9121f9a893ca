"""Every drill on a chain of its own, the audit that ends each, and the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from arbtui.chain import JsonRpc
from arbtui.domain import Delivery, ExecutionStatus
from arbtui.drills import DRILLS, DrillResult, find_drill, run_drill
from arbtui.drills.crash import CUTS
from arbtui.drills.ledger import Audit, audit
from arbtui.drills.scene import Scene, opened
from arbtui.drills.timeline import Moment, Outcome, Timeline
from arbtui.errors import DevnetError, UsageError
from arbtui.execution import Sighting
from arbtui.store import SqliteJournal, Store
from arbtui.units import GWEI
from tests import factories as make
from tests.chain import running_chain
from tests.conftest import PROFILE

pytestmark = pytest.mark.chain

SEEDS = (1, 2, 3) if PROFILE == "deep" else (1,)
KEYS = {"drill", "injected", "detected", "recovered", "seconds", "timeline", "lost_transactions"}


@pytest.fixture(scope="module", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """State, cache and stores of this module; the chain is deployed once, into the cache."""
    folder = tmp_path_factory.mktemp("drills")
    with running_chain(folder):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARBTUI_STATE", str(folder / "state"))
        patch.setenv("ARBTUI_CACHE", str(folder / "cache"))
        patch.setattr("tempfile.tempdir", str(folder))
        patch.setenv("TMPDIR", str(folder))
        yield folder


def stores_of(name: str, folder: Path) -> bool:
    return any(folder.glob(f"arbtui-drill-{name}-*"))


def said(result: DrillResult, *whats: str) -> list[str]:
    return [moment.detail for moment in result.timeline if moment.what in whats]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [drill.name for drill in DRILLS])
async def test_a_drill(name: str, seed: int, folders: Path) -> None:
    shown = []
    # A machine with other work takes longer; how long is no part of what is tested.
    result = await run_drill(find_drill(name), seed, shown.append, limit_s=150)
    told = "\n".join(f"{m.at_s:6.2f} {m.what} {m.detail}" for m in result.timeline)
    assert result.detected, told
    assert result.recovered, f"{result.why}\n{told}"
    assert result.lost_transactions == 0, told
    # All of it, or all of its second chain, where the first one stopped answering.
    assert tuple(shown[-len(result.timeline) :]) == result.timeline
    assert [m.at_s for m in result.timeline] == sorted(m.at_s for m in result.timeline)
    assert len(said(result, "injected")) == (len(CUTS) if name == "crash" else 1)
    # Something the engine itself wrote or said came after the first fault.
    names = [moment.what for moment in result.timeline]
    assert set(names[names.index("injected") :]) & {"attempt", "execution", "incident", "decision"}
    assert stores_of(name, folders) is (not result.passed), (
        "the store is kept where something is to be looked at"
    )


async def test_a_drill_that_takes_too_long_is_broken_off_and_audited() -> None:
    result = await run_drill(find_drill("node-down"), 1, limit_s=1.5)
    assert not result.passed
    assert result.why == "broken off after 1.5 s"
    assert result.store is not None
    # What was under way is told as what it is: not lost on the chain, but without an end in the journal.
    assert said(result, "lost", "wrong", "verified")


@pytest.mark.parametrize("stopped", [1, 2])
async def test_a_chain_that_stops_answering_is_no_fault_of_the_engine(
    stopped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anvil stands still in the middle of a drill: that begins again on another chain, and twice is too often."""
    drill = find_drill("lender-paused")
    scripts = 0

    async def script(scene: Scene) -> Outcome:
        nonlocal scripts
        scripts += 1
        if scripts <= stopped:
            os.kill(scene.devnet.anvil_pid, signal.SIGSTOP)
        return await drill.script(scene)

    monkeypatch.setattr("arbtui.drills.scene.JsonRpc", partial(JsonRpc, timeout=5))
    shown: list[Moment] = []
    run = run_drill(replace(drill, script=script), 1, shown.append, limit_s=150)
    if stopped == 2:
        with pytest.raises(DevnetError, match="two local chains in a row stopped answering, the last: "):
            await run
    else:
        result = await run
        assert result.passed, result.why
        assert tuple(shown[-len(result.timeline) :]) == result.timeline
    assert scripts == 2
    assert sum("the drill begins again on a new chain" in moment.detail for moment in shown) == 1


# ---- the audit


@asynccontextmanager
async def a_scene(folder: Path) -> AsyncIterator[Scene]:
    async with opened(Timeline(), folder, 1, print) as scene:
        scene.config.store.directory.mkdir()
        with Store.open(scene.config.store.directory, "live"):
            pass
        yield scene


async def audited(scene: Scene) -> Audit:
    return await audit(scene.config, scene.rpc, scene.start, scene.foreign, scene.given_wei)


def journal_of(scene: Scene) -> SqliteJournal:
    return SqliteJournal(scene.config.store.directory, scene.config.chain.chain_id, scene.wallet)


def begin(scene: Scene, journal: SqliteJournal, tx_hash: str, nonce: int = 0) -> str:
    """An execution of the scene's wallet with one signed attempt of that hash."""
    intent = replace(make.intent(), chain_id=scene.config.chain.chain_id, wallet=scene.wallet)
    journal.intend(intent)
    journal.reserve(replace(make.attempt(), nonce=nonce, tx_hash=tx_hash))
    return intent.execution_id


async def test_the_audit_finds_what_nobody_knows(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        assert await audited(scene) == Audit(0, 0, (), ())
        tx_hash = await scene.send_as(scene.wallet, scene.book.accounts[9], gas=21_000, value=GWEI)
        await scene.mine()
        found = await audited(scene)
        assert [line for line in found.lost if "mined for the wallet, and unknown" in line] == list(
            found.lost
        )
        assert len(found.lost) == 1
        assert any("the wallet holds" in line for line in found.wrong), "the gwei that was sent away"
        scene.foreign.add(tx_hash)
        scene.given_wei -= GWEI
        assert await audited(scene) == Audit(0, 0, (), ())


async def test_the_audit_tells_of_a_store_that_was_never_made(tmp_path: Path) -> None:
    async with opened(Timeline(), tmp_path, 1, print) as scene:
        found = await audited(scene)
    assert found.lost == ()
    assert [str(scene.config.store.directory) in line for line in found.wrong] == [True]


async def test_the_audit_finds_what_the_journal_has_wrong(tmp_path: Path) -> None:
    absent = "0x" + "ab" * 32
    async with a_scene(tmp_path) as scene:
        with journal_of(scene) as journal:
            name = begin(scene, journal, absent)
        found = await audited(scene)
        assert found.lost[0] == f"{name} is prepared: it has no end"
        assert "nonce 0 was signed for" in found.lost[1]
        with journal_of(scene) as journal:
            journal.outcome(name, 1, Delivery.DELIVERED, "")
            journal.move(name, ExecutionStatus.SUBMITTED, "sent")
            journal.seen(name, Sighting(absent, 1, absent, True))
            journal.move(name, ExecutionStatus.MINED, "in block 1")
        found = await audited(scene)
        assert found.lost[0] == f"{name} is mined, and none of its hashes is on the chain"
        assert f"{name} is mined in the journal and absent in the store" in found.wrong
        assert f"{name} is mined and was not settled" in found.wrong


async def test_the_audit_finds_an_end_that_is_another(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        tx_hash = await scene.send_as(scene.wallet, scene.book.accounts[9], gas=21_000)
        with journal_of(scene) as journal:
            name = begin(scene, journal, tx_hash)
            journal.outcome(name, 1, Delivery.AMBIGUOUS, "timeout")
            journal.move(name, ExecutionStatus.EXPIRED, "given up")
        found = await audited(scene)
        assert f"{tx_hash}: still pending, while {name} is expired" in found.lost
        await scene.mine()
        found = await audited(scene)
        assert found.lost == (f"{tx_hash}: mined, while {name} is expired",)


# ---- the command


def arbtui(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "arbtui", "drill", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100)


def test_the_command_answers_as_agreed() -> None:
    done = arbtui("revert-on-chain", "--json", "--seed", "1")
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert set(answer) >= KEYS
    assert (answer["drill"], answer["lost_transactions"]) == ("revert-on-chain", 0)
    assert set(answer["timeline"][0]) == {"at_s", "what", "detail"}
    assert any(
        "reverted in block" in step["detail"] and "InsufficientProfit(" in step["detail"]
        for step in answer["timeline"]
    )


def test_the_command_shows_the_timeline_as_it_comes() -> None:
    done = arbtui("lender-paused", "--seed", "1")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("lender-paused: ")
    assert max(map(len, lines)) <= 80
    assert any(" injected " in line for line in lines)
    assert any(line.startswith("detected yes · recovered yes · lost 0") for line in lines)


def test_the_list_and_a_name_that_is_none() -> None:
    listed = json.loads(arbtui("list", "--json").stdout)
    assert [row["drill"] for row in listed] == [drill.name for drill in DRILLS]
    done = arbtui("stuck")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "stuck-transaction" in done.stderr
    with pytest.raises(UsageError):
        find_drill("stuck")


@pytest.mark.parametrize(
    ("name", "value"),
    [("ARBTUI_CHAIN__RPC_URL", "http://127.0.0.1:9/key"), ("ARBTUI_STORE__DIRECTORY", "/nowhere/store")],
)
def test_an_environment_that_points_elsewhere_is_refused(
    name: str, value: str, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    done = arbtui("crash", "--json", "--seed", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: a variable ARBTUI_CHAIN__")
    assert done.stderr.count("\n") == 1
    assert not stores_of("crash", folders)


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM], ids=lambda sig: sig.name)
def test_an_interrupted_drill_leaves_nothing_running(folders: Path, sig: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "arbtui", "drill", "crash", "--seed", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as child:
        try:
            # Anvil, and an engine that is about to be killed.
            end = time.monotonic() + 30
            while len(started_by(child.pid)) < 2 and time.monotonic() < end:
                time.sleep(0.02)
            assert len(started_by(child.pid)) == 2
            child.send_signal(sig)
            _, told = child.communicate(timeout=30)
        finally:
            child.kill()
    assert child.returncode == 130
    assert told.strip() == "interrupted"
    end = time.monotonic() + 5
    while (left := mentioning(str(folders))) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def started_by(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8")
    return [int(child) for child in children.split()]


def mentioning(folder: str) -> list[str]:
    """Command lines of running processes that name the folder, or run from it."""
    out = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                here = str((process / "cwd").readlink())
            except OSError:
                continue
            if folder in line or here.startswith(folder):
                out.append(line)
    return out

"""The main job, on a local chain that this command starts and ends."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arbtui.domain import LenderId
from arbtui.errors import DevnetError

if TYPE_CHECKING:
    from arbtui.engine import Tally

START_S = 170
STOP_S = 10
FOUR = (LenderId.AAVE_V2, LenderId.AAVE_V3, LenderId.BALANCER_V2, LenderId.MAKER)
CONFIRMED = 10


@click.command()
@click.option("--seed", type=int, default=7, show_default=True, help="Liquidity and the traders' draws.")
@click.option("--for", "seconds", type=click.FloatRange(1, 3600), default=90, show_default=True)
@click.option("--full", is_flag=True, help="Trade for the whole time, even when everything has been shown.")
@click.option("--headless", is_flag=True, help="The report as one JSON line, as without a terminal.")
def demo(seed: int, seconds: float, full: bool, headless: bool) -> int:
    """Local chain, real protocols, traffic; find, execute through the cheapest lender, settle, report.

    In a terminal the desk opens and you approve by hand: `a`, then the first four digits of the ticket's digest.

    Without one everything is approved, for --for seconds at most: it ends as soon as ten executions are confirmed,
    each of the four lenders was the cheapest once, and a candidate was dropped and a ticket went stale or expired;
    exit 1 if that did not happen in time.
    """
    if sys.stdout.isatty() and sys.stdin.isatty() and not headless:
        return _at_the_desk(seed)
    with _local_chain(seed) as child:
        from arbtui.approval import ApproveMode
        from arbtui.cli.common import emit
        from arbtui.cli.running import report_of, run_headless
        from arbtui.config import load_config
        from arbtui.domain import Stage

        ready = _first_line(child)
        config = load_config(ready["config"])
        tally = asyncio.run(
            run_headless(
                config,
                Stage.LIVE,
                ApproveMode.ALL,
                seconds,
                (lambda _: False) if full else _shown,
                seed,
            )
        )
        answer = report_of(config, Stage.LIVE)
    click.echo(f"the store stays: arbtui report --config {ready['config']}", err=True)
    missing = _missing(answer, tally)
    for line in missing:
        click.echo(f"demo: {line}", err=True)
    emit(answer)
    return 1 if missing else 0


def _at_the_desk(seed: int) -> int:
    """Chain, engine and desk, until the desk is left; then the engine drains, and what happened is reported."""
    # What the desk imports takes as long as the chain to come up.
    threading.Thread(target=importlib.import_module, args=("arbtui.tui.app",), daemon=True).start()
    # However this ends, the way out below must be taken: by a closed terminal or a kill too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with _local_chain(seed) as chain:
        from arbtui.approval import ApproveMode
        from arbtui.cli.report import show_report
        from arbtui.cli.run import open_desk_on, spawn_engine, stop_engine
        from arbtui.cli.running import report_of
        from arbtui.config import load_config
        from arbtui.domain import Stage

        ready = _first_line(chain)
        config = load_config(ready["config"])
        child = spawn_engine(config, Path(ready["config"]), Stage.LIVE, ApproveMode.NONE, tied=True)
        try:
            open_desk_on(config, Stage.LIVE, owns_engine=False)
        finally:
            stop_engine(child)
        show_report(report_of(config, Stage.LIVE))
    click.echo(f"the store stays: arbtui report --config {ready['config']}", err=True)
    return 0


def _shown(tally: Tally) -> bool:
    return (
        tally.confirmed >= CONFIRMED
        and all(tally.by_lender.get(lender, 0) for lender in FOUR)
        and tally.dropped > 0
        and tally.stale + tally.expired > 0
    )


def _missing(answer: dict[str, Any], tally: Tally) -> list[str]:
    """What the demo promises and did not show, from the report itself."""
    mined = answer["by_status"].get("mined", 0)
    lines = []
    if mined < CONFIRMED:
        lines.append(f"{mined} executions confirmed, promised are {CONFIRMED}")
    lines += [
        f"nothing was executed through {lender}"
        for lender in FOUR
        if not answer["by_lender"].get(str(lender), {}).get("successes")
    ]
    if not sum(answer["dropped"].values()):
        lines.append("no candidate was dropped by a check")
    if not sum(answer["decisions"].get(name, 0) for name in ("stale", "expired_seen", "expired_unseen")):
        lines.append("no ticket went stale or expired")
    if answer["unreconciled"] or tally.unreconciled:
        lines.append(f"{answer['unreconciled']} settlements do not reconcile")
    return lines


@contextmanager
def _local_chain(seed: int) -> Iterator[subprocess.Popen[bytes]]:
    """A child of ours, ended with us however we end: by signal, or by the kernel if we are killed.

    It comes up while the caller imports what it needs next; `_first_line` waits for it.
    """
    command = [sys.executable, "-m", "arbtui", "devnet", "up", "--port", "0", "--seed", str(seed), "--json"]
    child = subprocess.Popen(  # noqa: S603 - our own program
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "ARBTUI_DEVNET_PDEATHSIG": "1"},
        # A Ctrl-C is for us; the chain must outlive the engine's drain.
        start_new_session=True,
    )
    # A closed terminal must end the chain too, by the way out below.
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    previous = signal.signal(
        signal.SIGHUP, signal.SIG_IGN if ignored else lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    try:
        yield child
    finally:
        signal.signal(signal.SIGHUP, previous)
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def _first_line(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    end = time.monotonic() + START_S
    assert child.stdout is not None  # noqa: S101 - it was asked for as a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        if not selector.select(max(0.0, end - time.monotonic())):
            raise DevnetError(f"the local chain was not ready within {START_S} s")
    line = child.stdout.readline()
    if not line:
        child.wait(STOP_S)
        raise DevnetError("the local chain did not start: see the line above")
    ready: dict[str, Any] = json.loads(line)
    return ready

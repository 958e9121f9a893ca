"""A bounded or unbounded headless run, as `run` and `demo` share it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Any

import click

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.config import Config
from arbtui.discovering import known
from arbtui.domain import NATIVE, Stage, Token
from arbtui.engine import Tally
from arbtui.monitor.report import build_report
from arbtui.store import open_store
from arbtui.store.database import family_of


async def run_headless(
    config: Config,
    stage: Stage,
    approve: ApproveMode,
    seconds: float | None,
    enough: Callable[[Tally], bool] = lambda _: False,
    seed: int | None = None,
) -> Tally:
    """Run the engine until time is up, `enough`, SIGINT or SIGTERM; a second signal ends it at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    current = asyncio.current_task()

    def halt() -> None:
        if stop.is_set() and current is not None:
            current.cancel()
        elif not stop.is_set():
            stop.set()
            _say("stopping: no new tickets; what is in flight may end (again to stop at once)")

    # A closed terminal ends a run as gently as the others do, unless it was told not to care (nohup).
    stopping = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stopping.append(signal.SIGHUP)
    for number in stopping:
        loop.add_signal_handler(number, halt)
    try:
        async with open_engine(config, stage, approve, _say, seed) as engine:
            _say(
                f"{config.chain.name}: stage {stage}, approve {approve}, "
                f"{len(config.pools) + len(known(config).pools)} pools, store {config.store.directory}"
            )
            await engine.run(seconds, stop, enough)
            return engine.tally
    finally:
        for number in stopping:
            loop.remove_signal_handler(number)


def _say(line: str) -> None:
    # A closed terminal or a reader that went away must not end an engine with a transaction in flight.
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def report_of(config: Config, stage: Stage, since: str | None = None) -> dict[str, Any]:
    """The report object of the store's family for `stage`."""
    with open_store(config.store.directory, family_of(stage)) as reader:
        return build_report(reader, since, Token(NATIVE, config.chain.native_symbol, 18))

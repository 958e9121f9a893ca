"""From the look that found a block to the commit of what was decided on it: an engine on the busy local chain."""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_engine
from arbtui.chain import JsonRpc
from arbtui.devnet import Devnet, Traffic
from arbtui.domain import Stage
from tests.chain import config_for, running_chain

SECONDS = 30
#: What the goal allows, in milliseconds: p95 of block received to opportunity committed.
GOAL_P95_MS = 100


async def _measured(devnet: Devnet, folder: Path, seconds: float) -> tuple[list[float], int]:
    config = config_for(devnet, folder / "store")
    async with JsonRpc(devnet.rpc_url) as rpc:
        await rpc.call("evm_setIntervalMining", [1])
    traffic = asyncio.create_task(Traffic(devnet.rpc_url, devnet.book, 1).run())
    try:
        async with open_engine(config, Stage.LIVE, ApproveMode.ALL, lambda _: None) as engine:
            await engine.run(seconds, asyncio.Event())
            return list(engine.latencies_ms), engine.tally.opportunities
    finally:
        traffic.cancel()
        with suppress(asyncio.CancelledError):
            await traffic


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of all does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def lines(seconds: float = SECONDS) -> list[str]:
    """The table as Markdown."""
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as name:
        folder = Path(name)
        with running_chain(folder) as devnet:
            took, opportunities = asyncio.run(_measured(devnet, folder, seconds))
    p50, p95, worst = percentile(took, 0.5), percentile(took, 0.95), max(took)
    return [
        f"live, everything approved, blocks of 1 s for {seconds:g} s; goal p95 <= {GOAL_P95_MS} ms",
        "| blocks | opportunities | p50 ms | p95 ms | greatest ms |",
        "|---:|---:|---:|---:|---:|",
        f"| {len(took)} | {opportunities:,} | {p50:.1f} | {p95:.1f} | {worst:.1f} |",
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

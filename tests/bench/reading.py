"""How long discovery and reading take on the local chain: 10,000 real pairs, through Multicall3 over HTTP."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from arbtui.bootstrap import open_desk
from arbtui.chain.reader import CHUNK, LANES
from arbtui.devnet import Devnet
from arbtui.discovering import discover
from tests.chain import config_for, in_hand, running_chain
from tests.many_pairs import add_pairs


async def _measure(devnet: Devnet, folder: Path, pairs: int, repeats: int) -> list[str]:
    # Nothing is configured: the factories bring it all.
    config = config_for(devnet, folder / "store").model_copy(update={"pools": ()})
    async with in_hand(devnet) as hand:
        await add_pairs(hand, pairs)
        rows = [
            f"{pairs:,} pairs; chunks of at most {CHUNK} calls, {LANES} requests at once; seconds",
            "| what | pools | seconds | pools/s |",
            "|---|---:|---:|---:|",
        ]

        def row(what: str, pools: int, seconds: float) -> None:
            rows.append(f"| {what} | {pools:,} | {seconds:.2f} | {pools / seconds:,.0f} |")

        began = time.perf_counter()
        outcome = await discover(config, hand.node)
        row("first discovery, from nothing", outcome.kept, time.perf_counter() - began)
        began = time.perf_counter()
        await discover(config, hand.node)
        row("discovery with nothing new", outcome.kept, time.perf_counter() - began)
        async with open_desk(config) as desk:
            times = []
            for _ in range(repeats):
                began = time.perf_counter()
                state = await desk.market()
                times.append(time.perf_counter() - began)
            row(
                f"state of every pool at one block (median of {repeats})",
                len(state.pools),
                statistics.median(times),
            )
        return rows


def lines(pairs: int = 10_000, repeats: int = 7) -> list[str]:
    """A table of seconds; `pairs` are made on a chain of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="arbtui-bench-") as folder,
        running_chain(Path(folder) / "chain") as devnet,
    ):
        return asyncio.run(_measure(devnet, Path(folder), pairs, repeats))


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

"""How long `scan --snapshot` takes on a market of its own making: pairs of Uniswap V2's kind, from a seed."""

from __future__ import annotations

import platform
import random
import statistics
import sys
import tempfile
from math import isqrt
from pathlib import Path

from arbtui.cli.scan_snapshot import snapshot_scan
from arbtui.domain import BlockRef, Token
from arbtui.market import MarketState
from arbtui.market.snapshot import write_snapshot
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.units import Address, Ppm, Wei, parse_address

_STEPS = ("load", "index", "screen", "size", "total")
#: Pairs are priced this far around what their tokens are worth, so that some cycles pay.
_NOISE = 0.006


def market(pools: int = 2_000, tokens: int = 200, seed: int = 1) -> MarketState:
    """A market in which a few tokens (the first is WETH) are in most pairs, on three exchanges."""
    rng = random.Random(f"bench:{seed}")
    listed = [Token(_address("token", i), "WETH" if i == 0 else f"T{i}", 18) for i in range(tokens)]
    worth = [rng.lognormvariate(0, 4) for _ in listed]
    taken: set[tuple[int, int, str]] = set()
    made: dict[Address, UniswapV2Pool] = {}
    while len(made) < pools:
        # The power draws towards the first tokens.
        hub, other = int(tokens * rng.random() ** 4), rng.randrange(tokens)
        dex = rng.choice(("uniswap", "sushiswap", "shibaswap"))
        first, second = sorted((hub, other), key=lambda i: listed[i].address.lower())
        if first == second or (first, second, dex) in taken:
            continue
        taken.add((first, second, dex))
        depth = int(10 ** rng.uniform(19, 23)) ** 2
        price = worth[first] / worth[second] * rng.uniform(1 - _NOISE, 1 + _NOISE)
        ratio = max(1, int(price * 10**18))
        address = _address("pool", len(made))
        made[address] = UniswapV2Pool(
            address,
            dex,
            listed[first].address,
            listed[second].address,
            Ppm(3000),
            isqrt(depth * 10**18 // ratio),
            isqrt(depth * ratio // 10**18),
        )
    block = BlockRef(1, "", "", 0, Wei(0), 0, 0)
    return MarketState(block, {token.address: token for token in listed}, made)


def _address(kind: str, number: int) -> Address:
    return parse_address(f"0x{random.Random(f'{kind}:{number}').getrandbits(160):040x}")


def lines(repeats: int = 7) -> list[str]:
    """Median milliseconds of each step, for cycles of up to two and three hops."""
    out = [
        f"python {platform.python_version()}; medians of {repeats}, milliseconds",
        "| max hops | pools | cycles | paying | load | index | screen | size | total | cycles/s |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as folder:
        path = Path(folder) / "market.jsonl"
        with path.open("w", encoding="utf-8") as file:
            write_snapshot(market(), file)
        for hops in (2, 3):
            answers = [snapshot_scan(path, ["WETH", "T1", "T2"], hops, 10, True) for _ in range(repeats)]
            last = answers[-1]
            ms = {
                step: statistics.median(answer["elapsed_ms"][step] for answer in answers) for step in _STEPS
            }
            # What a block costs: the index is made once.
            rate = last["cycles"] / (ms["screen"] + ms["size"]) * 1000
            times = " | ".join(f"{ms[step]:.1f}" for step in _STEPS)
            out.append(
                f"| {hops} | {last['pools']:,} | {last['cycles']:,} | {last['paying']:,} | {times} | {rate:,.0f} |"
            )
    out.append("cycles/s: screened and, where they pay, sized exactly; without load and index")
    return out


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

"""The search against its goals, as one Markdown table: sizing, increments, misses, a block, memory, growth, a scan.

ARBTUI_BENCH_MARKET names a snapshot of constant product pools to be set A; without it one is made. Set B is A with
venues added. degenbot is measured beside it where a Python 3.13 is found (see `peer`).
"""

from __future__ import annotations

import gc
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from arbtui.chain.codec import LogFilter, fast_logs
from arbtui.domain import BlockRef
from arbtui.market import LOG_TOPICS, SWAP_TOPICS, MarketState, Pool
from arbtui.market.snapshot import write_snapshot
from arbtui.market.tracker import Tracker
from arbtui.market.uniswap_v2 import UniswapV2Pool
from arbtui.search import CycleIndex, Finder, enumerate_cycles
from arbtui.search.cycles import Part
from arbtui.search.edges import Edges
from arbtui.units import Address
from tests.bench import peer
from tests.bench.brute import check_all
from tests.bench.markets import largest, moved, real_or_made, with_venues, wrapped

Row = tuple[str, str, str]
SYNC = "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1"
_GROWTH = ((0.0, 0), (0.35, 4), (0.78, 5), (1.25, 6))
_CHANGED = 50
_TOP = 20


@cache
def _set_b() -> MarketState:
    return with_venues(real_or_made()[1])


def _milliseconds(
    run: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    times = []
    for _ in range(repeats):
        begun = clock()
        run()
        times.append((clock() - begun) * 1000)
    return times


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


# ---- screen and exact sizing of everything, beside degenbot


def sizing() -> Iterator[Row]:
    """All of A: through the wrapped native coin, and every directed cycle of three hops once."""
    name, state = real_or_made()
    python = peer.environment()
    index = enumerate_cycles(state, [wrapped(state)], 3)
    finder = Finder([wrapped(state)], 3)
    finder.find(state)
    yield from _beside(
        f"{name}: screen, size and rank the {{cycles}} cycles through WETH", state, index, python,
        lambda: finder.find(state), [(row[2], row[3].profit) for row in finder._found[0]],
    )  # fmt: skip
    everything = _every_triangle(state)
    edges = Edges(len(everything.pools))
    edges.put(everything.used, [state.pools[everything.pools[number]] for number in everything.used])

    def search() -> list[tuple[int, int]]:
        found = []
        for part in everything.parts:
            hits = edges.hits(part.edges)
            found += [
                (int(at) + part.first, size.profit)
                for at, size in zip(hits, edges.sizes(part.edges[:, hits]), strict=True)
                if size is not None
            ]
        return found

    yield from _beside(
        f"{name}: screen and size all {{cycles}} directed cycles", state, everything, python, search, search()
    )


def _every_triangle(state: MarketState) -> CycleIndex:
    """Each directed cycle once: a base token's pools are left out once its cycles are there."""
    pools = dict(state.pools)
    numbers = {address: number for number, address in enumerate(pools)}
    found = []
    for token in sorted(state.traded_tokens, key=lambda token: (-len(state.pools_of(token)), token))[:400]:
        left = MarketState(state.block, state.tokens, pools)
        index = enumerate_cycles(left, [token], 3)
        renumbered = np.array([numbers[address] for address in index.pools], np.int32)
        edges = index.parts[-1].edges
        found.append(2 * renumbered[edges >> 1] + (edges & 1))
        for pool in left.pools_of(token):
            del pools[pool.address]
    edges = np.concatenate(found, axis=1).astype(np.int32)
    return CycleIndex(tuple(state.pools), (Part(wrapped(state), 3, 0, edges),))


def _beside(
    what: str,
    state: MarketState,
    index: CycleIndex,
    python: Path | None,
    search: Callable[[], object],
    ours: Sequence[tuple[int, int]],
) -> Iterator[Row]:
    gc.collect()
    gc.freeze()
    times = _milliseconds(search, 21)
    mine = statistics.median(times)
    what = what.format(cycles=f"{index.count:,}")
    if python is None:
        yield what, f"{mine:.2f} ms; degenbot not measured (no Python 3.13)", "≥ 8 × degenbot"
        return
    pools = list(state.pools.values())
    place = {number: at for at, number in enumerate(index.used)}
    theirs = peer.solve(
        python,
        [pool for number in index.used if isinstance(pool := pools[number], UniswapV2Pool)],
        [[(place[edge >> 1], edge & 1) for edge in cycle] for _, cycle in index],
        7,
    )
    # Once more, so that both were measured around the same time.
    mine = statistics.median([*times, *_milliseconds(search, 20)])
    cpu = statistics.median(_milliseconds(search, 20, time.process_time))
    gc.unfreeze()
    their_time, their_cpu = statistics.median(theirs.ms), statistics.median(theirs.cpu_ms)
    gains = dict(ours)
    better = sum(gains.get(cycle, 0) > gain for cycle, _, gain in theirs.found)
    worse = [
        (gain - gains.get(cycle, 0)) / gain for cycle, _, gain in theirs.found if gains.get(cycle, 0) < gain
    ]
    yield (
        what,
        f"{mine:.2f} ms, degenbot {peer.VERSION} {their_time:.1f} ms: **{their_time / mine:.1f} ×** "
        f"(processor time {cpu:.2f} and {their_cpu:.1f} ms: {their_cpu / cpu:.1f} ×)",
        "≥ 8 ×",
    )
    yield (
        "… paying found, and profit against degenbot's",
        f"{len(gains):,} against {len(theirs.found):,}; more in {better:,}, less in {len(worse):,} "
        f"(at most {max(worse, default=0.0):.1g} of it)",
        "",
    )


# ---- increments


def _drifting(
    state: MarketState, draw: Callable[[random.Random], Sequence[Pool]], seed: int
) -> Iterator[tuple[MarketState, list[Address]]]:
    rng = random.Random(seed)
    pools = dict(state.pools)
    while True:
        changed = [pool.address for pool in draw(rng)]
        pools = dict(pools)
        for address in changed:
            pools[address] = moved(pools[address], rng)
        yield MarketState(state.block, state.tokens, pools), changed


def _incremental(
    state: MarketState, draw: Callable[[random.Random], Sequence[Pool]], blocks: int = 200, **options: bool
) -> tuple[list[float], float]:
    finder = Finder([wrapped(state)], 3, _TOP, check_every=10**9, **options)  # type: ignore[arg-type]
    finder.find(state)
    times, touched = [], []
    gc.collect()
    gc.freeze()
    for number, (now, changed) in enumerate(_drifting(state, draw, 1)):
        begun = time.perf_counter()
        result = finder.find(now, changed)
        times.append((time.perf_counter() - begun) * 1000)
        touched.append(result.screened)
        if number == blocks:
            break
    gc.unfreeze()
    return times[1:], statistics.median(touched[1:])


def increments() -> Iterator[Row]:
    """50 pools of B change, drawn from the 3,000 largest, then the 50 in most cycles."""
    state = _set_b()
    big = largest(state)
    index = enumerate_cycles(state, [wrapped(state)], 3)
    counts = np.zeros(len(index.pools), np.int64)
    for part in index.parts:
        for edges in part.edges:
            counts += np.bincount(edges >> 1, minlength=len(counts))
    busiest = [state.pools[index.pools[number]] for number in np.argsort(-counts)[:_CHANGED]]
    for whose, draw in (
        ("of the 3,000 largest", lambda rng: rng.sample(big, _CHANGED)),
        ("that are in most cycles", lambda _: busiest),
    ):
        times, touched = _incremental(state, draw, size_all=False)
        every, _ = _incremental(state, draw, blocks=60)
        yield (
            f"B: {_CHANGED} changed pools {whose} ({touched:,.0f} of {index.count:,} cycles), best {_TOP} exact",
            f"**{statistics.median(times):.2f} ms**, p99 {_p99(times):.2f}; every cycle exact "
            f"{statistics.median(every):.2f} ms",
            "≤ 1 ms" if whose.startswith("of") else "",
        )


# ---- misses


def misses() -> Iterator[Row]:
    """Against brute force in exact integers."""
    name, state = real_or_made()
    for label, market, tried in ((name, state, 400), ("B", _set_b(), 200)):
        checked = check_all(market, [wrapped(market)], 3, tried)
        yield f"{label}: missed profitable cycles", str(checked), "0"
    steps = 60
    finder = Finder([wrapped(state)], 3, 1, size_all=False, check_every=10**9)
    result = finder.find(state)
    for _ in range(steps):
        if not result.opportunities:
            break
        best = result.opportunities[0]
        pools = dict(state.pools)
        for step in best.hops:
            swap = pools[step.hop.pool].swap_exact_in(step.hop.token_in, step.amount_in)
            pools[step.hop.pool] = swap.after
        state = MarketState(state.block, state.tokens, pools)
        result = finder.find(state, best.path.pools)
    yield (
        f"{name} after its best {steps} cycles were traded one after the other: missed",
        str(check_all(state, [wrapped(state)], 3, 400)),
        "0",
    )


# ---- a block's logs


def block_after(block: BlockRef) -> BlockRef:
    """A child with a hash of its own."""
    number = block.number + 1
    return replace(block, number=number, hash=f"0x{number:064x}", parent_hash=block.hash)


def block_json(
    block: BlockRef, changed: Sequence[UniswapV2Pool], rng: random.Random, total: int = 500
) -> bytes:
    """A node's answer to eth_getLogs by topics: a Sync of each of `changed` among those of pools not watched."""
    synced = [(pool.address.lower(), pool.reserve0, pool.reserve1) for pool in changed]
    others = range(total - len(synced))
    synced += [(f"0x{rng.getrandbits(160):040x}", rng.getrandbits(96), rng.getrandbits(96)) for _ in others]
    rng.shuffle(synced)
    rows = [
        {
            "address": address,
            "topics": [SYNC],
            "data": f"0x{reserve0:064x}{reserve1:064x}",
            "blockNumber": hex(block.number),
            "blockHash": block.hash,
            "transactionHash": f"0x{rng.getrandbits(256):064x}",
            "transactionIndex": hex(number // 4),
            "logIndex": hex(number),
            "removed": False,
        }
        for number, (address, reserve0, reserve1) in enumerate(synced)
    ]
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": rows}, separators=(",", ":")).encode()


def blocks(count: int = 400, syncs: int = 60) -> Iterator[Row]:
    """500 logs as JSON to the best 20 opportunities, exact, as values."""
    state = _set_b()
    big = largest(state)
    rng = random.Random(3)
    wanted = LogFilter(state.pools, LOG_TOPICS | SWAP_TOPICS)
    state = MarketState(replace(state.block, number=1, hash=f"0x{1:064x}"), state.tokens, state.pools)
    tracker = Tracker(state)
    finder = Finder([wrapped(state)], 3, _TOP, size_all=False)
    finder.find(state)
    steps: dict[str, list[float]] = {"decode and update": [], "find": [], "opportunities": [], "all": []}
    now = {pool.address: pool for pool in big}
    gc.collect()
    gc.freeze()
    for _ in range(count):
        chosen = [moved(now[pool.address], rng) for pool in rng.sample(big, syncs)]
        now.update((pool.address, pool) for pool in chosen)
        block = block_after(tracker.head)
        raw = block_json(block, chosen, rng)
        begun = time.perf_counter()
        logs = fast_logs(raw, 1, {block.number: block.hash}, wanted)
        assert logs is not None
        changed = tracker.apply(block, logs).changed
        updated = time.perf_counter()
        result = finder.find(tracker.state, changed)
        found = time.perf_counter()
        best = result.opportunities[:_TOP]
        ended = time.perf_counter()
        assert len(changed) == syncs
        assert len(best) == _TOP
        for name, took in zip(
            steps, (updated - begun, found - updated, ended - found, ended - begun), strict=True
        ):
            steps[name].append(took * 1000)
    gc.unfreeze()
    whole = steps.pop("all")
    parts = ", ".join(f"{name} {statistics.median(times):.2f}" for name, times in steps.items())
    yield (
        f"B: 500 logs as JSON ({syncs} Sync of watched pools) → best {_TOP} ranked and exact, {count} blocks",
        f"**p50 {statistics.median(whole):.2f} ms, p99 {_p99(whole):.2f} ms** ({parts})",
        "p50 ≤ 3 ms, p99 ≤ 8 ms",
    )


# ---- memory, growth, a scan from cold


def memory() -> Iterator[Row]:
    """A process of its own that loads B from a file and finds, incrementally too."""
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as folder:
        path = Path(folder) / "b.jsonl"
        with path.open("w", encoding="utf-8") as file:
            write_snapshot(_set_b(), file)
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.search", str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
    pools, three, four = json.loads(done.stdout)
    yield (
        f"B: resident memory of a process that found in {pools:,} pools",
        f"**{three:.0f} MB** with 3 hops, {four:.0f} MB with 4",
        "≤ 300 MB",
    )


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_own_process(path: str) -> None:
    from arbtui.market import load_snapshot

    state = load_snapshot(path).state
    used = []
    for hops in (3, 4):
        finder = Finder([wrapped(state)], hops, _TOP)
        finder.find(state)
        for now, changed in _drifting(state, lambda rng: rng.sample(list(state.pools.values()), _CHANGED), 1):
            finder.find(now, changed)
            break
        used.append(_resident())
    sys.stdout.write(json.dumps([len(state.pools), *used]))


def growth() -> Iterator[Row]:
    """Markets from A to more than three times its pools."""
    first = real_or_made()[1]
    for rate, most in _GROWTH:
        yield _grown(with_venues(first, rate, most))


def _grown(state: MarketState) -> Row:
    base = wrapped(state)
    build = statistics.median(_milliseconds(lambda: enumerate_cycles(state, [base], 3).touching([0]), 3))
    index = enumerate_cycles(state, [base], 3)
    size = index.nbytes + 8 * index.count
    finder = Finder([base], 3, _TOP, size_all=False)
    finder.find(state)
    full = statistics.median(_milliseconds(lambda: finder.find(state), 5))
    big = largest(state)
    times, touched = _incremental(state, lambda rng: rng.sample(big, _CHANGED), 100, size_all=False)
    took = statistics.median(times)
    return (
        f"growth: {len(state.pools):,} pools, {index.count:,} cycles of 2 and 3 hops through WETH",
        f"index {build:.0f} ms, {size / index.count:.0f} B a cycle; full pass {full:.1f} ms; {_CHANGED} changed: "
        f"{touched:,.0f} cycles in {took:.2f} ms",
        "linear in touched cycles",
    )


def scanning() -> Iterator[Row]:
    """`arbtui scan --snapshot` of A in a process of its own, from the start of the interpreter."""
    name, state = real_or_made()
    with tempfile.TemporaryDirectory(prefix="arbtui-bench-") as folder:
        path = Path(folder) / "a.jsonl"
        with path.open("w", encoding="utf-8") as file:
            write_snapshot(state, file)
        for hops in (3, 4):
            command = [sys.executable, "-m", "arbtui", "scan", "--snapshot", str(path), "--json"]
            command += ["--max-hops", str(hops), "--base", wrapped(state)]
            times = _milliseconds(
                lambda command=command: subprocess.run(command, check=True, capture_output=True), 5
            )
            yield (
                f"{name}: `scan --snapshot --max-hops {hops}` from a cold process",
                f"**{statistics.median(times) / 1000:.2f} s**",
                "≤ 3 s",
            )


SECTIONS = {
    "sizing": sizing,
    "increments": increments,
    "misses": misses,
    "blocks": blocks,
    "memory": memory,
    "growth": growth,
    "scanning": scanning,
}


def lines() -> list[str]:
    """The table. ARBTUI_BENCH_ONLY names sections, by comma, where not all are wanted."""
    wanted = [name for name in os.environ.get("ARBTUI_BENCH_ONLY", "").split(",") if name] or list(SECTIONS)
    name, state = real_or_made()
    out = [
        f"set A {'made from a seed' if name == 'made' else 'from a file'}, {len(state.pools):,} pools; "
        f"python {platform.python_version()}, numpy {np.__version__}; medians; load {os.getloadavg()[0]:.1f} "
        f"on {os.cpu_count()} cores",
        "",
        "| what | measured | goal |",
        "|---|---|---|",
    ]
    for section in wanted:
        out += [f"| {what} | {figure} | {goal} |" for what, figure, goal in SECTIONS[section]()]
    return out


if __name__ == "__main__":
    _in_own_process(sys.argv[1])

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
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from arbtui.market import MarketState, Pool
from arbtui.market.snapshot import write_snapshot
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


class _RawLog(msgspec.Struct):
    address: str
    topics: list[str]
    data: str


class _Answer(msgspec.Struct):
    result: list[_RawLog]


class Follower:
    """Logs as JSON to the next state: a stand-in, of the shape of the decoder and the tracker that take its place."""

    def __init__(self, state: MarketState) -> None:
        self.state = state
        self._watched = {address.lower(): address for address in state.pools}
        self._decode = msgspec.json.Decoder(_Answer).decode

    def apply(self, raw: bytes) -> list[Address]:
        """Take one block's logs; the pools that changed."""
        pools = dict(self.state.pools)
        changed = []
        for log in self._decode(raw).result:
            if log.topics[0] != SYNC:
                continue
            address = self._watched.get(log.address)
            if address is None:
                continue
            pool = pools[address]
            assert isinstance(pool, UniswapV2Pool)
            pools[address] = UniswapV2Pool(
                address, pool.dex, pool.token0, pool.token1, pool.fee_ppm,
                int(log.data[2:66], 16), int(log.data[66:130], 16),
            )  # fmt: skip
            changed.append(address)
        self.state = MarketState(self.state.block, self.state.tokens, pools)
        return changed


def block_json(changed: Sequence[UniswapV2Pool], rng: random.Random, total: int = 500) -> bytes:
    """An answer to eth_getLogs: a Sync of each pool, the rest transfers and swaps of others."""

    def log(address: str, topics: list[str], data: str, number: int) -> dict[str, object]:
        return {
            "address": address,
            "topics": topics,
            "data": data,
            "blockNumber": "0x1406f40",
            "blockHash": f"0x{7:064x}",
            "transactionHash": f"0x{rng.getrandbits(256):064x}",
            "transactionIndex": hex(number // 4),
            "logIndex": hex(number),
            "removed": False,
        }

    rows = [
        log(pool.address.lower(), [SYNC], f"0x{pool.reserve0:064x}{pool.reserve1:064x}", number)
        for number, pool in enumerate(changed)
    ]
    transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    for number in range(len(changed), total):
        topics = [transfer, f"0x{rng.getrandbits(160):064x}", f"0x{rng.getrandbits(160):064x}"]
        rows.append(log(f"0x{rng.getrandbits(160):040x}", topics, f"0x{rng.getrandbits(96):064x}", number))
    rng.shuffle(rows)
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": rows}, separators=(",", ":")).encode()


def blocks(count: int = 400, syncs: int = 60) -> Iterator[Row]:
    """500 logs as JSON to the best 20 opportunities, exact, as values."""
    state = _set_b()
    big = largest(state)
    rng = random.Random(3)
    follower = Follower(state)
    finder = Finder([wrapped(state)], 3, _TOP, size_all=False)
    finder.find(state)
    steps: dict[str, list[float]] = {"decode and update": [], "find": [], "opportunities": [], "all": []}
    now = {pool.address: pool for pool in big}
    gc.collect()
    gc.freeze()
    for _ in range(count):
        chosen = [moved(now[pool.address], rng) for pool in rng.sample(big, syncs)]
        now.update((pool.address, pool) for pool in chosen)
        raw = block_json(chosen, rng)
        begun = time.perf_counter()
        changed = follower.apply(raw)
        updated = time.perf_counter()
        result = finder.find(follower.state, changed)
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

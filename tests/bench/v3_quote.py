"""A Uniswap V3 quote in Python beside the pool's own bytecode in a local EVM (pyrevm), on the same pools and amounts.

The peer runs in an interpreter of its own: a virtual environment under the cache folder, made on first use. Where it
cannot be had the table says so: a node's eth_call is no fair peer, its time is mostly transport.
"""

from __future__ import annotations

import json
import platform
import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arbtui.abi import encode_call, keccak
from arbtui.devnet.cache import cache_root
from arbtui.market import UniswapV3Pool
from arbtui.market.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, sqrt_ratio_at_tick
from arbtui.units import Address, Ppm, parse_address

_ROOT = Path(__file__).parents[2]
_FACTORY = (
    _ROOT / "node_modules/@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json"
)
_PEER = "pyrevm==0.3.7"
_NO_PEER = "no local EVM"
_REPEATS = 5
#: (fee, tick spacing, tick, positions)
_TIERS = ((100, 1, -23_027, 60), (500, 10, 197_200, 300), (3000, 60, 74_300, 150), (10_000, 200, -9_000, 40))
#: Ticks crossed by a quote, by row of the table.
_CLASSES = ((0, 0), (1, 5), (6, 20))


@dataclass(frozen=True, slots=True)
class Quote:
    pool: UniswapV3Pool
    zero_for_one: bool
    amount: int
    crossed: int

    @property
    def token_in(self) -> Address:
        return self.pool.token0 if self.zero_for_one else self.pool.token1


def pools(seed: int = 1) -> list[UniswapV3Pool]:
    """Pools with positions drawn around their price, many narrow ones and a few wide."""
    rng = random.Random(f"v3:{seed}")
    made = []
    for number, (fee, spacing, tick, positions) in enumerate(_TIERS):
        nets: defaultdict[int, int] = defaultdict(int)
        gross: defaultdict[int, int] = defaultdict(int)
        here = 0
        for _ in range(positions):
            wide = int(2 ** rng.uniform(0, 8)) + 1
            low = (tick // spacing + int(rng.gauss(0, 60)) - wide // 2) * spacing
            high = low + wide * spacing
            liquidity = int(10 ** rng.uniform(15, 19))
            nets[low] += liquidity
            nets[high] -= liquidity
            gross[low] += liquidity
            gross[high] += liquidity
            here += liquidity if low <= tick < high else 0
        price = (sqrt_ratio_at_tick(tick) + sqrt_ratio_at_tick(tick + 1)) // 2
        token0, token1 = (parse_address(f"0x{(number + 1) * 1_000_000 + side:040x}") for side in (0, 1))
        ticks = tuple(sorted(nets.items()))
        made.append(
            UniswapV3Pool(
                parse_address(f"0x{number + 1:040x}"),
                "uniswap",
                token0,
                token1,
                Ppm(fee),
                spacing,
                price,
                tick,
                here,
                ticks,
                None,
                tuple(gross[index] for index, _ in ticks),
            )
        )
    return made


def quotes(each: int = 40, seed: int = 1) -> list[Quote]:
    """`each` quotes of every class on every pool, both directions."""
    rng = random.Random(f"quotes:{seed}")
    made: list[Quote] = []
    for pool in pools(seed):
        for zero_for_one in (True, False):
            token = pool.token0 if zero_for_one else pool.token1
            # Cumulated input that ends each of the next ranges.
            ends = [0]
            for stretch in pool.stretches(token):
                ends.append(ends[-1] + stretch.capacity)
                if len(ends) > 24:
                    break
            for least, most in _CLASSES:
                for _ in range(each // 2):
                    range_ = rng.randint(least, most)
                    if range_ + 1 < len(ends):
                        amount = int(rng.uniform(ends[range_] + 1, ends[range_ + 1]))
                        made.append(Quote(pool, zero_for_one, amount, range_))
    return made


def storage(pool: UniswapV3Pool) -> dict[str, str]:
    """UniswapV3Pool's storage: slot0 0, liquidity 4, ticks 5, tickBitmap 6 (v3-core's layout)."""
    slots = {0: pool.tick % 2**24 << 160 | pool.sqrt_price_x96, 4: pool.liquidity}
    bitmap: defaultdict[int, int] = defaultdict(int)
    assert pool.gross is not None
    for (index, net), gross in zip(pool.ticks, pool.gross, strict=True):
        place = int.from_bytes(keccak(index.to_bytes(32, signed=True) + (5).to_bytes(32)))
        slots[place] = net % 2**128 << 128 | gross
        slots[place + 3] = 1 << 248
        compressed = index // pool.tick_spacing
        bitmap[compressed >> 8] |= 1 << (compressed & 255)
    for word, bits in bitmap.items():
        slots[int.from_bytes(keccak(word.to_bytes(32, signed=True) + (6).to_bytes(32)))] = bits
    return {str(slot): str(value) for slot, value in slots.items()}


def peer_python() -> Path | None:
    """An interpreter with the peer, installed on first use; None where there is none to be had."""
    home = cache_root().parent / "bench" / _PEER.replace("==", "-")
    python = home / "bin" / "python"
    if not python.exists():
        base = next((found for name in ("python3.12", "python3.11") if (found := shutil.which(name))), None)
        if sys.version_info < (3, 13):
            base = sys.executable
        if base is None:
            return None
        subprocess.run([base, "-m", "venv", str(home)], check=False, capture_output=True)
        install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", _PEER]
        if not python.exists() or subprocess.run(install, check=False, capture_output=True).returncode:
            shutil.rmtree(home, ignore_errors=True)
            return None
    return python


def peer_answers(asked: list[Quote], python: Path) -> tuple[list[bytes], list[float]] | None:
    """What the bytecode answers to each quote (two int256 words) and how long it took; None where it cannot run."""
    if not _FACTORY.exists():
        return None
    numbers = {
        pool.address: number for number, pool in enumerate(dict.fromkeys(quote.pool for quote in asked))
    }
    task: dict[str, Any] = {
        "factory": json.loads(_FACTORY.read_text("utf-8"))["bytecode"][2:],
        "make": [encode_call("enableFeeAmount(uint24,int24)", 100, 1).hex()],
        "pools": [],
        "quotes": [],
        "repeats": _REPEATS,
    }
    for pool in dict.fromkeys(quote.pool for quote in asked):
        named = (pool.token0, pool.token1, pool.fee_ppm)
        task["make"].append(encode_call("createPool(address,address,uint24)", *named).hex())
        task["pools"].append(
            {
                "find": encode_call("getPool(address,address,uint24)", *named).hex(),
                "initialize": encode_call("initialize(uint160)", pool.sqrt_price_x96).hex(),
                "tokens": [pool.token0.lower(), pool.token1.lower()],
                "storage": storage(pool),
            }
        )
    for quote in asked:
        limit = MIN_SQRT_RATIO + 1 if quote.zero_for_one else MAX_SQRT_RATIO - 1
        call = encode_call(
            "swap(address,bool,int256,uint160,bytes)",
            quote.pool.address,
            quote.zero_for_one,
            quote.amount,
            limit,
            b"",
        )
        task["quotes"].append([numbers[quote.pool.address], call.hex()])
    ran = subprocess.run(
        [str(python), str(Path(__file__).with_name("v3_peer.py"))],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if ran.returncode:
        return None
    answer = json.loads(ran.stdout)
    return [bytes.fromhex(text) for text in answer["answers"]], answer["seconds"]


def _seconds(quote: Quote, anew: bool) -> float:
    """The least of some repeats; `anew`: of a pool that was never asked before, as right after a block."""
    pool, best = quote.pool, float("inf")
    for _ in range(_REPEATS):
        asked = pool.at_price(pool.sqrt_price_x96, pool.tick, pool.liquidity) if anew else pool
        began = time.perf_counter()
        asked.quote_out(quote.token_in, quote.amount)
        best = min(best, time.perf_counter() - began)
    return best


def lines() -> list[str]:
    """Medians of microseconds a quote, and how many answers are the bytecode's to the unit."""
    asked = quotes()
    python = peer_python()
    peer = peer_answers(asked, python) if python else None
    out = [
        f"python {platform.python_version()}; {len(asked)} quotes on {len(_TIERS)} pools; medians of microseconds",
        "| ticks crossed | quotes | first quote | later quotes | bytecode | first: times faster | later: times faster"
        " | equal |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for least, most in _CLASSES:
        chosen = [place for place, quote in enumerate(asked) if least <= quote.crossed <= most]
        first = statistics.median(_seconds(asked[place], True) for place in chosen)
        later = statistics.median(_seconds(asked[place], False) for place in chosen)
        row = f"| {least}-{most} | {len(chosen)} | {first * 1e6:.1f} | {later * 1e6:.1f} |"
        if peer is None:
            out.append(f"{row} {_NO_PEER} | | | |")
            continue
        answers, times = peer
        theirs = statistics.median(times[place] for place in chosen)
        equal = 0
        for place in chosen:
            quote = asked[place]
            amounts = [int.from_bytes(answers[place][at : at + 32], signed=True) for at in (0, 32)]
            taken, given = amounts if quote.zero_for_one else amounts[::-1]
            equal += (taken, -given) == (
                quote.amount,
                quote.pool.quote_out(quote.token_in, quote.amount),
            )
        out.append(
            f"{row} {theirs * 1e6:.1f} | {theirs / first:.1f} | {theirs / later:.1f} | {equal} of {len(chosen)} |"
        )
    out.append(
        "first: of a pool never asked before, as right after a block; bytecode: quoter-style, no transfers"
    )
    return out


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

"""Markets to measure on: a snapshot file, or one of our own making, and the same with more venues."""

from __future__ import annotations

import math
import os
import random
from collections import Counter
from dataclasses import replace
from functools import cache

from arbtui.domain import BlockRef, Token
from arbtui.market import MarketState, Pool, load_snapshot
from arbtui.market.uniswap_v2 import MAX_RESERVE, UniswapV2Pool
from arbtui.units import Address, Ppm, Wei, parse_address

#: A snapshot of constant product pools to measure on; without it a market is made.
VARIABLE = "ARBTUI_BENCH_MARKET"
_FEES = (3000, 3000, 2500, 3000, 500, 10_000)
#: What is paired with everything, and the share of all tokens that is; the rest is paired with the first alone.
_HUBS = ("WETH", "USDC", "USDT", "DAI", "WBTC")
_SHARES = (0.93, 0.10, 0.12, 0.06, 0.02)


@cache
def real_or_made() -> tuple[str, MarketState]:
    """(name, market) of the first set, "A": the file that VARIABLE names, or one made from a seed."""
    path = os.environ.get(VARIABLE)
    if path:
        return "A", load_snapshot(path).state
    return "made", made()


def wrapped(state: MarketState) -> Address:
    """The wrapped native coin: of the tokens that are called so the one most pools hold."""
    named = [token.address for token in state.tokens.values() if token.symbol == "WETH"]
    return max(named, key=lambda address: len(state.pools_of(address)))


def made(tokens: int = 9_000, seed: int = 1) -> MarketState:
    """One venue, a star around a few hubs, as Uniswap was in 2020: about 11,000 pools, 3,000 cycles of three hops."""
    rng = random.Random(f"bench:{seed}")
    listed = [
        Token(_address("token", number), _HUBS[number] if number < len(_HUBS) else f"T{number}", decimals)
        for number, decimals in enumerate(
            [18, *rng.choices((18, 6, 8, 9, 0), (85, 5, 4, 4, 2), k=tokens - 1)]
        )
    ]
    worth = [1.0] + [10 ** rng.gauss(-2, 2) for _ in listed[1:]]
    pools: dict[Address, Pool] = {}
    for number, token in enumerate(listed):
        for hub, share in enumerate(_SHARES):
            if hub >= number or rng.random() >= share:
                continue
            depth = 10 ** rng.gauss(0.5 if number > len(_HUBS) else 3.5, 1.2)
            noise = math.exp(rng.gauss(0, 0.02))
            amounts = {
                token: _units(depth / worth[number] * noise, token),
                listed[hub]: _units(depth / worth[hub], listed[hub]),
            }
            first, second = sorted(amounts, key=lambda held: held.address.lower())
            address = _address("pool", len(pools))
            pools[address] = UniswapV2Pool(
                address, "venue1", first.address, second.address, Ppm(3000), amounts[first], amounts[second]
            )
    block = BlockRef(1, "0x01", "0x00", 0, Wei(0), 0, 0)
    return MarketState(block, {token.address: token for token in listed}, pools)


def with_venues(state: MarketState, rate: float = 0.35, most: int = 4, seed: int = 7) -> MarketState:
    """The same with sister pools at other venues: sizes Pareto, prices log-normal (0.4 %), a mix of fees.

    A pair gets up to `most` more; `rate` is how likely the first is, three times that between hubs.
    """
    rng = random.Random(seed)
    pools = [pool for pool in state.pools.values() if isinstance(pool, UniswapV2Pool)]
    degree = Counter(token for pool in pools for token in (pool.token0, pool.token1))
    made: dict[Address, Pool] = {pool.address: pool for pool in pools}
    for pool in pools:
        hub, more = min(degree[pool.token0], degree[pool.token1]), 0
        chance = rate * (1 if hub < 3 else 3)
        while rng.random() < chance / (1 + more) and more < most:
            more += 1
        for venue in range(more):
            size, price = min(10, 0.05 * rng.paretovariate(0.9)), math.exp(rng.gauss(0, 0.004))
            address = parse_address(f"0x{0xC0FFEE0000000000 + len(made):040x}")
            made[address] = replace(
                pool,
                address=address,
                dex=f"venue{venue + 2}",
                fee_ppm=Ppm(rng.choice(_FEES)),
                reserve0=max(1, int(pool.reserve0 * size * math.sqrt(price))),
                reserve1=max(1, int(pool.reserve1 * size / math.sqrt(price))),
            )
    return MarketState(state.block, state.tokens, made)


def largest(state: MarketState, count: int = 3_000) -> list[UniswapV2Pool]:
    """The pools with the greatest product of raw reserves."""
    pools = [pool for pool in state.pools.values() if isinstance(pool, UniswapV2Pool)]
    return sorted(pools, key=lambda pool: (-pool.reserve0 * pool.reserve1, pool.address))[:count]


def moved(pool: Pool, rng: random.Random, by: float = 0.003) -> UniswapV2Pool:
    """The pool at another price, log-normal around the one it has."""
    assert isinstance(pool, UniswapV2Pool)
    change = math.exp(rng.gauss(0, by))
    return replace(
        pool,
        reserve0=min(MAX_RESERVE, max(1, int(pool.reserve0 * change))),
        reserve1=min(MAX_RESERVE, max(1, int(pool.reserve1 / change))),
    )


def _units(amount: float, token: Token) -> int:
    return min(MAX_RESERVE, max(1, int(amount * 10**token.decimals)))


def _address(kind: str, number: int) -> Address:
    return parse_address(f"0x{random.Random(f'{kind}:{number}').getrandbits(160):040x}")

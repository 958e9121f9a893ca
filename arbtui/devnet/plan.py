"""What the local chain consists of: tokens, pools and markets with their depths, as data.

Prices are whole US dollars of the imagined world outside; depths are dollars on each side of a pool.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt, log

DEFAULT_SEED = 1
WETH, USDC, DAI, WBTC, USDT = "WETH", "USDC", "DAI", "WBTC", "USDT"

OWNER, WALLET = 0, 1
TRADERS = (2, 3, 4, 5, 6, 7)
SUPPLIER, BORROWER = 8, 9

MILLION = 1_000_000
#: Kept by each trader, in dollars of each token.
TRADER_PURSE_USD = 40 * MILLION


@dataclass(frozen=True, slots=True)
class TokenPlan:
    symbol: str
    name: str
    decimals: int
    usd: int
    contract: str


@dataclass(frozen=True, slots=True)
class Range:
    """A V3 position: `width` ticks to either side of the first price, as deep as a V2 pair of `usd` a side."""

    width: int
    usd: int


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """A pool of two tokens. A V2 pair has one Range without width."""

    dex: str
    kind: str
    a: str
    b: str
    fee_ppm: int
    ranges: tuple[Range, ...]
    tick_spacing: int = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """One token on a lending market, in whole tokens; `borrowed` is against other collateral of the borrower."""

    token: str
    supplied: int
    collateral: int
    borrowed: int


TOKENS = (
    TokenPlan(WETH, "Wrapped Ether", 18, 2_500, "WETH9"),
    TokenPlan(USDC, "USD Coin", 6, 1, "DevToken"),
    TokenPlan(DAI, "Dai Stablecoin", 18, 1, "DevToken"),
    TokenPlan(WBTC, "Wrapped BTC", 8, 60_000, "DevToken"),
    TokenPlan(USDT, "Tether USD", 6, 1, "NoReturnToken"),
)
#: keccak-256 of the code that a factory creates its pools with; v2-periphery UniswapV2Library.sol, v3-periphery
#: PoolAddress.sol.
PAIR_INIT_CODE_HASH = bytes.fromhex("96e8ac4277198ff8b6f785478aa9a39f403cb768dd02cbee326c3e7da348845f")
POOL_INIT_CODE_HASH = bytes.fromhex("e34f199b19b2b4f47f68442619d555527d244f78a3297ea89325f843f87b8b54")
V2_FEE_PPM = 3000
#: Fee in millionths → tick spacing; 100 is not in the published factory's constructor and is enabled apart.
TICK_SPACINGS = {100: 1, 500: 10, 3000: 60}
#: About a quarter to four times the first price.
WIDE = 13_860


def _v2(dex: str, a: str, b: str, usd: int) -> PoolPlan:
    return PoolPlan(dex, "uniswap_v2", a, b, V2_FEE_PPM, (Range(0, usd),))


def _v3(a: str, b: str, fee_ppm: int, *ranges: Range) -> PoolPlan:
    return PoolPlan("uniswap", "uniswap_v3", a, b, fee_ppm, ranges, TICK_SPACINGS[fee_ppm])


_POOLS = (
    _v2("uniswap", WETH, USDC, 10 * MILLION),
    _v2("sushiswap", WETH, USDC, 6_250_000),
    _v3(WETH, USDC, 500, Range(WIDE, 4 * MILLION), Range(1_000, 6 * MILLION), Range(250, 10 * MILLION)),
    _v3(WETH, USDC, 3000, Range(WIDE, 2 * MILLION), Range(1_200, 3 * MILLION)),
    _v2("uniswap", DAI, WETH, 8 * MILLION),
    _v2("sushiswap", DAI, WETH, 5 * MILLION),
    _v3(DAI, WETH, 3000, Range(WIDE, 3 * MILLION), Range(1_200, 3 * MILLION)),
    _v2("uniswap", WBTC, USDT, 8 * MILLION),
    _v2("sushiswap", WBTC, USDT, 5 * MILLION),
    _v3(WBTC, USDT, 500, Range(WIDE, 3 * MILLION), Range(1_000, 5 * MILLION), Range(250, 4 * MILLION)),
    _v2("uniswap", WBTC, WETH, 6 * MILLION),
    _v3(WBTC, WETH, 3000, Range(WIDE, 3 * MILLION), Range(1_200, 4 * MILLION)),
    _v3(USDC, USDT, 100, Range(1_000, 5 * MILLION), Range(20, 20 * MILLION)),
)

AAVE_V3 = (Listing(WETH, 8_000, 400, 100), Listing(USDC, 20 * MILLION, 1 * MILLION, 300_000))
AAVE_V2 = (
    Listing(WBTC, 400, 30, 5),
    Listing(USDT, 20 * MILLION, 1 * MILLION, 300_000),
    Listing(WETH, 2_000, 200, 50),
    Listing(USDC, 5 * MILLION, 500_000, 100_000),
)
#: Whole tokens in the vault's one pool: modest, so that larger loans must be had elsewhere.
BALANCER = ((WETH, 10), (USDC, 25_000))
AAVE_V3_PREMIUM_BPS = 5
MAKER_CEILING = 500 * MILLION


def pools(seed: int) -> tuple[PoolPlan, ...]:
    """The pools with every depth moved by up to 6 %, as the seed has it."""
    rng = random.Random(f"liquidity:{seed}")
    return tuple(
        replace(
            pool,
            ranges=tuple(replace(r, usd=r.usd * rng.randint(940, 1060) // 1000) for r in pool.ranges),
        )
        for pool in _POOLS
    )


def token(symbol: str) -> TokenPlan:
    """The plan of one token; raises KeyError."""
    for item in TOKENS:
        if item.symbol == symbol:
            return item
    raise KeyError(symbol)


def one(symbol: str) -> int:
    """Base units in a whole token."""
    return int(10 ** token(symbol).decimals)


def units(symbol: str, whole: int) -> int:
    """Whole tokens in base units."""
    return whole * one(symbol)


def worth(symbol: str, usd: int) -> int:
    """Dollars in base units of a token at the first price."""
    return usd * one(symbol) // token(symbol).usd


def floor(symbol: str) -> int:
    """The least profit that the executor lets a run ask for: a cent, in base units."""
    return worth(symbol, 1) // 100


def raw_price(symbol0: str, symbol1: str) -> Fraction:
    """First price of token0 in token1, in base units."""
    return Fraction(token(symbol0).usd * one(symbol1), token(symbol1).usd * one(symbol0))


def sqrt_price_x96(price: Fraction) -> int:
    """Q64.96 square root, rounded down, of a price of token0 in token1 in base units."""
    return isqrt((price.numerator << 192) // price.denominator)


def tick_at(price: Fraction) -> int:
    """The nearest tick to a price; for placing positions, where one tick more or less does not matter."""
    return round(log(price) / log(1.0001))

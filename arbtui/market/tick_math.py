"""Uniswap V3's price arithmetic in exact integers: TickMath and SqrtPriceMath of v3-core.

A tick is a power of 1.0001; a sqrt price is a Q64.96 number. Rounding is in the names.
"""

from __future__ import annotations

import math
from functools import lru_cache

from arbtui.units import UINT256_MAX

MIN_TICK = -887_272
MAX_TICK = 887_272
MIN_SQRT_RATIO = 4_295_128_739
MAX_SQRT_RATIO = 1_461_446_703_485_210_103_287_273_052_203_988_822_378_723_970_342
Q96 = 2**96
_UINT160_MAX = 2**160 - 1

#: 2**128 / sqrt(1.0001)**(2**i), as TickMath rounds them.
_POWERS = (
    0xFFFCB933BD6FAD37AA2D162D1A594001,
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)
_LOG_SQRT_BASE = math.log(1.0001) / 2


class PriceError(ValueError):
    """A require of the price libraries failed; `str()` is its reason where it has one."""


@lru_cache(maxsize=1 << 17)
def sqrt_ratio_at_tick(tick: int) -> int:
    """TickMath.getSqrtRatioAtTick: sqrt(1.0001**tick) as Q64.96, rounded up from Q128.128."""
    size = abs(tick)
    if size > MAX_TICK:
        raise PriceError("T")
    ratio = 1 << 128
    for bit, power in enumerate(_POWERS):
        if size >> bit & 1:
            ratio = ratio * power >> 128
    if tick > 0:
        ratio = UINT256_MAX // ratio
    return -(-ratio >> 32)


def tick_at_sqrt_ratio(sqrt_price_x96: int) -> int:
    """TickMath.getTickAtSqrtRatio: the greatest tick whose ratio is at most `sqrt_price_x96`."""
    if not MIN_SQRT_RATIO <= sqrt_price_x96 < MAX_SQRT_RATIO:
        raise PriceError("R")
    guess = math.floor((math.log(sqrt_price_x96) - 96 * math.log(2)) / _LOG_SQRT_BASE)
    tick = min(max(guess, MIN_TICK), MAX_TICK)
    while sqrt_ratio_at_tick(tick) > sqrt_price_x96:
        tick -= 1
    while tick < MAX_TICK and sqrt_ratio_at_tick(tick + 1) <= sqrt_price_x96:
        tick += 1
    return tick


def amount0_delta_up(low: int, high: int, liquidity: int) -> int:
    """SqrtPriceMath.getAmount0Delta, rounded up: token0 between two sqrt prices."""
    # Both divisions round up: negated, they round down, and so does what is negated again.
    return -(-(liquidity << 96) * (high - low) // high // low)


def amount0_delta_down(low: int, high: int, liquidity: int) -> int:
    """SqrtPriceMath.getAmount0Delta, rounded down."""
    return (liquidity << 96) * (high - low) // high // low


def amount1_delta_up(low: int, high: int, liquidity: int) -> int:
    """SqrtPriceMath.getAmount1Delta, rounded up: token1 between two sqrt prices."""
    return -(-liquidity * (high - low) >> 96)


def amount1_delta_down(low: int, high: int, liquidity: int) -> int:
    """SqrtPriceMath.getAmount1Delta, rounded down."""
    return liquidity * (high - low) >> 96


def next_sqrt_price_from_input(price: int, liquidity: int, amount_in: int, zero_for_one: bool) -> int:
    """SqrtPriceMath.getNextSqrtPriceFromInput: never further than the exact price."""
    if not zero_for_one:
        following = price + (amount_in << 96) // liquidity
        if following > _UINT160_MAX:
            raise PriceError("the price leaves uint160")
        return following
    if amount_in == 0:
        return price
    numerator = liquidity << 96
    product = amount_in * price
    if product <= UINT256_MAX and numerator + product <= UINT256_MAX:
        return -(-numerator * price // (numerator + product))
    # Where the product leaves uint256 the library divides first, and rounds otherwise.
    return -(-numerator // (numerator // price + amount_in))


def next_sqrt_price_from_output(price: int, liquidity: int, amount_out: int, zero_for_one: bool) -> int:
    """SqrtPriceMath.getNextSqrtPriceFromOutput: at least as far as the exact price."""
    if zero_for_one:
        quotient = -(-(amount_out << 96) // liquidity)
        if price <= quotient:
            raise PriceError("not enough token1 in the range")
        return price - quotient
    if amount_out == 0:
        return price
    numerator = liquidity << 96
    product = amount_out * price
    if product > UINT256_MAX or numerator <= product:
        raise PriceError("not enough token0 in the range")
    following = -(-numerator * price // (numerator - product))
    if following > _UINT160_MAX:
        raise PriceError("the price leaves uint160")
    return following

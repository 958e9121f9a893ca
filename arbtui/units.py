"""Units of the field, exact integer arithmetic with the rounding in the name, parsing and formatting.

Amounts are `int` in base units; fees are bps (1e-4) or ppm (1e-6) as named; gas prices are wei per gas.
"""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache
from typing import NewType

from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

from arbtui.errors import UsageError

Address = NewType("Address", str)
"""A checksummed 20-byte address; made by `parse_address` alone."""

Wei = NewType("Wei", int)
Bps = NewType("Bps", int)
Ppm = NewType("Ppm", int)

PPM = 1_000_000
BPS = 10_000
GWEI = 10**9
ETHER = 10**18
UINT256_MAX = 2**256 - 1
ZERO_ADDRESS = Address("0x" + "00" * 20)


@lru_cache(maxsize=65_536)
def parse_address(text: str, what: str = "address") -> Address:
    """Take an address in any case; a mixed-case one must carry the right checksum.

    Raises UsageError naming `what` otherwise.
    """
    if not isinstance(text, str) or not is_hex_address(text) or not text.startswith(("0x", "0X")):
        raise UsageError(f"{what}: {str(text)[:64]!r} is not an address (0x and 40 hex digits)")
    body = text[2:]
    if body not in (body.lower(), body.upper()) and not is_checksum_address(text):
        raise UsageError(f"{what}: {text} has a wrong checksum; check it for a typing error")
    return Address(str(to_checksum_address(text)))


def div_up(numerator: int, denominator: int) -> int:
    """ceil(numerator / denominator) for non-negative numbers; used for what is owed."""
    return -(-numerator // denominator)


def mul_div_down(a: int, b: int, denominator: int) -> int:
    return a * b // denominator


def mul_div_up(a: int, b: int, denominator: int) -> int:
    return -(-a * b // denominator)


_AMOUNT = re.compile(r"(?P<whole>\d{1,78})(?:\.(?P<fraction>\d{1,40}))?")


def parse_amount(text: str, decimals: int, what: str = "amount") -> int:
    """Whole tokens ("12.5") to base units, exactly; raises UsageError rather than round."""
    match = _AMOUNT.fullmatch(text.strip().replace("_", ""))
    if not match:
        raise UsageError(f"{what}: {text[:40]!r} is not a plain positive number such as 12.5")
    fraction = (match["fraction"] or "").rstrip("0")
    if len(fraction) > decimals:
        raise UsageError(f"{what}: {text} has more than the {decimals} decimals this token has")
    return int(match["whole"] + fraction.ljust(decimals, "0"))


def format_amount(amount: int, decimals: int, places: int | None = None) -> str:
    """Base units to whole tokens. With `places`, cut (towards minus infinity) to so many decimals."""
    with localcontext() as context:
        context.prec = 120
        value = Decimal(amount).scaleb(-decimals)
        if places is not None and places < decimals:
            value = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_FLOOR)
        return f"{value:,f}"


def format_gwei(wei_per_gas: int) -> str:
    return f"{format_amount(wei_per_gas, 9, 3)} gwei"

"""Units of the field, exact integer arithmetic with the rounding in the name, parsing and formatting.

Amounts are `int` in base units; fees are bps (1e-4) or ppm (1e-6) as named; gas prices are wei per gas.
"""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Decimal, localcontext
from functools import lru_cache
from typing import NewType

from eth_hash.auto import keccak

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


_HEX_ADDRESS = re.compile("0[xX][0-9a-fA-F]{40}")
#: 0x20 (what tells a letter's cases apart) at every letter a-f, and at every hex digit of 8 or more.
_LETTERS = bytes(0x20 if 97 <= code <= 102 else 0 for code in range(256))
_HIGH = bytes(0x20 if chr(code) in "89abcdef" else 0 for code in range(256))


def parse_address(text: str, what: str = "address") -> Address:
    """Take an address in any case; a mixed-case one must carry the right checksum.

    Raises UsageError naming `what` otherwise.
    """
    try:
        return _address(text)
    except TypeError:
        wrong = _no_address(text)
    except ValueError as error:
        wrong = str(error)
    raise UsageError(f"{what}: {wrong}")


# By the text alone: `what` names a receipt or a block now and then, and each would be an entry of its own.
@lru_cache(maxsize=65_536)
def _address(text: str) -> Address:
    if not isinstance(text, str) or not _HEX_ADDRESS.fullmatch(text):
        raise ValueError(_no_address(text))
    body = text[2:]
    right = checksummed(body.lower())
    if body not in (body.lower(), body.upper(), right):
        raise ValueError(
            f"{text} has a wrong checksum, right would be 0x{right}; check it for a typing error"
        )
    return Address("0x" + right)


def _no_address(text: object) -> str:
    return f"{str(text)[:64]!r} is not an address (0x and 40 hex digits)"


def checksummed(lower: str) -> str:
    """40 lower-case hex digits with EIP-55's capitals, by arithmetic on all of them at once.

    A letter is a capital where the hex digit of keccak256(lower-case text) at its place is 8 or more.
    """
    raw = lower.encode()
    capitals = int.from_bytes(raw.translate(_LETTERS), "big") & int.from_bytes(
        keccak(raw).hex()[:40].encode().translate(_HIGH), "big"
    )
    return (int.from_bytes(raw, "big") - capitals).to_bytes(40, "big").decode()


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

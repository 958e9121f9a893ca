"""Calldata coding: contract calls in, typed values out, and foreign coding errors mapped to ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode as _decode
from eth_abi.abi import encode as _encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_hash.auto import keccak as _keccak

from arbtui.errors import MalformedAnswer
from arbtui.units import Address, parse_address


def keccak(data: bytes) -> bytes:
    return bytes(_keccak(data))


@lru_cache(maxsize=1024)
def selector(signature: str) -> bytes:
    """First four bytes of keccak256 of e.g. ``"balanceOf(address)"``."""
    return keccak(signature.encode())[:4]


@lru_cache(maxsize=256)
def topic(signature: str) -> str:
    """0x-prefixed keccak256 of an event's signature."""
    return "0x" + keccak(signature.encode()).hex()


def _argument_types(signature: str) -> list[str]:
    inner = signature[signature.index("(") + 1 : signature.rindex(")")]
    types: list[str] = []
    depth, start = 0, 0
    for i, ch in enumerate(inner):
        depth += (ch == "(") - (ch == ")")
        if ch == "," and depth == 0:
            types.append(inner[start:i])
            start = i + 1
    if inner:
        types.append(inner[start:])
    return types


def encode_call(signature: str, *args: Any) -> bytes:
    """Selector and ABI-encoded arguments; raises ValueError where a value does not fit its type."""
    if not args and signature.endswith("()"):
        return selector(signature)
    try:
        return selector(signature) + _encode(_argument_types(signature), args)
    except EncodingError as error:
        raise ValueError(f"{signature}: {error}") from error


def decode(types: Sequence[str], data: bytes, what: str = "answer") -> tuple[Any, ...]:
    """ABI-decode `data`; raises MalformedAnswer naming `what` if it is not that."""
    try:
        return tuple(_decode(list(types), data))
    except (DecodingError, OverflowError, UnicodeDecodeError) as error:
        raise MalformedAnswer(
            f"{what}: {len(data)} bytes that do not decode as ({', '.join(types)})"
        ) from error


def decode_uint(data: bytes, what: str = "answer") -> int:
    """The first word of `data` as an unsigned integer."""
    if len(data) < 32:
        raise MalformedAnswer(f"{what}: {len(data)} bytes where a 32-byte word was expected")
    return int.from_bytes(data[:32], "big")


def decode_address(data: bytes, what: str = "answer") -> Address:
    """The first word of `data` as an address."""
    word = decode_uint(data, what)
    if word >> 160:
        raise MalformedAnswer(f"{what}: a word that is not an address")
    return parse_address("0x" + word.to_bytes(20, "big").hex())

"""Typed reading of one snapshot line: every violation becomes one short reason."""

from __future__ import annotations

import json
from typing import Any

from arbtui.text import nested_too_deep, safe_text
from arbtui.units import Address, checksummed

_HEX = frozenset("0123456789abcdef")
_MAX_DIGITS = 80
_MAX_BITS = 256


class BadField(ValueError):
    """A line's reason for being refused; `str()` is what the operator reads."""


def checksum_address(text: object, what: str) -> Address:
    """As `units.parse_address`, without its cache: a snapshot holds tens of thousands of addresses, each once."""
    if not isinstance(text, str) or len(text) != 42 or text[:2] not in ("0x", "0X"):
        raise BadField(f"{what} is not an address (0x and 40 hex digits)")
    body = text[2:]
    lower = body.lower()
    if not _HEX.issuperset(lower):
        raise BadField(f"{what} is not an address (0x and 40 hex digits)")
    right = checksummed(lower)
    if body not in (right, lower) and body != body.upper():
        raise BadField(f"{what} has a wrong checksum")
    return Address("0x" + right)


def _whole(value: object, what: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > _MAX_BITS:
            raise BadField(f"{what} is out of range (too large)")
        return value
    if isinstance(value, str):
        digits = value[1:] if value[:1] == "-" else value
        if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS:
            return int(value)
    raise BadField(f"{what} is not a whole number")


def parse_row(text: str) -> dict[str, Any]:
    """One line's JSON object; raises BadField for anything else, for a name that is there twice, and for NaN."""
    if nested_too_deep(text):
        raise BadField("not JSON")
    try:
        row = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except BadField:
        raise
    except (ValueError, RecursionError) as error:
        raise BadField("not JSON") from error
    if not isinstance(row, dict):
        raise BadField("not a JSON object")
    return row


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadField(f"{safe_text(name)!r} is there twice")
            seen.add(name)
    return row


def _no_constant(name: str) -> object:
    raise BadField(f"{name} is not a number that JSON has")


class Fields:
    """One JSON object's fields, read by name and type; raises BadField."""

    __slots__ = ("_row",)

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row

    def has(self, name: str) -> bool:
        return self._row.get(name) is not None

    def _get(self, name: str) -> object:
        try:
            return self._row[name]
        except KeyError:
            raise BadField(f"{name} is missing") from None

    def text(self, name: str) -> str:
        value = self._get(name)
        if not isinstance(value, str):
            raise BadField(f"{name} is not a text")
        return value

    def address(self, name: str) -> Address:
        return checksum_address(self._get(name), name)

    def integer(self, name: str, low: int, high: int) -> int:
        """A whole number in [low, high], as a JSON integer or a decimal string."""
        value = _whole(self._get(name), name)
        if not low <= value <= high:
            raise BadField(f"{name} is out of range ({value if abs(value) < 10**24 else 'too large'})")
        return value

    def pairs(self, name: str) -> list[tuple[int, int]]:
        """A list of [whole number, whole number]."""
        value = self._get(name)
        if not isinstance(value, list):
            raise BadField(f"{name} is not a list")
        rows: list[tuple[int, int]] = []
        for entry in value:
            if not isinstance(entry, list) or len(entry) != 2:
                raise BadField(f"{name} holds an entry that is not a pair")
            rows.append((_whole(entry[0], f"{name}: an index"), _whole(entry[1], f"{name}: an amount")))
        return rows

    def integers(self, name: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        value = self._get(name)
        if not isinstance(value, list):
            raise BadField(f"{name} is not a list")
        return tuple(_whole(entry, f"{name}: an entry") for entry in value)

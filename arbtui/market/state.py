"""Every pool's state at one block, and what is asked of the whole."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from arbtui.domain import BlockRef, ConversionRate, Token
from arbtui.errors import UsageError
from arbtui.market.pool import Pool
from arbtui.units import Address, parse_address

_NAMED_AT_MOST = 8


@dataclass(frozen=True)
class MarketState:
    """Tokens and pools by address, all at `block`. Do not change the mappings afterwards."""

    block: BlockRef
    tokens: Mapping[Address, Token]
    pools: Mapping[Address, Pool]

    @cached_property
    def _by_token(self) -> dict[Address, tuple[Pool, ...]]:
        found: defaultdict[Address, list[Pool]] = defaultdict(list)
        for pool in self.pools.values():
            found[pool.token0].append(pool)
            found[pool.token1].append(pool)
        return {token: tuple(pools) for token, pools in found.items()}

    @property
    def traded_tokens(self) -> tuple[Address, ...]:
        """The tokens that at least one pool holds."""
        return tuple(self._by_token)

    def pools_of(self, token: Address) -> tuple[Pool, ...]:
        """The pools that hold `token`, in the order of `pools`."""
        return self._by_token.get(token, ())

    def token(self, address: Address) -> Token:
        """The token, or one without symbol and with no decimals where nothing is known of it."""
        return self.tokens.get(address) or Token(address, "", 0)

    def label(self, address: Address) -> str:
        """What to show of a token: its symbol, or its address where it has none."""
        return self.token(address).symbol or address

    def find_token(self, text: str) -> Token:
        """By address in any case, or by symbol (exact, else in any case).

        Raises UsageError where there is none, or where a symbol names several: then with their addresses.
        """
        if text[:2] in ("0x", "0X") and len(text) == 42:
            address = parse_address(text, "token")
            if address in self.tokens or address in self._by_token:
                return self.token(address)
            raise UsageError(f"token {address} is in none of the {len(self.pools)} pools")
        return find_token(self.tokens, text)

    def conversion(self, token: Token, wrapped_native: Token) -> ConversionRate | None:
        """Base units of `token` per wei, at the spot prices of the deepest way over at most two pools.

        A way's depth is its thinnest pool, in wei: a pool's holding of the token it takes, valued back to the
        wrapped native coin. Equal depths fall to the lower addresses. None where no way exists.
        """
        if token.address == wrapped_native.address:
            return ConversionRate(token, 1, 1, self.block.number, ())
        native, wanted = wrapped_native.address, token.address
        second: defaultdict[Address, list[Pool]] = defaultdict(list)
        for pool in self.pools_of(wanted):
            second[_other(pool, wanted)].append(pool)
        best: tuple[int, tuple[Address, ...]] | None = None
        chosen: tuple[Pool, ...] = ()
        for first in self.pools_of(native):
            middle = _other(first, native)
            depth = first.depth(native)
            ways: list[tuple[int, tuple[Pool, ...]]] = []
            if middle == wanted:
                ways.append((depth, (first,)))
            elif middle in second:
                numerator, denominator = first.spot_ratio(native)
                for last in second[middle]:
                    held = last.depth(middle) * denominator // numerator if numerator else 0
                    ways.append((min(depth, held), (first, last)))
            for way_depth, way in ways:
                rank = (-way_depth, tuple(pool.address for pool in way))
                if way_depth > 0 and (best is None or rank < best):
                    best, chosen = rank, way
        if not chosen:
            return None
        return self._rate(token, native, chosen)

    def _rate(self, token: Token, start: Address, way: Sequence[Pool]) -> ConversionRate | None:
        numerator = denominator = 1
        here = start
        for pool in way:
            up, down = pool.spot_ratio(here)
            numerator, denominator, here = numerator * up, denominator * down, _other(pool, here)
        if not numerator or not denominator:
            return None
        shared = math.gcd(numerator, denominator)
        pools = tuple(pool.address for pool in way)
        return ConversionRate(token, numerator // shared, denominator // shared, self.block.number, pools)


def find_token(tokens: Mapping[Address, Token], text: str) -> Token:
    """By address in any case, or by symbol (exact, else in any case), among `tokens`.

    Raises UsageError where there is none, or where a symbol names several: then with their addresses.
    """
    if text[:2] in ("0x", "0X") and len(text) == 42:
        address = parse_address(text, "token")
        if address in tokens:
            return tokens[address]
        raise UsageError(f"token {address} is none of the {len(tokens)} known ones")
    found = [token for token in tokens.values() if token.symbol == text]
    if not found:
        folded = text.casefold()
        found = [token for token in tokens.values() if token.symbol.casefold() == folded]
    if not found or not text:
        raise UsageError(f"no token is called {text[:40]!r}; give its address")
    if len(found) > 1:
        names = ", ".join(token.address for token in found[:_NAMED_AT_MOST])
        more = f" and {len(found) - _NAMED_AT_MOST} more" if len(found) > _NAMED_AT_MOST else ""
        raise UsageError(f"{len(found)} tokens are called {text[:40]!r}; give an address: {names}{more}")
    return found[0]


def _other(pool: Pool, token: Address) -> Address:
    return pool.token1 if token == pool.token0 else pool.token0

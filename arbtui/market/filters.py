"""Which of the pools that factories list are kept for the search, and why the others are left out. Pure.

A pool is worth reading every block only if it can be part of a cycle through a base token, holds something, and its
tokens can be told apart and counted. What is left out is named by a `Dropped`, never silently.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from arbtui.domain import PoolKind, Token
from arbtui.domain.fields import AddressField
from arbtui.market.discovered import FoundPool, FoundToken, Holding
from arbtui.text import safe_text
from arbtui.units import ETHER, PPM, Address

#: Amounts of a token with more are not shown or entered sensibly any more.
MOST_DECIMALS = 36
SYMBOL_LIMIT = 16
_BADGED_LIMIT = 8


class Listing(StrEnum):
    """How a factory's pools are found."""

    INDEX = "index"
    LOGS = "logs"


class FactoryPolicy(BaseModel):
    """One factory to ask. `fee_ppm` belongs to V2 forks: a V3 pool carries its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dex: str = Field(min_length=1, max_length=32)
    kind: PoolKind
    address: AddressField
    fee_ppm: int | None = Field(default=None, ge=0, lt=PPM)
    from_block: int = Field(default=0, ge=0)
    #: V2: by number (allPairs) or by logs (PairCreated). V3 knows logs (PoolCreated) alone.
    listing: Listing | None = None

    @field_validator("dex")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_text(value)

    @model_validator(mode="after")
    def _shape(self) -> Self:
        if self.kind is PoolKind.UNISWAP_V2 and self.fee_ppm is None:
            raise ValueError("a uniswap_v2 factory needs fee_ppm")
        if self.kind is PoolKind.UNISWAP_V3:
            if self.fee_ppm is not None:
                raise ValueError("a uniswap_v3 pool carries its own fee: leave fee_ppm out")
            if self.listing is Listing.INDEX:
                raise ValueError("a uniswap_v3 factory has no numbered list: leave listing out")
        return self

    @property
    def by_index(self) -> bool:
        return self.kind is PoolKind.UNISWAP_V2 and self.listing is not Listing.LOGS


class DiscoveryPolicy(BaseModel):
    """Which factories are asked, and what is kept of their pools."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    factories: tuple[FactoryPolicy, ...] = ()
    #: Least that a pool holds on its thinner side, in wei.
    min_liquidity_wei: int = Field(default=ETHER, ge=0)
    max_pools: int = Field(default=10_000, ge=1, le=100_000)
    allow_tokens: tuple[AddressField, ...] = ()
    block_tokens: tuple[AddressField, ...] = ()
    allow_pools: tuple[AddressField, ...] = ()
    block_pools: tuple[AddressField, ...] = ()
    only_allowed: bool = False
    #: Widest range of one request for logs.
    log_blocks: int = Field(default=10_000, ge=1)
    #: Age at which what a pool holds is looked up again.
    refresh_blocks: int = Field(default=7_200, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        addresses = [factory.address for factory in self.factories]
        twice = sorted({a for a in addresses if addresses.count(a) > 1})
        if twice:
            raise ValueError(f"factories: {', '.join(twice)} stands there twice")
        for what, allowed, blocked in (
            ("tokens", self.allow_tokens, self.block_tokens),
            ("pools", self.allow_pools, self.block_pools),
        ):
            both = sorted(set(allowed) & set(blocked))
            if both:
                raise ValueError(f"allow_{what} and block_{what} both name {', '.join(both)}")
        return self


class Dropped(StrEnum):
    """Why a pool is left out."""

    FAULTY = "faulty"
    TWICE = "listed_twice"
    POOL_BLOCKED = "pool_blocked"
    TOKEN_BLOCKED = "token_blocked"  # noqa: S105 - the reason's name
    NOT_ALLOWED = "not_allowed"
    TOKEN_UNUSABLE = "token_unusable"  # noqa: S105
    LOOK_ALIKE = "look_alike"
    NO_BASE_TOKEN = "no_base_token"  # noqa: S105
    DEAD_END = "dead_end"
    UNREADABLE = "unreadable"
    UNPRICED = "unpriced"
    THIN = "thin"
    OVER_LIMIT = "over_limit"


@dataclass(frozen=True, slots=True)
class Choice:
    """`kept` in the order of `value` (wei on the thinner side), highest first; `dropped` has all others.

    `asked` is what must be read to know `value`: the pools whose holdings decide.
    """

    kept: tuple[FoundPool, ...]
    value: Mapping[Address, int]
    dropped: tuple[tuple[FoundPool, Dropped], ...]
    asked: tuple[FoundPool, ...]

    def counts(self) -> dict[str, int]:
        """How many were left out, by reason; the most frequent first."""
        return dict(Counter(reason.value for _, reason in self.dropped).most_common())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the filters need besides the pools.

    `bases` are the search's base tokens, `numeraire` the wrapped native coin, `known` the configured tokens, and
    `configured` the (address, token0, token1) of pools that are traded whatever is discovered.
    """

    bases: Sequence[Address]
    numeraire: Address
    known: Mapping[Address, Token]
    configured: Sequence[tuple[Address, Address, Address]] = ()


# ---- symbols

#: Letters of other scripts that look like a Latin one (Unicode's confusables, those that are drawn alike).
_ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХԀԌҮԚԜаеѕіјорсухԁһӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανɑɡıոս",
    "ABESIJKMHOPCTYXDGYQWaesijopcyxdhlABEZHIKMNOPTYXoavaginu",
)


def skeleton(symbol: str) -> str:
    """What a symbol looks like: compatibility forms, case, blanks, marks and look-alike letters taken away."""
    if symbol.isascii():
        return symbol.replace(" ", "").casefold()
    text = unicodedata.normalize("NFKD", symbol).translate(_ALIKE)
    return "".join(
        ch for ch in text if unicodedata.category(ch) not in ("Mn", "Me", "Cf", "Cc", "Zs") and ch != "\ufffd"
    ).casefold()


def is_look_alike(token: FoundToken, known: Mapping[Address, Token]) -> bool:
    """Whether a token not among `known` calls itself what one of them is called."""
    if token.address in known:
        return False
    mine = skeleton(token.symbol)
    return bool(mine) and any(mine == skeleton(other.symbol) for other in known.values())


def label(token: FoundToken, known: Mapping[Address, Token]) -> Token:
    """The token as it enters the model.

    One that borrows a known symbol, or is too long or not plain ASCII, bears the start of its address: "USDC?1f9840".
    """
    if token.address in known:
        return known[token.address]
    symbol = safe_text(token.symbol, SYMBOL_LIMIT)
    if symbol and (not symbol.isascii() or is_look_alike(token, known)):
        symbol = f"{safe_text(token.symbol, _BADGED_LIMIT)}?{token.address[2:8]}"
    return Token(token.address, symbol, token.decimals or 0)


# ---- the filters


def choose(
    pools: Iterable[FoundPool],
    tokens: Mapping[Address, FoundToken],
    holdings: Mapping[Address, Holding],
    policy: DiscoveryPolicy,
    around: Surroundings,
) -> Choice:
    """What is kept and what is not, in two steps for a caller without holdings: `asked` says which ones decide.

    Configured pools are in neither list. `pools` come factory by factory, in the order of the lists.
    """
    dropped: dict[Address, tuple[FoundPool, Dropped]] = {}
    others: list[tuple[FoundPool, Dropped]] = []
    configured = {address for address, _, _ in around.configured}
    alike = _look_alikes(tokens, around, policy)
    rules = _Rules(policy, around, tokens, alike)
    # By address; what shares one with another pool, or with nothing at all, stands apart.
    seen: set[Address] = set()
    candidates: dict[Address, FoundPool] = {}
    for pool in pools:
        if not pool.fault and pool.address in seen:
            others.append((pool, Dropped.TWICE))
            continue
        reason = rules.refuse(pool)
        if reason is Dropped.FAULTY:
            others.append((pool, reason))
            continue
        seen.add(pool.address)
        if reason is None:
            candidates[pool.address] = pool
        else:
            dropped[pool.address] = (pool, reason)
    _prune(candidates, dropped, policy, around)
    asked = tuple(candidates.values())
    prices = _prices(asked, holdings, around)
    value: dict[Address, int] = {}
    always = frozenset(policy.allow_pools)
    for address, pool in list(candidates.items()):
        holding = holdings.get(address)
        worth = _value(pool, holding, prices, around.bases)
        value[address] = worth
        if holding is None or holding.fault:
            _drop(candidates, dropped, address, Dropped.UNREADABLE)
        elif worth < policy.min_liquidity_wei and address not in always and address not in configured:
            priced = any(token in prices for token in (pool.token0, pool.token1))
            _drop(candidates, dropped, address, Dropped.THIN if priced else Dropped.UNPRICED)
    _prune(candidates, dropped, policy, around)
    ranked = sorted(candidates, key=lambda address: (address not in always, -value[address], address))
    mine = [address for address in ranked if address not in configured]
    for address in mine[policy.max_pools :]:
        _drop(candidates, dropped, address, Dropped.OVER_LIMIT)
    _prune(candidates, dropped, policy, around)
    kept = tuple(
        candidates[address]
        for address in sorted(candidates, key=lambda address: (-value[address], address))
        if address not in configured
    )
    left = tuple(entry for entry in dropped.values() if entry[0].address not in configured)
    return Choice(kept, {p.address: value[p.address] for p in kept}, left + tuple(others), asked)


class _Rules:
    """What can be said of a pool by itself."""

    def __init__(
        self,
        policy: DiscoveryPolicy,
        around: Surroundings,
        tokens: Mapping[Address, FoundToken],
        alike: Collection[Address],
    ) -> None:
        self._pools_blocked = frozenset(policy.block_pools)
        self._tokens_blocked = frozenset(policy.block_tokens)
        self._pools_allowed = frozenset(policy.allow_pools)
        self._tokens_allowed = frozenset(policy.allow_tokens) | frozenset(around.bases)
        self._only_allowed = policy.only_allowed
        self._tokens = tokens
        self._known = around.known
        self._alike = alike

    def refuse(self, pool: FoundPool) -> Dropped | None:
        both = (pool.token0, pool.token1)
        if pool.fault:
            return Dropped.FAULTY
        if pool.address in self._pools_blocked:
            return Dropped.POOL_BLOCKED
        if not self._tokens_blocked.isdisjoint(both):
            return Dropped.TOKEN_BLOCKED
        if not all(self._usable(token) for token in both):
            return Dropped.TOKEN_UNUSABLE
        allowed = pool.address in self._pools_allowed
        if self._only_allowed and not (allowed or self._tokens_allowed.issuperset(both)):
            return Dropped.NOT_ALLOWED
        if not allowed and any(token in self._alike for token in both):
            return Dropped.LOOK_ALIKE
        return None

    def _usable(self, token: Address) -> bool:
        if token in self._known:
            return True
        found = self._tokens.get(token)
        return found is not None and not found.fault and found.decimals is not None


def _look_alikes(
    tokens: Mapping[Address, FoundToken], around: Surroundings, policy: DiscoveryPolicy
) -> frozenset[Address]:
    """Tokens that call themselves what a configured one is called, unless allowed by address."""
    names = {skeleton(token.symbol) for token in around.known.values()} - {""}
    fine = around.known.keys() | frozenset(policy.allow_tokens)
    return frozenset(
        address
        for address, token in tokens.items()
        if address not in fine and skeleton(token.symbol) in names
    )


def _drop(
    candidates: dict[Address, FoundPool],
    dropped: dict[Address, tuple[FoundPool, Dropped]],
    address: Address,
    reason: Dropped,
) -> None:
    dropped[address] = (candidates.pop(address), reason)


def _prune(
    candidates: dict[Address, FoundPool],
    dropped: dict[Address, tuple[FoundPool, Dropped]],
    policy: DiscoveryPolicy,
    around: Surroundings,
) -> None:
    """Take out what can be in no cycle through a base token; what is taken out may make others so."""
    bases = frozenset(around.bases)
    # Of a base token one pool alone may matter: conversions to and from the native coin go through it.
    free = bases | {around.numeraire}
    always = frozenset(policy.allow_pools) | {address for address, _, _ in around.configured}
    fixed = [pair for address, *pair in around.configured if address not in candidates]
    while True:
        near = set(bases)
        pools_of: Counter[Address] = Counter()
        for one, other in [(p.token0, p.token1) for p in candidates.values()] + [(a, b) for a, b in fixed]:
            pools_of[one] += 1
            pools_of[other] += 1
            if one in bases:
                near.add(other)
            if other in bases:
                near.add(one)
        gone = []
        for address, pool in candidates.items():
            both = (pool.token0, pool.token1)
            if address in always:
                continue
            if bases.isdisjoint(both) and not near.issuperset(both):
                gone.append((address, Dropped.NO_BASE_TOKEN))
            elif any(pools_of[token] < 2 and token not in free for token in both):
                gone.append((address, Dropped.DEAD_END))
        if not gone:
            return
        for address, reason in gone:
            _drop(candidates, dropped, address, reason)


def _prices(
    pools: Iterable[FoundPool], holdings: Mapping[Address, Holding], around: Surroundings
) -> dict[Address, Fraction]:
    """Wei per base unit of each token that a base token's pool prices, by the deepest such pool.

    Base tokens first, one from another, from the numeraire on; then every other token by a base token.
    """
    bases = frozenset(around.bases) | {around.numeraire}
    sides: defaultdict[Address, list[tuple[FoundPool, Holding]]] = defaultdict(list)
    for pool in pools:
        holding = holdings.get(pool.address)
        if holding is None or holding.fault or not holding.reserve0 or not holding.reserve1:
            continue
        if bases.isdisjoint((pool.token0, pool.token1)):
            continue
        for token in (pool.token0, pool.token1):
            sides[token].append((pool, holding))
    prices: dict[Address, Fraction] = {around.numeraire: Fraction(1)}
    for among in (bases, sides.keys()):
        waiting = sorted(among - prices.keys())
        while waiting:
            found: dict[Address, tuple[Fraction, Fraction]] = {}
            for token in waiting:
                for pool, holding in sides.get(token, ()):
                    other = pool.token1 if token == pool.token0 else pool.token0
                    if other not in prices or other not in bases:
                        continue
                    held, mine, theirs = (
                        (holding.held1, holding.reserve0, holding.reserve1)
                        if token == pool.token0
                        else (holding.held0, holding.reserve1, holding.reserve0)
                    )
                    depth = held * prices[other]
                    if token not in found or depth > found[token][0]:
                        found[token] = (depth, Fraction(theirs, mine) * prices[other])
            if not found:
                break
            prices |= {token: price for token, (_, price) in found.items()}
            waiting = [token for token in waiting if token not in prices]
    return prices


def _value(
    pool: FoundPool, holding: Holding | None, prices: Mapping[Address, Fraction], bases: Sequence[Address]
) -> int:
    """Wei of the thinner side; of a base token's side alone where there is one, as its price is known best."""
    if holding is None or holding.fault:
        return 0
    sides = [(pool.token0, holding.held0), (pool.token1, holding.held1)]
    counted = [side for side in sides if side[0] in bases] or sides
    # A side that nothing prices is worth nothing here.
    return min(int(held * prices.get(token, Fraction(0))) for token, held in counted)

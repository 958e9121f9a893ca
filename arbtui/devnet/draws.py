"""What the local chain's traders will do, as a pure function of a seed and the list of pools.

The traders follow prices of an imagined world outside (a walk of its own), push single pools away from them and
bring them back some ticks later. They know nothing of lenders, of an engine, or of what happened on the chain.
A tick is one block seen.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

from arbtui.devnet import plan
from arbtui.devnet.book import AddressBook
from arbtui.units import GWEI, PPM, Address

LOWEST_BASE_FEE = 5 * GWEI
HIGHEST_BASE_FEE = 60 * GWEI
#: Micro-dollars in a dollar: the unit of reference prices.
MICRO = 1_000_000
_STABLE = frozenset({plan.USDC, plan.DAI, plan.USDT})


@dataclass(frozen=True, slots=True)
class Venue:
    """A pool as the traders know it."""

    address: Address
    kind: str
    symbol0: str
    symbol1: str
    fee_ppm: int

    @property
    def pair(self) -> frozenset[str]:
        return frozenset({self.symbol0, self.symbol1})


@dataclass(frozen=True, slots=True)
class Draw:
    """At `tick`, trader `opener` brings `pool` to `offset_ppm` off the reference; at `tick + lifetime`, `closer`
    brings it back to the reference of that tick. Traders are indices; tips are wei per gas.
    """

    tick: int
    pool: Address
    offset_ppm: int
    lifetime: int
    opener: int
    opener_tip: int
    closer: int
    closer_tip: int


@dataclass(frozen=True, slots=True)
class Upkeep:
    """A trader brings a pool that nobody has pushed away to the reference."""

    pool: Address
    trader: int
    tip: int


@dataclass(frozen=True, slots=True)
class Tick:
    """All of one tick. `base_fee` (wei) is for the block after the one that is seen."""

    number: int
    base_fee: int
    references: Mapping[str, int]
    opens: tuple[Draw, ...]
    closes: tuple[Draw, ...]
    upkeep: tuple[Upkeep, ...]


@dataclass(frozen=True, slots=True)
class _Card:
    """One kind of dislocation; `pair` None means any pool. Bounds are inclusive."""

    pair: frozenset[str] | None
    offset_ppm: tuple[int, int]
    lifetime: tuple[int, int]


_DAI_WETH = frozenset({plan.DAI, plan.WETH})
_WETH_USDC = frozenset({plan.WETH, plan.USDC})
_WBTC_USDT = frozenset({plan.WBTC, plan.USDT})
_WBTC_WETH = frozenset({plan.WBTC, plan.WETH})

_BAR_TICKS = 8
#: Dealt anew every `_BAR_TICKS` ticks, each card near its own place in the bar, so that no pair is quiet for long.
_DECK = (
    _Card(_DAI_WETH, (17_000, 22_000), (2, 6)),
    _Card(_DAI_WETH, (20_000, 29_000), (3, 8)),
    _Card(_WETH_USDC, (11_000, 16_000), (2, 6)),
    _Card(_WETH_USDC, (12_000, 18_000), (2, 8)),
    _Card(_WETH_USDC, (25_000, 32_000), (3, 10)),
    _Card(_WBTC_USDT, (15_000, 20_000), (2, 6)),
    _Card(_WBTC_USDT, (18_000, 27_000), (3, 8)),
    _Card(_WBTC_WETH, (17_000, 25_000), (2, 6)),
    _Card(None, (1_000, 4_000), (2, 10)),
    _Card(None, (1_000, 4_000), (2, 10)),
    _Card(None, (8_000, 20_000), (1, 1)),
)
#: One of these besides in every second bar.
_LONG = _Card(None, (8_000, 20_000), (30, 60))
_UPKEEP_A_TICK = 2


def venues(book: AddressBook) -> tuple[Venue, ...]:
    """The pools of a book, with the symbols of their tokens."""
    symbols = {token.address: token.symbol for token in book.tokens}
    return tuple(
        Venue(pool.address, pool.kind, symbols[pool.token0], symbols[pool.token1], pool.fee_ppm)
        for pool in book.pools
    )


def ticks(seed: int, pools: Sequence[Venue]) -> Iterator[Tick]:
    """Endless ticks, from 0."""
    dealer = _Dealer(seed, pools)
    prices = _references(random.Random(f"references:{seed}"))
    fees = base_fees(seed)
    for number in count():
        opens, closes, upkeep = dealer.deal(number)
        yield Tick(number, next(fees), next(prices), opens, closes, upkeep)


def draws(seed: int, pools: Sequence[Venue]) -> Iterator[Draw]:
    """The dislocations alone, in order of their ticks."""
    for tick in ticks(seed, pools):
        yield from tick.opens


def first_draws(seed: int, pools: Sequence[Venue], number_of_ticks: int) -> tuple[Draw, ...]:
    """The dislocations that open in the first ticks."""
    return tuple(draw for tick in islice(ticks(seed, pools), number_of_ticks) for draw in tick.opens)


def base_fees(seed: int) -> Iterator[int]:
    """A walk between 5 and 60 gwei: steps up to 6 %, now and then up to 12 %, drawn back towards 20 gwei."""
    rng = random.Random(f"base fee:{seed}")
    fee = 20 * GWEI
    while True:
        bound = 120_000 if rng.random() < 0.04 else 60_000
        pull = (20 * GWEI - fee) * 10_000 // (20 * GWEI)
        step = max(-bound, min(bound, rng.randint(-bound, bound) + pull))
        fee = max(LOWEST_BASE_FEE, min(HIGHEST_BASE_FEE, fee * (PPM + step) // PPM))
        yield fee


def _references(rng: random.Random) -> Iterator[dict[str, int]]:
    """Micro-dollars a token: a walk of about 0.02 % a tick for what floats, of some ppm for what does not."""
    deviations = {token.symbol: 0 for token in plan.TOKENS}
    while True:
        market = rng.randint(-300, 300)
        for token in plan.TOKENS:
            old = deviations[token.symbol]
            if token.symbol in _STABLE:
                step = rng.randint(-15, 15) - old // 20
            else:
                step = market + rng.randint(-150, 150) - old // 200
            deviations[token.symbol] = old + step
        yield {t.symbol: t.usd * MICRO * (PPM + deviations[t.symbol]) // PPM for t in plan.TOKENS}


class _Dealer:
    """Deals the deck over the bars and keeps count of which pools are pushed away."""

    def __init__(self, seed: int, pools: Sequence[Venue]) -> None:
        self._rng = random.Random(f"draws:{seed}")
        self._pools = tuple(pools)
        self._deck = list(_DECK)
        self._rng.shuffle(self._deck)
        self._hand: dict[int, list[_Card]] = {}
        #: Cards for which no pool was free, oldest first.
        self._waiting: list[_Card] = []
        self._closes: dict[int, list[Draw]] = {}
        #: Pool → the tick from which it is free again.
        self._busy: dict[Address, int] = {}
        self._rounds: list[Address] = []

    def deal(self, tick: int) -> tuple[tuple[Draw, ...], tuple[Draw, ...], tuple[Upkeep, ...]]:
        if tick % _BAR_TICKS == 0:
            self._new_bar(tick)
        closes = tuple(self._closes.pop(tick, ()))
        cards, self._waiting = self._waiting + self._hand.pop(tick, []), []
        opens = []
        for card in cards:
            draw = self._draw(tick, card)
            if draw is not None:
                opens.append(draw)
            elif card not in self._waiting:
                self._waiting.append(card)
        return tuple(opens), closes, self._upkeep(tick)

    def _new_bar(self, tick: int) -> None:
        cards = self._deck + [_LONG] * (tick // _BAR_TICKS % 2 == 0)
        for number, card in enumerate(cards):
            place = number * _BAR_TICKS // len(cards) + self._rng.randint(-1, 1)
            self._hand.setdefault(tick + max(0, min(_BAR_TICKS - 1, place)), []).append(card)

    def _free(self, tick: int, pair: frozenset[str] | None) -> list[Venue]:
        """Pools that a card may push; one for any pair leaves that pair another free pool."""
        free = [
            pool
            for pool in self._pools
            if self._busy.get(pool.address, -1) < tick and not pool.pair <= _STABLE
        ]
        if pair is not None:
            return [pool for pool in free if pool.pair == pair]
        left = Counter(pool.pair for pool in free)
        return [pool for pool in free if left[pool.pair] > 1]

    def _draw(self, tick: int, card: _Card) -> Draw | None:
        rng = self._rng
        free = self._free(tick, card.pair)
        if not free:
            return None
        choice, sign = rng.random(), rng.choice((-1, 1))
        offset, lifetime = rng.randint(*card.offset_ppm), rng.randint(*card.lifetime)
        opener, opener_tip = self._someone()
        closer, closer_tip = self._someone()
        pool = free[int(choice * len(free))]
        draw = Draw(tick, pool.address, sign * offset, lifetime, opener, opener_tip, closer, closer_tip)
        self._busy[pool.address] = tick + lifetime
        self._closes.setdefault(tick + lifetime, []).append(draw)
        return draw

    def _upkeep(self, tick: int) -> tuple[Upkeep, ...]:
        if len(self._rounds) < _UPKEEP_A_TICK:
            order = [pool.address for pool in self._pools]
            self._rng.shuffle(order)
            self._rounds = order + self._rounds
        out = []
        for _ in range(_UPKEEP_A_TICK):
            pool = self._rounds.pop()
            trader, tip = self._someone()
            if self._busy.get(pool, -1) < tick:
                out.append(Upkeep(pool, trader, tip))
        return tuple(out)

    def _someone(self) -> tuple[int, int]:
        return self._rng.randrange(len(plan.TRADERS)), self._rng.randint(50, 300) * GWEI // 100

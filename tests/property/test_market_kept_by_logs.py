"""Pools kept by the logs of real blocks: every predicted swap, every block's state, and a fresh read must be one.

Each block holds several transactions. What a Swap event must say is predicted from the state kept so far; ticks are
kept a second time, in books of the positions themselves, which share no code with the pools.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import settings

from arbtui.abi import decode, encode_call, topic
from arbtui.domain import BlockRef, Log
from arbtui.market import (
    Applied,
    MarketState,
    NotConnected,
    Pool,
    SwapReverts,
    Tracker,
    UniswapV2Pool,
    UniswapV3Pool,
)
from arbtui.market.tick_math import MAX_SQRT_RATIO, MAX_TICK, MIN_SQRT_RATIO, MIN_TICK, sqrt_ratio_at_tick
from arbtui.market.uniswap_v3 import BEYOND_WINDOW
from arbtui.units import Address, Ppm, parse_address
from tests.bare_chain import ON_A_CHAIN, TRADER, V2_FACTORY, V3_FACTORY, Chain, bare_chain, two_tokens

pytestmark = ON_A_CHAIN

#: A family's random swaps: 1,000 in the suite, 10,000 in `make deep`.
SWAPS = 10_000 if settings().max_examples > 1_000 else 1_000
_BLOCK = 12
#: (fee, tick spacing, first tick, unit of liquidity); the last two tiers are enabled by the test.
TIERS = (
    (100, 1, 0, 10**18),
    (500, 10, 197_226, 10**17),
    (3000, 60, -12_345, 10**21),
    (10_000, 200, 65_000, 2**104),
    (777, 37, -250_000, 997),
    (400_000, 1_000, 300, 10**12),
)
SWAPPED = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with bare_chain(tmp_path_factory.mktemp("anvil")) as running:
        yield running


@pytest.fixture(scope="module")
def trader(chain: Chain) -> Address:
    return chain.deploy(TRADER)


@pytest.fixture(scope="module")
def v3_factory(chain: Chain) -> Address:
    factory = chain.deploy(V3_FACTORY)
    for fee, spacing, _, _ in (TIERS[0], *TIERS[4:]):
        chain.send(factory, encode_call("enableFeeAmount(uint24,int24)", fee, spacing))
    return factory


@dataclass
class Books:
    """One V3 pool's positions, and what ticks and liquidity follow from them by the whitepaper alone."""

    pool: UniswapV3Pool
    unit: int
    positions: list[tuple[int, int, int]] = field(default_factory=list)

    def kept(self) -> UniswapV3Pool:
        nets: defaultdict[int, int] = defaultdict(int)
        gross: defaultdict[int, int] = defaultdict(int)
        for low, high, liquidity in self.positions:
            nets[low] += liquidity
            nets[high] -= liquidity
            gross[low] += liquidity
            gross[high] += liquidity
        here = sum(some for low, high, some in self.positions if low <= self.pool.tick < high)
        return replace(
            self.pool,
            liquidity=here,
            ticks=tuple(sorted(nets.items())),
            gross=tuple(gross[index] for index in sorted(gross)),
        )


class Market:
    """Real pools, the tracker under test over them, and one more that reads windows alone."""

    def __init__(self, chain: Chain, trader: Address, factory: Address, seed: int) -> None:
        self.chain, self.trader = chain, trader
        self.rng = random.Random(seed)
        self.books: dict[Address, Books] = {}
        self.queue: list[tuple[str, bytes]] = []
        self.expected: list[tuple[Address, int, int, int, int, int]] = []
        self.swaps = self.crossed = self.beyond = self.reread = 0
        for fee, spacing, _, unit in TIERS:
            token0, token1 = two_tokens(chain, [trader])
            chain.send(factory, encode_call("createPool(address,address,uint24)", token0, token1, fee))
            word = chain.call(factory, encode_call("getPool(address,address,uint24)", token0, token1, fee))
            address = parse_address("0x" + word[12:].hex())
            pool = UniswapV3Pool.unread(address, "uniswap", token0, token1, Ppm(fee), spacing, None)
            self.books[address] = Books(pool, unit)
        # Not even initialised: all that follows is known from logs.
        pools: dict[Address, Pool] = {address: book.pool for address, book in self.books.items()}
        self.tracker = Tracker(MarketState(chain.head(), {}, pools))
        for (_, spacing, tick, unit), (address, book) in zip(TIERS, self.books.items(), strict=True):
            price = sqrt_ratio_at_tick(tick) + 12_345
            book.pool = book.pool.at_price(price, tick, 0)
            self.queue.append((address, encode_call("initialize(uint160)", price)))
            base = tick // spacing
            for low, high, share in ((-300, 300, 8), (-40, 40, 30), (-7, 3, 50), (2, 9, 20), (-900, -600, 5)):
                edges = (base + low) * spacing, (base + high) * spacing
                if edges[0] >= MIN_TICK and edges[1] <= MAX_TICK:
                    self.mint(address, *edges, unit * share)
        self.block()
        windowed = {address: replace(book.pool, reach=1) for address, book in self.books.items()}
        self.windowed = Tracker(
            MarketState(
                chain.head(), {}, {address: chain.read(pool)[0] for address, pool in windowed.items()}
            )
        )

    def mint(self, address: Address, low: int, high: int, liquidity: int) -> None:
        call = encode_call("mintV3(address,int24,int24,uint128)", address, low, high, liquidity)
        self.queue.append((self.trader, call))
        book = self.books[address]
        book.positions.append((low, high, liquidity))
        book.pool = book.kept()

    def burn(self, address: Address, number: int, liquidity: int) -> None:
        book = self.books[address]
        low, high, there = book.positions.pop(number)
        self.queue.append((address, encode_call("burn(int24,int24,uint128)", low, high, liquidity)))
        if there > liquidity:
            book.positions.append((low, high, there - liquidity))
        book.pool = book.kept()

    def swap(self, address: Address, down: bool, amount: int, exact_in: bool) -> None:
        book = self.books[address]
        pool = book.pool
        token_in = pool.token0 if down else pool.token1
        try:
            done = pool.swap_exact_in(token_in, amount) if exact_in else pool.swap_exact_out(token_in, amount)
        except SwapReverts as revert:
            assert revert.reason == "SPL"  # noqa: PT017
            return
        after = done.after
        assert isinstance(after, UniswapV3Pool)
        words = abs(after.tick // pool.tick_spacing - pool.tick // pool.tick_spacing) >> 8
        if words > 4_000:
            return
        if words > 60:
            self.block()
        limit = MIN_SQRT_RATIO + 1 if down else MAX_SQRT_RATIO - 1
        call = encode_call(
            "swapV3(address,bool,int256,uint160)", address, down, amount if exact_in else -amount, limit
        )
        self.queue.append((self.trader, call))
        amounts = (done.amount_in, -done.amount_out) if down else (-done.amount_out, done.amount_in)
        self.expected.append((address, *amounts, after.sqrt_price_x96, after.liquidity, after.tick))
        if exact_in and done.amount_in == amount:
            assert pool.quote_out(token_in, amount) == done.amount_out
        self.within_window(pool, token_in, amount, exact_in, done.amount_out)
        low, high = sorted((pool.tick, after.tick))
        self.crossed += sum(1 for index, _ in pool.ticks if low < index <= high)
        book.pool = after
        self.swaps += 1
        if words > 60:
            self.block()

    def within_window(
        self, pool: UniswapV3Pool, token_in: Address, amount: int, exact_in: bool, out: int
    ) -> None:
        """A pool of which only a window is known says the same, or that it does not know."""
        kept = self.windowed.state.pools[pool.address] if hasattr(self, "windowed") else None
        if not isinstance(kept, UniswapV3Pool) or (kept.sqrt_price_x96, kept.liquidity) != (
            pool.sqrt_price_x96,
            pool.liquidity,
        ):
            return
        ticks = [tick for tick in pool.ticks if kept.window and kept.window[0] <= tick[0] <= kept.window[1]]
        if kept.window is not None and list(kept.ticks) != ticks:
            return
        try:
            done = kept.swap_exact_in(token_in, amount) if exact_in else kept.swap_exact_out(token_in, amount)
        except SwapReverts as revert:
            assert revert.reason == BEYOND_WINDOW  # noqa: PT017
            self.beyond += 1
        else:
            assert done.amount_out == out

    def move(self, address: Address, price: int) -> None:
        """A swap to an exact price, in a block of its own; only the logs tell where it ended."""
        self.block()
        pool = self.books[address].pool
        if abs((pool.tick >> 8) - (self._tick_near(price) >> 8)) // pool.tick_spacing > 4_000:
            return
        down = price < pool.sqrt_price_x96
        self.queue.append(
            (
                self.trader,
                encode_call("swapV3(address,bool,int256,uint160)", address, down, 2**250, price),
            )
        )
        self.block(check_books=False)
        after = self.tracker.state.pools[address]
        assert isinstance(after, UniswapV3Pool)
        assert after.sqrt_price_x96 == price
        self.books[address].pool = after

    @staticmethod
    def _tick_near(price: int) -> int:
        return int((price.bit_length() - 97) * 13_863)

    def block(self, check_books: bool = True) -> None:
        """Mine what is queued; what the events say, the books and the tracker must agree."""
        if not self.queue:
            return
        block = self.chain.mine(self.queue)
        logs = self.chain.logs(block)
        seen = []
        for log in logs:
            if log.topics[0] == SWAPPED:
                values = decode(["int256", "int256", "uint160", "uint128", "int24"], log.data)
                seen.append((log.address, *values))
        if check_books:
            assert seen == self.expected
        self.take(self.tracker, block, logs)
        if check_books:
            for address, book in self.books.items():
                assert self.tracker.state.pools[address] == book.pool
        if hasattr(self, "windowed"):
            applied = self.take(self.windowed, block, logs)
            if applied.reread:
                assert applied.reread == self.windowed.reread
                fresh = {
                    address: self.chain.read(self.windowed.state.pools[address])[0]
                    for address in applied.reread
                }
                assert self.windowed.compare(fresh) == {}
                self.windowed.heal(fresh)
                assert not self.windowed.reread
                self.reread += len(fresh)
        self.queue, self.expected = [], []

    def take(self, tracker: Tracker, block: BlockRef, logs: Sequence[Log]) -> Applied:
        """In any order, some twice."""
        mixed = [*logs, *self.rng.sample(logs, len(logs) // 3)]
        self.rng.shuffle(mixed)
        applied = tracker.apply(block, mixed)
        assert applied.drifted == {}
        assert tracker.apply(block, mixed).changed == frozenset()
        return applied

    def equals_a_fresh_read(self) -> None:
        for tracker in (self.tracker, self.windowed):
            fresh = {address: self.chain.read(pool)[0] for address, pool in tracker.state.pools.items()}
            assert tracker.compare(fresh) == {}
            if tracker is self.tracker:
                assert fresh == tracker.state.pools

    def step(self) -> None:
        """One random thing somebody might do."""
        rng = self.rng
        address = rng.choice(list(self.books))
        book = self.books[address]
        pool, spacing = book.pool, book.pool.tick_spacing
        most = (2**128 - 1) // (2 * MAX_TICK // spacing + 1) // 64
        what = rng.random()
        if what < 0.10:
            low = pool.tick // spacing + rng.randint(-300, 200)
            high = low + rng.randint(1, 300)
            if rng.random() < 0.4:
                # From or to the first and last ticks of bitmap words.
                low, high = (low >> 8) * 256 - rng.randint(0, 1), ((high >> 8) + 1) * 256 - rng.randint(0, 1)
            if rng.random() < 0.1:
                low, high = -(MAX_TICK // spacing), MAX_TICK // spacing
            low, high = max(low, -(MAX_TICK // spacing)), min(high, MAX_TICK // spacing)
            if low < high and len(book.positions) < 40:
                amount = rng.choice((1, 2, book.unit, book.unit * rng.randint(1, 40)))
                self.mint(address, low * spacing, high * spacing, min(amount, most))
        elif what < 0.19 and len(book.positions) > 2:
            number = rng.randrange(1, len(book.positions))
            there = book.positions[number][2]
            self.burn(address, number, rng.choice((there, there, there // 2, 0)))
        elif what < 0.21:
            word = (pool.tick // spacing >> 8) + rng.randint(-1, 2)
            edge = min(max((word * 256 - rng.randint(0, 1)) * spacing, MIN_TICK + 1), MAX_TICK - 1)
            self.move(address, sqrt_ratio_at_tick(edge) + rng.choice((-1, 0, 1)))
        else:
            self.random_swap(address)
        if len(self.queue) >= _BLOCK:
            self.block()

    def random_swap(self, address: Address) -> None:
        rng, pool = self.rng, self.books[address].pool
        centre = TIERS[list(self.books).index(address)][2]
        # Mostly back towards where the liquidity is.
        down = rng.random() < (0.75 if pool.tick > centre else 0.25)
        if pool.sqrt_price_x96 in (MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1):
            down = pool.sqrt_price_x96 > MIN_SQRT_RATIO + 1
        exact_in = rng.random() < 0.5
        kind = rng.random()
        if kind < 0.35:
            # A unit to each side of what completes one of the next steps.
            sums = whole_steps(pool, down, 6)[1 if not exact_in else 0]
            amount = rng.choice(sums) + rng.randint(-1, 1)
        elif kind < 0.45:
            amount = rng.randint(1, 3)
        elif kind < 0.47:
            amount = 2 ** rng.randint(90, 180)
        else:
            given = exact_in == down
            liquidity, price = max(pool.liquidity, self.books[address].unit), pool.sqrt_price_x96
            reserve = (liquidity << 96) // price if given else liquidity * price >> 96
            amount = int(reserve * 10 ** rng.uniform(-6, 0.1)) + rng.randint(1, 3)
        if amount > 0:
            self.swap(address, down, amount, exact_in)


def whole_steps(pool: UniswapV3Pool, down: bool, steps: int) -> tuple[list[int], list[int]]:
    """(input, output) sums that complete the next steps of a swap: where rounding decides."""
    ladder = pool._ladder(down)
    for sum_in in range(steps):
        if len(ladder.ins) > sum_in + 1:
            continue
        try:
            ladder.reach(ladder.ins, ladder.ins[-1] + 1)
        except SwapReverts:
            break
    return ladder.ins[: steps + 1], ladder.outs[: steps + 1]


def test_v3_pools_kept_by_logs_are_the_chains(chain: Chain, trader: Address, v3_factory: Address) -> None:
    market = Market(chain, trader, v3_factory, 20_261_126)
    market.equals_a_fresh_read()
    again = SWAPS // 8
    while market.swaps < SWAPS:
        market.step()
        if market.swaps >= again:
            again += SWAPS // 8
            market.block()
            market.equals_a_fresh_read()
    # Every position closed: no tick is left.
    for address, book in market.books.items():
        while book.positions:
            market.burn(address, 0, book.positions[0][2])
            if len(market.queue) >= _BLOCK:
                market.block()
    market.block()
    market.equals_a_fresh_read()
    for pool in market.tracker.state.pools.values():
        assert isinstance(pool, UniswapV3Pool)
        assert (pool.ticks, pool.gross, pool.liquidity) == ((), (), 0)
    assert market.crossed > SWAPS, "the swaps must cross initialised ticks"
    assert market.beyond > 10, "and leave windows"
    assert market.reread > 10, "which are then read anew"


def test_v3_amounts_at_every_step_boundary(chain: Chain, trader: Address, v3_factory: Address) -> None:
    """Quoter-style: the real pool is asked for a unit below, at, and above what completes each of the next steps."""
    market = Market(chain, trader, v3_factory, 7)
    asked = 0
    for _ in range(7):
        for _ in range(25):
            market.step()
        market.block()
        calls: list[tuple[str, bytes]] = []
        expected: list[tuple[int, int] | None] = []
        for address, book in market.books.items():
            for down in (True, False):
                ins, outs = whole_steps(book.pool, down, 12)
                limit = MIN_SQRT_RATIO + 1 if down else MAX_SQRT_RATIO - 1
                for exact_in, sums in ((True, ins), (False, outs)):
                    for amount in sorted({some + by for some in sums for by in (-1, 0, 1)}):
                        if amount <= 0:
                            continue
                        token = book.pool.token0 if down else book.pool.token1
                        swap = book.pool.swap_exact_in if exact_in else book.pool.swap_exact_out
                        try:
                            done = swap(token, amount)
                        except SwapReverts as revert:
                            assert revert.reason == "SPL"  # noqa: PT017
                            expected.append((0, 0))
                        else:
                            pair = (done.amount_in, -done.amount_out)
                            expected.append(pair if down else (pair[1], pair[0]))
                        calls.append(
                            (
                                trader,
                                encode_call(
                                    "swapV3(address,bool,int256,uint160)",
                                    address,
                                    down,
                                    amount if exact_in else -amount,
                                    limit,
                                ),
                            )
                        )
        for (_, call), answer, wanted in zip(calls, chain.calls(calls), expected, strict=True):
            assert answer is not None, call.hex()
            assert tuple(decode(["int256", "int256"], answer)) == wanted, call.hex()
        asked += len(calls)
    assert asked > 2_000


def test_a_reorg_of_real_blocks_is_followed(chain: Chain, trader: Address, v3_factory: Address) -> None:
    market = Market(chain, trader, v3_factory, 11)
    for depth in (1, 3, 12, 64, 65):
        mark = chain.rpc("evm_snapshot")
        fork = market.tracker.head
        before = dict(market.tracker.state.pools)
        books = {address: (book.pool, list(book.positions)) for address, book in market.books.items()}
        # A long swap has a block of its own, so one round can make three.
        while market.tracker.head.number < fork.number + depth - 3:
            market.random_swap(market.rng.choice(list(market.books)))
            if market.rng.random() < 0.3:
                address = market.rng.choice(list(market.books))
                spacing = market.books[address].pool.tick_spacing
                low = market.books[address].pool.tick // spacing * spacing
                if low >= MIN_TICK and low + 3 * spacing <= MAX_TICK:
                    market.mint(address, low, low + 3 * spacing, market.books[address].unit)
            market.block()
        while market.tracker.head.number < fork.number + depth:
            address = market.rng.choice(list(market.books))
            pool = market.books[address].pool
            market.queue.append((address, encode_call("increaseObservationCardinalityNext(uint16)", 2)))
            market.swap(address, pool.sqrt_price_x96 > 2**96, 1000, True)
            market.block()
        assert market.tracker.head.number == fork.number + depth
        changed = {address for address, pool in market.tracker.state.pools.items() if pool != before[address]}
        assert changed
        assert chain.rpc("evm_revert", mark)
        assert chain.head().hash == fork.hash
        if depth > 64:
            head = market.tracker.head
            with pytest.raises(NotConnected, match="not among the last 64"):
                market.tracker.rollback(fork.hash)
            assert market.tracker.head == head
            return
        for tracker in (market.tracker, market.windowed):
            assert tracker.rollback(fork.hash) >= (changed if tracker is market.tracker else frozenset())
            assert tracker.state.block == fork
        assert market.tracker.state.pools == before
        for address, (pool, positions) in books.items():
            market.books[address].pool, market.books[address].positions = pool, positions
        market.equals_a_fresh_read()


def test_v2_pairs_kept_by_logs_are_the_chains(chain: Chain) -> None:
    rng = random.Random(20_261_127)
    factory = chain.deploy(V2_FACTORY, bytes(32))
    pairs: dict[Address, UniswapV2Pool] = {}
    for depth0, depth1 in (
        (5_000_003, 9 * 10**21 + 7),
        (10**24, 3 * 10**24),
        (1_001, 10**12),
        (2**111, 2**110),
    ):
        token0, token1 = two_tokens(chain, [])
        chain.send(factory, encode_call("createPair(address,address)", token0, token1))
        word = chain.call(factory, encode_call("getPair(address,address)", token0, token1))
        pair = parse_address("0x" + word[12:].hex())
        pairs[pair] = UniswapV2Pool(pair, "uniswap", token0, token1, Ppm(3000), 0, 0)
        for token, amount in ((token0, depth0), (token1, depth1)):
            chain.send(token, encode_call("transfer(address,uint256)", pair, amount))
    tracker = Tracker(MarketState(chain.head(), {}, dict(pairs)))
    queue: list[tuple[str, bytes]] = [(pair, encode_call("mint(address)", chain.me)) for pair in pairs]
    known = dict(pairs)
    predicted: dict[Address, UniswapV2Pool] = {}
    swaps = refused = 0

    def pay(token: Address, pair: Address, amount: int) -> None:
        queue.append((token, encode_call("transfer(address,uint256)", pair, amount)))

    while True:
        block = chain.mine(queue)
        logs = chain.logs(block)
        rng.shuffle(logs)
        assert tracker.apply(block, [*logs, *logs[:3]]).drifted == {}
        for pair, pool in tracker.state.pools.items():
            assert isinstance(pool, UniswapV2Pool)
            if pair in predicted:
                assert pool == predicted[pair]
            known[pair] = pool
        queue.clear()
        predicted.clear()
        if swaps >= SWAPS:
            break
        for pair, pool in known.items():
            if rng.random() < 0.05:
                held = int.from_bytes(chain.call(pair, encode_call("balanceOf(address)", chain.me)))
                queue.append((pair, encode_call("transfer(address,uint256)", pair, held // 10)))
                queue.append((pair, encode_call("burn(address)", chain.me)))
                continue
            if rng.random() < 0.05:
                # What is given away counts only once somebody syncs.
                pay(pool.token0, pair, rng.randint(1, 10**6))
                undone = rng.choice((encode_call("sync()"), encode_call("skim(address)", chain.me)))
                queue.append((pair, undone))
                continue
            for _ in range(rng.randint(1, 4)):
                token_in, token_out = rng.choice([(pool.token0, pool.token1), (pool.token1, pool.token0)])
                r_in, r_out = pool.virtual_reserves(token_in)
                exact_in = rng.random() < 0.5
                share = 10 ** rng.uniform(-7, -0.2)
                try:
                    done = (
                        pool.swap_exact_in(token_in, int(r_in * share) + 1)
                        if exact_in
                        else pool.swap_exact_out(token_in, int(r_out * share) + 1)
                    )
                except SwapReverts as revert:
                    assert revert.reason in ("INSUFFICIENT_OUTPUT_AMOUNT", "OVERFLOW")  # noqa: PT017
                    refused += 1
                    continue
                pay(token_in, pair, done.amount_in)
                outs = (0, done.amount_out) if token_out == pool.token1 else (done.amount_out, 0)
                queue.append((pair, encode_call("swap(uint256,uint256,address,bytes)", *outs, chain.me, b"")))
                assert isinstance(done.after, UniswapV2Pool)
                pool = predicted[pair] = done.after
                swaps += 1
    fresh = {pair: chain.read(pool)[0] for pair, pool in pairs.items()}
    assert tracker.compare(fresh) == {}
    assert fresh == tracker.state.pools
    assert refused > 0

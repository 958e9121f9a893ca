"""Our pools against the real contracts' bytecode on a private anvil: amounts, price, tick, liquidity, reserves."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import pytest

from arbtui.abi import decode, encode_call, selector, topic
from arbtui.domain import CallResult
from arbtui.errors import MalformedAnswer
from arbtui.market import SwapReverts, UniswapV2Pool, UniswapV3Pool, with_answers
from arbtui.market.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, sqrt_ratio_at_tick
from arbtui.market.uniswap_v3 import BEYOND_WINDOW
from arbtui.units import Address, Ppm, parse_address
from tests.bare_chain import ON_A_CHAIN, TRADER, V2_FACTORY, V3_FACTORY, Chain, bare_chain, two_tokens

pytestmark = ON_A_CHAIN


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with bare_chain(tmp_path_factory.mktemp("anvil")) as running:
        yield running


class V3:
    """A real pool, and the ticks that our own book-keeping of mints and burns says it has."""

    def __init__(
        self, chain: Chain, trader: Address, factory: Address, fee: int, spacing: int, tick: int
    ) -> None:
        self.chain, self.trader, self.spacing = chain, trader, spacing
        token0, token1 = two_tokens(chain, [trader])
        chain.send(factory, encode_call("createPool(address,address,uint24)", token0, token1, fee))
        word = chain.call(factory, encode_call("getPool(address,address,uint24)", token0, token1, fee))
        address = parse_address("0x" + word[12:].hex())
        chain.send(address, encode_call("initialize(uint160)", sqrt_ratio_at_tick(tick) + 12345))
        self.pool = UniswapV3Pool.unread(address, "uniswap", token0, token1, Ppm(fee), spacing)
        self.nets: defaultdict[int, int] = defaultdict(int)
        self.positions: list[tuple[int, int, int]] = []
        self.sync()

    def sync(self) -> None:
        """Price and liquidity from the chain, ticks from our own books; the reader must agree with the books."""
        read, _ = self.chain.read(self.pool)
        assert isinstance(read, UniswapV3Pool)
        ticks = tuple(sorted((index, net) for index, net in self.nets.items() if net or self._gross(index)))
        low, high = read.window or (-(2**24), 2**24)
        assert read.ticks == tuple((index, net) for index, net in ticks if low <= index <= high)
        self.pool = replace(read, ticks=ticks, window=None)
        self.windowed = read

    def _gross(self, index: int) -> int:
        return sum(liquidity for low, high, liquidity in self.positions if index in (low, high))

    def mint(self, low: int, high: int, liquidity: int) -> None:
        call = encode_call("mintV3(address,int24,int24,uint128)", self.pool.address, low, high, liquidity)
        self.chain.send(self.trader, call)
        self.nets[low] += liquidity
        self.nets[high] -= liquidity
        self.positions.append((low, high, liquidity))
        self.sync()

    def burn(self, number: int) -> None:
        low, high, liquidity = self.positions.pop(number)
        self.chain.send(self.pool.address, encode_call("burn(int24,int24,uint128)", low, high, liquidity))
        self.nets[low] -= liquidity
        self.nets[high] += liquidity
        self.sync()

    def swap(self, zero_for_one: bool, amount: int, exact_in: bool) -> int:
        """Swap on both; everything that the Swap event tells must agree. Returns the ticks crossed."""
        pool = self.pool
        token_in = pool.token0 if zero_for_one else pool.token1
        ours = pool.swap_exact_in(token_in, amount) if exact_in else pool.swap_exact_out(token_in, amount)
        limit = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        receipt = self.chain.send(
            self.trader,
            encode_call(
                "swapV3(address,bool,int256,uint160)",
                pool.address,
                zero_for_one,
                amount if exact_in else -amount,
                limit,
            ),
        )
        event = topic("Swap(address,address,int256,int256,uint160,uint128,int24)")
        log = next(entry for entry in receipt["logs"] if entry["topics"][0] == event)
        amount0, amount1, price, liquidity, tick = decode(
            ["int256", "int256", "uint160", "uint128", "int24"], bytes.fromhex(log["data"][2:])
        )
        theirs = (amount0, -amount1) if zero_for_one else (amount1, -amount0)
        after = ours.after
        assert isinstance(after, UniswapV3Pool)
        assert (ours.amount_in, ours.amount_out) == theirs
        assert (after.sqrt_price_x96, after.tick, after.liquidity) == (price, tick, liquidity)
        if exact_in and ours.amount_in == amount:
            assert pool.quote_out(token_in, amount) == ours.amount_out
        try:
            within = (
                self.windowed.swap_exact_in(token_in, amount)
                if exact_in
                else self.windowed.swap_exact_out(token_in, amount)
            )
        except SwapReverts as revert:
            assert revert.reason == BEYOND_WINDOW  # noqa: PT017 - either end is right, and checked
        else:
            assert (within.amount_in, within.amount_out, within.fee) == (*theirs, ours.fee)
        self.pool = after
        self.windowed = replace(self.windowed, sqrt_price_x96=price, tick=tick, liquidity=liquidity)
        if self.windowed.window is not None and not (
            self.windowed.window[0] <= tick <= self.windowed.window[1]
        ):
            self.sync()
        return sum(1 for index, _ in pool.ticks if min(pool.tick, tick) < index <= max(pool.tick, tick))


@pytest.fixture(scope="module")
def trader(chain: Chain) -> Address:
    return chain.deploy(TRADER)


@pytest.fixture(scope="module")
def v3_factory(chain: Chain) -> Address:
    return chain.deploy(V3_FACTORY)


@pytest.mark.parametrize(
    ("fee", "spacing", "tick", "unit", "seed"),
    [
        (3000, 60, 0, 10**21, 1),
        (500, 10, 197_226, 10**17, 2),
        (10_000, 200, -65_000, 997, 3),
        (3000, 60, 0, 2**104, 4),
    ],
    ids=["round price", "far price", "dust liquidity", "liquidity beyond 2**96"],
)
def test_v3_pool_agrees_with_the_contract_on_every_swap(
    chain: Chain,
    trader: Address,
    v3_factory: Address,
    fee: int,
    spacing: int,
    tick: int,
    unit: int,
    seed: int,
) -> None:
    rng = random.Random(seed)
    real = V3(chain, trader, v3_factory, fee, spacing, tick)
    base = tick // spacing * spacing
    words = 256 * spacing
    for low, high, share in (
        (-300, 300, 8),
        (-40, 40, 30),
        (-7, 3, 50),
        (2, 9, 20),
        (-900, -600, 5),
        (450, 700, 5),
    ):
        real.mint(base + low * spacing, base + high * spacing, unit * share)
    crossed = outside = 0
    for number in range(150):
        if number % 9 == 8:
            if rng.random() < 0.5 and len(real.positions) > 3:
                real.burn(rng.randrange(1, len(real.positions)))
            else:
                low = tick // spacing + rng.randint(-300, 200)
                high = low + rng.randint(1, 300)
                real.mint(low * spacing, high * spacing, unit * rng.randint(1, 40))
        # Mostly back towards where the liquidity is.
        downwards = rng.random() < (0.75 if real.pool.tick > tick else 0.25)
        if real.pool.sqrt_price_x96 in (MIN_SQRT_RATIO + 1, MAX_SQRT_RATIO - 1):
            downwards = real.pool.sqrt_price_x96 > MIN_SQRT_RATIO + 1
        exact_in = rng.random() < 0.5
        token_in = real.pool.token0 if downwards else real.pool.token1
        token_out = real.pool.token1 if downwards else real.pool.token0
        liquidity = max(real.pool.liquidity, unit)
        price = real.pool.sqrt_price_x96
        reserve = (
            (liquidity << 96) // price
            if (token_in if exact_in else token_out) == real.pool.token0
            else (liquidity * price >> 96)
        )
        amount = int(reserve * 10 ** rng.uniform(-6, 0.1)) + rng.randint(1, 3)
        if number % 10 == 0 and unit > 10**9:
            amount = rng.randint(1, 5)
        before = real.pool.tick // words
        crossed += real.swap(downwards, amount, exact_in)
        outside += before != real.pool.tick // words
    assert crossed > 60, "the swaps must cross initialised ticks"
    assert outside > 5, "and leave their bitmap word"
    # To the very end and back: more than the pool holds is taken in part, at the price limit nothing more.
    real.swap(True, 2**190, True)
    assert real.pool.sqrt_price_x96 == MIN_SQRT_RATIO + 1
    with pytest.raises(SwapReverts) as refused:
        real.pool.swap_exact_in(real.pool.token0, 1)
    assert refused.value.reason == "SPL"
    call = encode_call("swap(address,bool,int256,uint160,bytes)", chain.me, True, 1, MIN_SQRT_RATIO + 1, b"")
    assert "SPL" in str(chain.refusal(real.pool.address, call))
    real.swap(False, 2**180, False)
    assert real.pool.sqrt_price_x96 == MAX_SQRT_RATIO - 1


def test_v3_reader_asks_again_where_the_price_has_moved_on(
    chain: Chain, trader: Address, v3_factory: Address
) -> None:
    real = V3(chain, trader, v3_factory, 3000, 60, 0)
    real.mint(-6000, 6000, 10**20)
    first, _ = chain.read(real.windowed)
    assert first == real.windowed
    assert chain.read(first)[1] == 1, "a pool whose ticks are known is read in one round"
    stale = real.windowed
    # Somebody adds a position in the window: its two ticks are seen in the bitmap and asked for.
    real.mint(-1200, 1200, 5 * 10**19)
    again, rounds = chain.read(stale)
    assert (again, rounds) == (real.windowed, 2)
    # The price leaves the window altogether: other words, then their ticks.
    real.mint(60 * 256 * 7, 60 * 256 * 8, 10**18)
    real.swap(False, 10**20, True)
    assert real.pool.tick >= 60 * 256 * 7
    moved, rounds = chain.read(stale)
    assert rounds == 3
    assert isinstance(moved, UniswapV3Pool)
    assert (moved.sqrt_price_x96, moved.tick) == (real.pool.sqrt_price_x96, real.pool.tick)
    assert (60 * 256 * 7, 10**18) in moved.ticks
    blank = UniswapV3Pool.unread(
        moved.address, moved.dex, moved.token0, moved.token1, moved.fee_ppm, moved.tick_spacing
    )
    assert chain.read(blank) == (moved, 3)


def test_reading_what_is_not_a_pool_names_it(chain: Chain, trader: Address) -> None:
    pool = UniswapV2Pool(trader, "fork", trader, chain.me, Ppm(3000), 1, 1)
    with pytest.raises(MalformedAnswer, match=f"fork pool {trader} getReserves"):
        with_answers(pool, [CallResult(False, b"")])


def test_v2_pool_agrees_with_the_contract_on_every_swap(chain: Chain) -> None:
    rng = random.Random(4)
    factory = chain.deploy(V2_FACTORY, bytes(32))
    token0, token1 = two_tokens(chain, [])
    chain.send(factory, encode_call("createPair(address,address)", token0, token1))
    word = chain.call(factory, encode_call("getPair(address,address)", token0, token1))
    pair = parse_address("0x" + word[12:].hex())

    def pay(token: Address, amount: int) -> None:
        chain.send(token, encode_call("transfer(address,uint256)", pair, amount))

    pay(token0, 5_000_003)
    pay(token1, 9 * 10**21 + 7)
    chain.send(pair, encode_call("mint(address)", chain.me))
    pool, _ = chain.read(UniswapV2Pool(pair, "uniswap", token0, token1, Ppm(3000), 0, 0))
    for _ in range(110):
        assert isinstance(pool, UniswapV2Pool)
        token_in, token_out = rng.choice([(token0, token1), (token1, token0)])
        r_in, r_out = pool.virtual_reserves(token_in)
        exact_in = rng.random() < 0.5
        share = 10 ** rng.uniform(-7, -0.2)
        try:
            ours = (
                pool.swap_exact_in(token_in, int(r_in * share) + 1)
                if exact_in
                else pool.swap_exact_out(token_in, int(r_out * share) + 1)
            )
        except SwapReverts as revert:
            assert revert.reason == "INSUFFICIENT_OUTPUT_AMOUNT"  # noqa: PT017
            continue
        pay(token_in, ours.amount_in)

        def swap(out: int, wanted: Address = token_out) -> bytes:
            outs = (0, out) if wanted == token1 else (out, 0)
            return encode_call("swap(uint256,uint256,address,bytes)", *outs, chain.me, b"")

        if exact_in:
            assert "K" in str(chain.refusal(pair, swap(ours.amount_out + 1))), "one unit more is refused"
        chain.send(pair, swap(ours.amount_out))
        pool, _ = chain.read(pool)
        assert pool == ours.after
    assert isinstance(pool, UniswapV2Pool)
    # uint112 overflow, and more than there is, in the contract's own words.
    excess = 2**112 - pool.reserve0
    pay(token0, excess)
    assert "OVERFLOW" in str(chain.refusal(pair, selector("sync()"))), (
        "the pair itself refuses such a balance"
    )
    with pytest.raises(SwapReverts) as refused:
        pool.swap_exact_in(token0, excess)
    assert refused.value.reason == "OVERFLOW"
    assert "INSUFFICIENT_LIQUIDITY" in str(
        chain.refusal(
            pair,
            encode_call("swap(uint256,uint256,address,bytes)", 0, pool.reserve1, chain.me, b""),
        )
    )
    with pytest.raises(SwapReverts) as refused:
        pool.swap_exact_out(token0, pool.reserve1)
    assert refused.value.reason == "INSUFFICIENT_LIQUIDITY"

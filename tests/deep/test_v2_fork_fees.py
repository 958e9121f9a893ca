"""Uniswap V2's arithmetic at other fees than 0.3 %: a fork's own bytecode. Run by `make deep`, which fetches it.

DXswap (npm @swapr/core 0.3.20, compiled by its authors) takes 0.25 % and lets its factory set up to 10 % for a pair,
in steps of 0.01 %.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from arbtui.abi import encode_call, selector
from arbtui.market import SwapReverts, UniswapV2Pool
from arbtui.units import Address, Ppm, parse_address
from tests.bare_chain import ON_A_CHAIN, Chain, bare_chain, two_tokens

pytestmark = ON_A_CHAIN

FACTORY = Path(__file__).parent / "node_modules/@swapr/core/build/DXswapFactory.json"
SWAPS = 1_000
OWN_BPS = 25


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with bare_chain(tmp_path_factory.mktemp("anvil")) as running:
        yield running


@pytest.fixture(scope="module")
def factory(chain: Chain) -> Address:
    return chain.deploy(FACTORY, encode_call("(address)", chain.me)[4:])


class Pair:
    """A real pair of that fee with these reserves, and our pool of it."""

    def __init__(self, chain: Chain, factory: Address, fee_bps: int, reserves: tuple[int, int]) -> None:
        self.chain = chain
        token0, token1 = two_tokens(chain, [])
        chain.send(factory, encode_call("createPair(address,address)", token0, token1))
        word = chain.call(factory, encode_call("getPair(address,address)", token0, token1))
        self.address = parse_address("0x" + word[12:].hex())
        if fee_bps != OWN_BPS:
            chain.send(factory, encode_call("setSwapFee(address,uint32)", self.address, fee_bps))
        assert int.from_bytes(chain.call(self.address, selector("swapFee()"))) == fee_bps
        for token, amount in zip((token0, token1), reserves, strict=True):
            self.pay(token, amount)
        chain.send(self.address, encode_call("mint(address)", chain.me))
        self.pool = self.read(UniswapV2Pool(self.address, "dxswap", token0, token1, Ppm(fee_bps * 100), 0, 0))

    def read(self, pool: UniswapV2Pool) -> UniswapV2Pool:
        read, _ = self.chain.read(pool)
        assert isinstance(read, UniswapV2Pool)
        return read

    def pay(self, token: Address, amount: int) -> None:
        self.chain.send(token, encode_call("transfer(address,uint256)", self.address, amount))

    def call(self, token_in: Address, out: int) -> bytes:
        outs = (0, out) if token_in == self.pool.token0 else (out, 0)
        return encode_call("swap(uint256,uint256,address,bytes)", *outs, self.chain.me, b"")

    def refuses(self, token_in: Address, out: int) -> bool:
        return "DXswapPair: K" in str(self.chain.refusal(self.address, self.call(token_in, out)))

    def swap(self, token_in: Address, amount: int, *, exact_in: bool) -> None:
        """On both. The pair takes what ours says, and neither a unit more of output nor less than the least input."""
        pool = self.pool
        ours = pool.swap_exact_in(token_in, amount) if exact_in else pool.swap_exact_out(token_in, amount)
        if exact_in:
            assert ours.amount_in == amount
            assert pool.quote_out(token_in, amount) == ours.amount_out
            self.pay(token_in, amount)
            assert self.refuses(token_in, ours.amount_out + 1)
        else:
            assert ours.amount_out == amount
            # As routers do, the exact-out swap gives one more than the least where that comes out even.
            least = pool.least_in(token_in, amount)
            assert ours.amount_in - least in (0, 1)
            if least > 1:
                self.pay(token_in, least - 1)
                assert self.refuses(token_in, amount)
            self.pay(token_in, 1)
            assert not self.refuses(token_in, amount)
            if ours.amount_in > least:
                self.pay(token_in, 1)
        self.chain.send(self.address, self.call(token_in, ours.amount_out))
        self.pool = self.read(pool)
        assert self.pool == ours.after


@pytest.mark.parametrize(
    ("fee_bps", "reserves"),
    [
        (OWN_BPS, (5_000_003, 9 * 10**21 + 7)),
        (1, (10**24 + 1, 3 * 10**18)),
        (20, (2**108 + 1, 2**70)),
        (1_000, (40_009, 1_000_003)),
    ],
    ids=["0.25 %, its own", "0.01 %", "0.2 %, near the end of uint112", "10 %, hardly anything in it"],
)
def test_v2_pool_of_another_fee_agrees_with_the_contract_on_every_swap(
    chain: Chain, factory: Address, fee_bps: int, reserves: tuple[int, int]
) -> None:
    rng = random.Random(fee_bps)
    pair = Pair(chain, factory, fee_bps, reserves)
    done = {(way, exact_in): 0 for way in (0, 1) for exact_in in (True, False)}
    while sum(done.values()) < SWAPS:
        way, exact_in = rng.randrange(2), rng.random() < 0.5
        token_in = (pair.pool.token0, pair.pool.token1)[way]
        r_in, r_out = pair.pool.virtual_reserves(token_in)
        # Back towards where it began, as arbitrage would: else one side runs dry.
        share = 10 ** rng.uniform(-7, -0.5 if r_in < 4 * reserves[way] else -3)
        try:
            pair.swap(token_in, int((r_in if exact_in else r_out) * share) + 1, exact_in=exact_in)
        except SwapReverts as revert:
            assert revert.reason == "INSUFFICIENT_OUTPUT_AMOUNT"  # noqa: PT017 - too little in for one unit out
            continue
        done[way, exact_in] += 1
    assert min(done.values()) > SWAPS // 6, "both ways, by input and by output"

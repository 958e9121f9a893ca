"""Every lender on every shape of route and kind of token: what is realised is what was simulated on its block."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from arbtui.approval import ApproveMode
from arbtui.bootstrap import open_desk, open_engine
from arbtui.config import Config, PoolEntry
from arbtui.devnet import Devnet, plan
from arbtui.domain import LenderId, LoanQuote, PoolKind, Stage
from arbtui.engine import Engine, Submitted
from arbtui.engine.direct import priced
from arbtui.lenders.policy import UniswapPolicy
from arbtui.market import MarketState
from arbtui.market.pool import Pool
from arbtui.store import open_store
from arbtui.units import Address, parse_amount
from tests.chain import Hand, config_for, in_hand, running_chain

pytestmark = pytest.mark.chain

V2, V3 = PoolKind.UNISWAP_V2, PoolKind.UNISWAP_V3
SHAPES = ((V2, V2), (V3, V2), (V2, V3, V2))
#: 18 decimals, 6, 8; one that returns nothing on a transfer; one whose lender mints it.
ASSETS = {"WETH": "8", "USDC": "20000", "WBTC": "0.3", "USDT": "20000", "DAI": "20000"}
#: What each asset must be borrowed through at least; the pools beside the path lend all of them.
LENDERS = {
    "WETH": {LenderId.AAVE_V2, LenderId.AAVE_V3, LenderId.BALANCER_V2},
    "USDC": {LenderId.AAVE_V2, LenderId.AAVE_V3, LenderId.BALANCER_V2},
    "WBTC": {LenderId.AAVE_V2},
    "USDT": {LenderId.AAVE_V2},
    "DAI": {LenderId.MAKER},
}
#: Pairs that close cycles of three tokens, which the chain's own pools do not have.
CLOSING = (("WETH", "USDT"), ("USDC", "DAI"), ("USDC", "WBTC"), ("USDC", "USDT"))


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


async def new_pair(hand: Hand, one: str, other: str) -> PoolEntry:
    """A further pair of the second exchange, five million a side at the reference price."""
    factory = next(f.address for f in hand.book.factories if (f.dex, f.kind) == ("sushiswap", "uniswap_v2"))
    tokens = sorted((hand.book.token(one), hand.book.token(other)), key=lambda token: int(token.address, 16))
    low, high = tokens
    rich = hand.book.traders[0]
    await hand.send(rich, factory, "createPair(address,address)", low.address, high.address)
    answer = await hand.rpc.call(
        "eth_call",
        [
            {"to": factory, "data": "0xe6a43905" + "".join(f"{int(t.address, 16):064x}" for t in tokens)},
            "latest",
        ],
    )
    pair = hand.book.pools[0].address.__class__("0x" + answer[-40:])
    price = plan.raw_price(low.symbol, high.symbol)
    whole = {"WETH": 2_000, "WBTC": 80}.get(low.symbol, 5_000_000)
    amount = whole * 10**low.decimals
    for token, deposit in ((low, amount), (high, int(amount * price))):
        await hand.send(rich, token.address, "transfer(address,uint256)", pair, deposit)
    await hand.send(rich, pair, "mint(address)", rich)
    return PoolEntry(
        address=pair, dex="sushiswap", kind=V2, token0=low.address, token1=high.address, fee_ppm=3_000
    )


@asynccontextmanager
async def trading(devnet: Devnet, folder: Path) -> AsyncIterator[tuple[Hand, Engine, Config]]:
    async with in_hand(devnet) as hand:
        entries = [await new_pair(hand, *pair) for pair in CLOSING]
        config = config_for(devnet, folder / "store")
        lenders = config.lenders.model_copy(
            update={
                "uniswap_v3": UniswapPolicy(),
                "uniswap_v2": UniswapPolicy(),
                "flash_swap": UniswapPolicy(),
            }
        )
        config = config.model_copy(update={"lenders": lenders, "pools": (*config.pools, *entries)})
        async with open_engine(config, Stage.LIVE, ApproveMode.NONE, lambda _: None) as engine:
            stop = asyncio.Event()
            running = asyncio.create_task(engine.run(300, stop))
            yield hand, engine, config
            stop.set()
            await hand.mine()
            await running


def cycles(pools: Sequence[Pool], asset: Address, shape: tuple[PoolKind, ...]) -> list[tuple[Pool, ...]]:
    """Every cycle of that shape through the asset, its pools and its tokens each once."""
    found = []
    for way in itertools.permutations(pools, len(shape)):
        if tuple(pool.kind for pool in way) != shape:
            continue
        here, seen = asset, {asset}
        for pool in way:
            if here not in (pool.token0, pool.token1):
                break
            here = pool.token1 if here == pool.token0 else pool.token0
            if here in seen and pool is not way[-1]:
                break
            seen.add(here)
        else:
            if here == asset:
                found.append(way)
    return found


async def newest(engine: Engine) -> MarketState:
    """The market at the head, in turn with the engine's own work."""
    async with engine._turn:
        return await engine._newest()


async def made_to_pay(
    hand: Hand, engine: Engine, asset: Address, amount: int, shape: tuple[PoolKind, ...]
) -> list[Address]:
    """The pools of a cycle of that shape, after one of them was moved so that it pays."""
    await hand.align()
    named = {pool.address: pool for pool in hand.book.pools}
    state = await newest(engine)
    token = engine._tokens[asset]
    for way in cycles(list(state.pools.values()), asset, shape):
        moved = next(
            (pool for pool in sorted(way, key=lambda pool: pool.kind) if pool.address in named), None
        )
        if moved is None:
            continue
        pair = "/".join(hand.book.token_at(t).symbol for t in (moved.token0, moved.token1))
        if hand.pool(pair, moved.dex, moved.kind.value).address != moved.address:
            continue
        for offset in (25_000, -25_000):
            await hand.dislocate(pair, offset, dex=moved.dex, kind=moved.kind.value)
            path = [pool.address for pool in way]
            if priced(token, amount, path, await newest(engine)).gross_profit > amount // 200:
                return path
        await hand.align()
    raise AssertionError(f"no cycle of {shape} through {token.symbol} can be made to pay")


@pytest.mark.parametrize("symbol", ASSETS)
async def test_through_every_lender_on_every_shape(devnet: Devnet, tmp_path: Path, symbol: str) -> None:
    used: dict[tuple[PoolKind, ...], set[LenderId]] = {}
    async with trading(devnet, tmp_path) as (hand, engine, config):
        token = engine._tokens[hand.book.token(symbol).address]
        amount = parse_amount(ASSETS[symbol], token.decimals)
        for shape in SHAPES:
            async with open_desk(config) as desk:
                _, quotes, _ = await desk.quotes(amount, token)
            for quote in quotes:
                own_pair = quote.lender is LenderId.FLASH_SWAP and shape == (V2, V2)
                if quote.lender is LenderId.OWN or not (quote.usable or own_pair):
                    continue
                pools = await made_to_pay(hand, engine, token.address, amount, shape)
                params = {"token": token, "amount": amount, "pools": pools}
                sent = await engine.flash_loans.execute_flash_loan(quote.protocol, quote.version, params)
                if isinstance(sent, LoanQuote):
                    # A pool that would lend is in this very path, and there is no other.
                    assert sent.reason in ("collides_with_path", "token_not_accepted"), sent
                    continue
                assert isinstance(sent, Submitted), (quote.lender, shape, sent)
                assert sent.tx_hash, (quote.lender, shape, "no attempt was taken")
                for _ in range(100):
                    done = engine.tally.confirmed + engine.tally.reverted
                    if done > sum(map(len, used.values())) and engine._sending.flight is None:
                        break
                    await hand.mine()
                    await asyncio.sleep(0.05)
                used.setdefault(shape, set()).add(quote.lender)
        assert engine.tally.reverted == 0
        assert engine.tally.unreconciled == 0
    for shape in SHAPES:
        assert used[shape] >= LENDERS[symbol], (symbol, shape)
    assert LenderId.FLASH_SWAP in used[V2, V2]
    assert set.union(*used.values()) >= {LenderId.UNISWAP_V2} if symbol in ("WETH", "USDC") else True
    with open_store(config.store.directory) as reader:
        rows = reader.executions(limit=1_000)
        gained = {
            row["execution_id"]: int(row["amount"])
            for row in reader.query(
                "SELECT execution_id, amount FROM settlement_delta WHERE account = ? AND token = ?",
                (config.wallet.treasury, token.address),
            )
        }
    assert len(rows) == sum(map(len, used.values()))
    for row in rows:
        assert (row["status"], row["reconciled"]) == ("mined", True)
        assert gained[row["id"]] == int(row["expected_profit"]) > 0, row["lender"]
